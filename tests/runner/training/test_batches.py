"""Batches as functions of (seed, step), and splits that weigh every token once."""

from dataclasses import replace

import pytest
import torch

from runner.data.dataset import load
from runner.training.batches import Batches
from runner.training.group import Group


def test_exact_evaluation_weighs_every_token_once(smoke):
    tokens = load(smoke.spec.data)
    batches = Batches(smoke.spec, tokens, torch.device("cpu"), Group()).split("val")
    weights = torch.cat([weight for _, _, weight in batches])
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)
    assert (weights > 0).sum().item() == 2999, "all tokens of the split but its first are predicted"
    assert len({x.shape for x, _, _ in batches}) == 1


def test_sampled_evaluation_is_the_same_at_every_step_and_apart_from_training(smoke):
    spec = replace(smoke.spec, eval=replace(smoke.spec.eval, mode="sampled", batches=3))
    tokens = load(spec.data)
    first, second = (Batches(spec, tokens, torch.device("cpu"), Group()).split("train") for _ in range(2))
    assert sum(len(x_BT) for x_BT, _, _ in first) == 3 * spec.train.batch_size
    assert all(torch.equal(a[0], b[0]) for a, b in zip(first, second, strict=True))
    assert not torch.equal(first[0][0], Batches(spec, tokens, torch.device("cpu"), Group()).train(0)[0])


def test_a_part_of_the_training_split_is_spread_over_it(smoke):
    tokens, block = load(smoke.spec.data), smoke.spec.model.block_size
    spec = replace(smoke.spec, eval=replace(smoke.spec.eval, train_tokens=10 * block))
    part = Batches(spec, tokens, torch.device("cpu"), Group()).split("train")
    all_of_it = replace(smoke.spec, eval=replace(smoke.spec.eval, train_tokens=None))
    whole = Batches(all_of_it, tokens, torch.device("cpu"), Group()).split("train")
    windows = {tuple(x_T.tolist()) for x_BT, _, weight_BT in whole for x_T in x_BT}
    weights = torch.cat([weight for _, _, weight in part])
    assert (weights > 0).sum().item() == 10 * block
    assert weights.sum().item() == pytest.approx(1, abs=1e-5)
    assert all(tuple(x_T.tolist()) in windows for x_BT, _, _ in part for x_T in x_BT)
    assert len(Batches(spec, tokens, torch.device("cpu"), Group()).split("val")) == len(
        Batches(smoke.spec, tokens, torch.device("cpu"), Group()).split("val")
    ), "only the training split is cut"
