"""The best value of a swept setting, with what is not known of it."""

import numpy as np
import pytest

from analysis.study import optimum

AT = (0.5, 1, 2, 4, 8)
NOISE = np.array([-0.002, 0.001, 0.003, -0.001, -0.001])


def bowl(best: float, depth: float, wobble: float = 1.0) -> dict[float, np.ndarray]:
    """Losses of five seeds on a parabola over log2 of the value, each seed's a little higher or lower."""
    rng = np.random.default_rng(0)
    return {
        v: 2 + depth * np.log2(v / best) ** 2 + NOISE + wobble * 0.001 * rng.standard_normal(len(NOISE)) for v in AT
    }


def test_a_steep_bowl_has_a_narrow_interval_around_its_lowest_point():
    found = optimum.find(bowl(2.5, 0.05), margin=0.01)
    assert found.best == 2
    assert found.interval is not None
    low, high = found.interval
    assert 2.3 < low < 2.5 < high < 2.7
    assert found.ends == (False, False)
    assert found.level == [2]
    assert found.close == [2]


def test_a_flat_one_cannot_be_told_anywhere_and_says_so():
    found = optimum.find(bowl(2, 0.0, wobble=3), margin=0.01)
    assert found.interval is not None
    assert found.interval[1] > 5 * found.interval[0]
    assert found.close == list(AT), "but all are known to be near"


def test_of_equal_values_none_is_told_from_the_best_more_than_once_in_twenty(monkeypatch):
    """The best of several is chosen by their losses, so that its differences are large by chance."""
    monkeypatch.setattr(optimum, "lowest", lambda losses: None)  # slow, and not asked for
    rng = np.random.default_rng(1)
    draws = [optimum.find(dict(zip(AT, rng.standard_normal((len(AT), 5)), strict=True))) for _ in range(400)]
    wrong = sum(len(found.level) < len(AT) for found in draws)
    assert wrong <= 0.07 * len(draws), "8% where only comparisons with the best are counted"


@pytest.mark.parametrize(("best", "end"), [(0.1, 0.5), (60, 8)])
def test_a_slope_has_its_best_at_the_end(best, end):
    found = optimum.find(bowl(best, 0.02), margin=0.01)
    assert found.best == end
    assert found.interval == (end, end)
    assert found.ends == (end == 0.5, end == 8)


def test_one_seed_has_no_interval():
    found = optimum.find({v: losses[:1] for v, losses in bowl(2, 0.05).items()}, margin=0.01)
    assert found.interval is None
    assert found.best == 2


def test_rates_are_chosen_on_one_split_and_reported_on_another():
    chosen = {(1.0, 0.1): [2.0, 2.2], (1.0, 0.2): [1.9, 2.0], (1.0, 0.4): [2.5, 2.5], (2.0, 0.1): [1.0, 1.0]}
    chosen |= {(2.0, 0.2): [1.5, 1.5], (2.0, 0.4): [1.6, 1.6]}
    held_out = {key: [loss + 1 for loss in losses] for key, losses in chosen.items()}
    found = optimum.tuned(chosen, held_out)
    assert found.rates == {1.0: 0.2, 2.0: 0.1}
    assert list(found.losses[1.0]) == [2.9, 3.0]
    assert found.edge == [2.0]


@pytest.mark.parametrize(
    ("losses", "word"),
    [
        (bowl(1, 0.02), "supported"),  # lower elsewhere
        (bowl(4, 0.0), "supported"),  # flat
        (bowl(4, 0.1), "refuted"),  # every ratio a factor of 2 away is worse
        ({4: [2.0, 2.2, 1.9], 1: [2.0, 1.9, 2.3]}, "inconclusive"),
        ({4: [2.0], 1: [1.9]}, "one run agrees"),
        ({4: [2.0], 1: [2.2]}, "one run disagrees"),
    ],
)
def test_four_is_needed_or_not(losses, word):
    assert optimum.unneeded(losses, 4, margin=0.01).word == word


def test_nothing_within_a_factor_of_two_counts():
    verdict = optimum.unneeded(bowl(4, 0.1) | {3.0: bowl(4, 0.1)[4]}, 4, margin=0.01)
    assert [m.name for m in verdict.measures] == [f"r = {v:.3g} minus r = 4" for v in (0.5, 1, 2, 8)]


def test_a_second_look_errs_half_as_often():
    near = {4: [2.0] * 5, 1: [2.003, 2.009, 2.005, 2.008, 2.004]}  # p = 0.03 against the margin
    once, twice = (optimum.unneeded(near, 4, margin=0.0095, looks=looks) for looks in (1, 2))
    assert (once.word, twice.word) == ("supported", "inconclusive")
    assert twice.rule.endswith("intervals shown without a word on it are not.")


def test_every_axis_must_agree():
    fine, bad = optimum.unneeded(bowl(1, 0.02), 4, 0.01), optimum.unneeded(bowl(4, 0.1), 4, 0.01)
    assert optimum.on_every({"parameters": fine, "time": fine}).word == "supported"
    both = optimum.on_every({"parameters": fine, "time": bad})
    assert both.word == "refuted"
    assert both.measures[0].name == "parameters, r = 0.5 minus r = 4"
