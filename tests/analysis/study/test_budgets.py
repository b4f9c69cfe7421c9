"""Losses at a budget, and the price of a step."""

import numpy as np
import pytest

from analysis.study import budgets
from analysis.study.arms import Incomplete

LENGTHS = {steps: [2.0 + 4 / np.log(steps), 2.1 + 4 / np.log(steps)] for steps in (350, 500, 700)}


def test_a_budget_between_lengths_is_read_off_a_smooth_curve():
    assert budgets.at(LENGTHS, 500) == pytest.approx(LENGTHS[500])
    found = budgets.at(LENGTHS, 600)
    assert found == pytest.approx([2 + 4 / np.log(600), 2.1 + 4 / np.log(600)], abs=1e-4)


def test_a_budget_beyond_the_lengths_is_refused():
    with pytest.raises(Incomplete, match="800 steps lies outside of the runs, which have 350 to 700"):
        budgets.at(LENGTHS, 800)


def test_disturbed_rounds_are_set_aside():
    base = dict.fromkeys(range(6), 1.0) | {2: 3.0}
    seconds = {4.0: base, 1.0: {k: 1.2 * s for k, s in base.items()} | {4: 2.4}}
    found = budgets.paces(seconds, 4.0)
    assert found.calm == [0, 1, 3, 5]
    assert found.rounds == 6
    assert found.times == pytest.approx({4.0: 1.0, 1.0: 1.2})
    assert found.spread[1.0] == pytest.approx((1.2, 1.2))


def test_each_sitting_has_its_own_calm_rounds_and_counts_once():
    slow = {k: (5.0 if k > 5 else 1.0) for k in range(9)}  # the last sitting was on a slower clock
    seconds = {4.0: slow, 1.0: {k: slow[k] * (1 + k // 3 / 10) for k in range(9)}}
    sittings = [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    found = budgets.paces(seconds, 4.0, sittings)
    assert found.calm == list(range(9))
    assert [one[1.0] for one in found.sittings] == pytest.approx([1.0, 1.1, 1.2])
    assert (found.estimates[1.0].n, found.estimates[1.0].of) == (3, "sitting")
    assert budgets.paces(seconds, 4.0, sittings[:2]).estimates[1.0].n == 6


def test_where_nothing_was_calm_the_calmest_rounds_are_kept():
    seconds = {4.0: {0: 1.0, 1: 2.0, 2: 3.0, 3: 9.0}, 1.0: {0: 1.0, 1: 2.0, 2: 3.0, 3: 9.0}}
    assert budgets.paces(seconds, 4.0).calm == [0, 1, 2]
