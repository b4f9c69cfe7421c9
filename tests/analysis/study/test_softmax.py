import numpy as np
import pytest

from analysis.study.softmax import gumbel_shares, softmax

SCORES = np.array([2.0, 1.0, 0.0, -1.0])


def test_probabilities_are_those_of_the_formula():
    assert softmax(np.log([1.0, 2.0, 5.0])) == pytest.approx([0.125, 0.25, 0.625], abs=1e-15)
    rows = softmax(np.stack([SCORES, 1000 * SCORES]))
    assert rows.sum(axis=1) == pytest.approx([1, 1])
    assert rows[1].tolist() == [1, 0, 0, 0]  # and no overflow


def test_a_shift_changes_nothing_and_a_scale_does():
    assert softmax(SCORES + 700) == pytest.approx(softmax(SCORES), abs=1e-13)
    assert softmax(2 * SCORES)[0] > softmax(SCORES)[0] + 0.2


def test_a_temperature_is_a_scale_from_the_largest_score_to_none():
    assert softmax(SCORES, 0.5) == pytest.approx(softmax(2 * SCORES), abs=1e-15)
    assert softmax(SCORES, 1e-3)[0] == pytest.approx(1)
    assert softmax(SCORES, 1e6) == pytest.approx([0.25] * 4, abs=1e-5)


def test_the_largest_score_after_gumbel_noise_is_drawn_by_softmax():
    shares = gumbel_shares(SCORES, 200_000, seed=1)
    assert shares.sum() == pytest.approx(1)
    assert np.abs(shares - softmax(SCORES)).max() < 0.004
    noise = np.random.default_rng(1).normal(scale=np.pi / np.sqrt(6), size=(200_000, 4))  # the variance of a Gumbel
    normal = np.bincount((SCORES + noise).argmax(axis=1), minlength=4) / 200_000
    assert np.abs(normal - softmax(SCORES)).max() > 0.01  # other noise of the same size would be seen


def test_draws_are_those_of_the_seed():
    assert gumbel_shares(SCORES, 50, 3).tolist() == gumbel_shares(SCORES, 50, 3).tolist()
    assert gumbel_shares(SCORES, 50, 3).tolist() != gumbel_shares(SCORES, 50, 4).tolist()
