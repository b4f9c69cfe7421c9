"""Masks: the right share, and no trace of one in another."""

import math

import pytest
import torch

from runner.models.dropout import dropout, kept, positions, site_keys

N = 1 << 18
P = 0.2


def mask(seed: int = 0, step: int = 0, site: int = 0, n: int = N) -> torch.Tensor:
    key = site_keys(seed, step, site + 1)[site]
    return kept(positions((n,), torch.device("cpu")), key, P)


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """In standard deviations of what independent masks would give."""
    return float(torch.corrcoef(torch.stack([a.double(), b.double()]))[0, 1]) * math.sqrt(len(a))


def test_keys_are_a_pure_function_of_seed_step_and_site():
    assert torch.equal(site_keys(3, 5, 19), site_keys(3, 5, 19))
    assert torch.equal(site_keys(3, 5, 19)[:4], site_keys(3, 5, 4))
    assert site_keys(0, 0, 3).dtype == torch.int32
    assert site_keys(0, 0, 3).tolist() == [595752380, 791848836, -1299428304]


def test_no_two_keys_agree_in_a_run():
    keys = torch.cat([site_keys(seed, step, 19) for seed in range(5) for step in range(50)])
    assert len(keys.unique()) == len(keys)


@pytest.mark.parametrize("p", [0.001, 0.1, 0.2, 0.5, 0.9])
def test_share_and_scale(p):
    y = dropout(torch.ones(N), site_keys(1, 2, 1)[0], p)
    share = float((y != 0).double().mean())
    assert abs(share - (1 - p)) < 4 * math.sqrt(p * (1 - p) / N)
    assert y.max() == pytest.approx(1 / (1 - p))
    assert float(y.double().mean()) == pytest.approx(1, abs=5 * math.sqrt(p / (1 - p) / N))


def test_without_dropout_nothing_changes():
    x = torch.randn(5)
    assert dropout(x, site_keys(0, 0, 1)[0], 0.0) is x


@pytest.mark.parametrize("lag", [1, 2, 3, 16, 64, 128, 255, 256, 384, 65536])
def test_neighbours_are_independent(lag):
    m = mask()
    assert abs(correlation(m[:-lag], m[lag:])) < 4.5


@pytest.mark.parametrize("other", [{"seed": 1}, {"step": 1}, {"site": 1}, {"seed": 1, "step": 1}, {"seed": 2**31}])
def test_masks_of_neighbouring_seeds_steps_and_sites_are_independent(other):
    a, b = mask(), mask(**other)
    assert all(abs(correlation(a[8 : N - 8], b[8 + shift : N - 8 + shift])) < 4.5 for shift in range(-8, 9))


def test_each_position_is_dropped_its_share_of_steps():
    counts = sum(mask(step=step, n=512).int() for step in range(2000)).double()
    deviation = (counts - 2000 * (1 - P)) / math.sqrt(2000 * P * (1 - P))
    assert deviation.abs().max() < 5
    assert float(deviation.square().mean()) == pytest.approx(1, abs=0.3)


def test_this_mask_is_the_same_everywhere_and_for_ever():
    assert "".join(str(int(bit)) for bit in mask(seed=7, step=11, site=2, n=48)) == (
        "101111011111111101011111111111001011111111011011"
    )
