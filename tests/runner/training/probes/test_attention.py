"""How alike the heads of a layer are, on values that are known."""

import math

import pytest
import torch

from runner.training.probes.attention import alike_outputs, alike_patterns
from runner.training.probes.prediction import averaged


def qkv(*queries: list[float]) -> torch.Tensor:
    """One sequence, [1, T, 3 H], of heads of one unit: the queries of each, keys 0, 1, …, and any values."""
    q_TH = torch.tensor(queries, dtype=torch.float64).T
    k_TH = torch.arange(len(q_TH), dtype=torch.float64)[:, None].expand_as(q_TH)
    return torch.cat((q_TH, k_TH, torch.ones_like(q_TH)), dim=1)[None]


def test_heads_with_the_same_queries_and_keys_look_alike():
    assert alike_patterns(qkv([0.3, -1.0, 2.0], [0.3, -1.0, 2.0]), 2).tolist() == pytest.approx([2, 2])


def test_heads_that_look_at_different_keys_have_a_small_cosine_and_the_first_query_does_not_count():
    total, count = alike_patterns(qkv([5.0, 100.0], [-7.0, -100.0]), 2).tolist()
    assert (total, count) == (pytest.approx(0, abs=1e-30), 1)


def test_the_cosine_is_that_of_the_weights_over_the_keys_so_far():
    even, odd = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 1.0]).softmax(0)
    expected = float(even[:2] @ odd / even.norm() / odd.norm())
    total, count = alike_patterns(qkv([0.0, 0.0, 0.0], [0.0, 1.0, 0.0]), 2).tolist()
    assert (total, count) == (pytest.approx(expected + 1), 2)


def test_the_size_of_a_cosine_counts_of_what_heads_add_to_the_stream():
    same_DD = torch.eye(4)
    y_ND = torch.tensor([[1.0, 0.0, 0.0, 2.0], [3.0, 4.0, 1.0, 0.0]])
    assert alike_outputs(y_ND, same_DD, 2).tolist() == [0, 2], "heads that write to units of their own"
    one_DD = torch.zeros(4, 4)
    one_DD[0] = torch.tensor([1.0, 0.0, 0.0, -1.0])
    assert alike_outputs(y_ND[:1], one_DD, 2).tolist() == pytest.approx([1, 1]), "along one line, whatever the sign"
    shared_DD = torch.cat((torch.eye(4)[:, :2], torch.eye(4)[:, :2]), dim=1)
    assert alike_outputs(y_ND[1:], shared_DD, 2).tolist() == pytest.approx([3 / 5, 1])


def test_pairs_are_counted_once():
    y_ND = torch.ones(5, 6)
    assert alike_outputs(y_ND, torch.ones(6, 6), 3).tolist() == pytest.approx([15, 15])


def test_batches_count_by_their_size_and_one_head_is_like_no_other():
    several = torch.stack([alike_outputs(torch.ones(n, 4), torch.ones(4, 4), 2) for n in (1, 3)])[:, None]
    assert averaged(several).tolist() == pytest.approx([1])
    alone = alike_patterns(qkv([0.3, 1.0]), 1)
    assert averaged(alone[None, None]).tolist() == [0]
    assert not math.isnan(float(alone.sum()))
