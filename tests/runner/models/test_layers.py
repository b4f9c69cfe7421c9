"""The operations of small models against those of the others: PyTorch's own functions against ours."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from runner.models.dropout import site_keys
from runner.models.layers import Operations, last_over_all

SMALL, OTHERS = (Operations.at(torch.float64, compiled=False, small=small) for small in (True, False))
KEY = site_keys(seed=3, step=5, sites=1)[0]


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


CASES: dict[str, tuple[Callable[[Operations, list[Tensor]], Tensor], list[Tensor]]] = {
    "linear": (
        lambda ops, given: ops.linear(given[0], given[1], given[2], given[3]),
        [numbers(6, 4), numbers(5, 4), numbers(4), numbers(5)],
    ),
    "add_norm": (
        lambda ops, given: torch.cat(ops.add_norm(given[0], given[1], KEY, 0.5), dim=1),
        [numbers(6, 4), numbers(7, 4)[1:]],
    ),
    "attention": (lambda ops, given: ops.attention(given[0], KEY, 2, 0.5), [numbers(3, 5, 12)]),
    "cross_entropy": (
        lambda ops, given: ops.cross_entropy(given[0], torch.tensor([2, 0, 1, 2]), None),
        [numbers(4, 3)],
    ),
    "weighted cross_entropy": (
        lambda ops, given: ops.cross_entropy(given[0], torch.tensor([2, 0, 1, 2]), torch.tensor([1.0, 2.0, 0.0, 1.0])),
        [numbers(4, 3)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_small_operations_are_the_others(case):
    function, given = CASES[case]
    found = []
    for ops in (SMALL, OTHERS):
        leaves = [each.clone().requires_grad_() for each in given]
        value = function(ops, leaves)
        (value * numbers(*value.shape)).sum().backward()
        found.append([value.detach(), *(leaf.grad for leaf in leaves)])
    for small, other in zip(*found, strict=True):
        torch.testing.assert_close(small, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_bias_is_added_in_its_own_type(dtype):
    ops = Operations.at(dtype, compiled=False, small=True)
    x_NI, weight_OI, bias_O = numbers(6, 4).float(), numbers(5, 4).float(), numbers(5).float()
    y_NO = ops.affine(x_NI, weight_OI, bias_O)
    assert y_NO.dtype == torch.float32
    product_NO = (x_NI.to(dtype) @ weight_OI.to(dtype).T).float()
    torch.testing.assert_close(y_NO, product_NO + bias_O)
    assert ops.affine(x_NI, weight_OI).dtype == dtype


def test_the_last_positions_see_what_is_before_them_and_nothing_after():
    q_BHQK, k_BHSK, v_BHSK = numbers(1, 1, 2, 3), numbers(1, 1, 5, 3), numbers(2, 1, 5, 3)[:1]
    y_BQD = last_over_all(q_BHQK, k_BHSK, v_BHSK, None, 0.0)
    later_BHSK = v_BHSK.clone()
    later_BHSK[:, :, 4:] += 1.0
    changed_BQ = (last_over_all(q_BHQK, k_BHSK, later_BHSK, None, 0.0) != y_BQD).any(-1)
    assert changed_BQ.tolist() == [[False, True]]
    earlier_BHSK = v_BHSK.clone()
    earlier_BHSK[:, :, :4] += 1.0
    assert (last_over_all(q_BHQK, k_BHSK, earlier_BHSK, None, 0.0) != y_BQD).any(-1).all()
