import numpy as np
import pandas as pd
import pytest

from analysis.study import stats


def test_the_interval_is_students():
    """Checked by hand: mean 3, sd √2.5, t(4) = 2.7764."""
    found = stats.estimate([1, 2, 3, 4, 5])
    assert found.mean == 3
    assert found.half_width == pytest.approx(2.7764451 * np.sqrt(2.5 / 5), rel=1e-6)
    assert str(found) == "3.000 ± 1.963"


def test_an_estimate_keeps_the_values_of_its_seeds():
    assert stats.estimate(np.array([1.0, 2.5])).values == (1.0, 2.5)


def test_one_seed_has_no_interval_and_decides_nothing():
    found = stats.estimate([2.0])
    assert found.interval is None
    assert found.side() == 0
    assert found.findable() is None
    assert str(found) == "2.000"


def test_sides():
    assert stats.estimate([1, 1.1, 0.9]).side() == 1
    assert stats.estimate([-1, -1.1, -0.9]).side() == -1
    assert stats.estimate([-1, 1.1, 0.9]).side() == 0
    assert stats.estimate([1, 1.1, 0.9]).side(bar=1) == 0


def test_the_interval_covers_the_truth_as_often_as_it_says():
    draws = np.random.default_rng(0).normal(size=(4000, 5))
    covered = np.mean([stats.estimate(row).side() == 0 for row in draws])
    assert covered == pytest.approx(0.95, abs=0.01)


def test_what_a_design_would_find_is_the_textbooks():
    """At 5% two-sided and a power of 0.8, tables give 34 for half a standard deviation and 15 for 0.8 of one."""
    assert stats.Estimate(0.0, 1.0, 34).findable() == pytest.approx(0.5, abs=0.01)
    assert stats.Estimate(0.0, 1.0, 15).findable() == pytest.approx(0.8, abs=0.03)
    assert stats.Estimate(9.0, 2.0, 34).findable() == pytest.approx(1.0, abs=0.02)
    assert stats.Estimate(0.0, 1.0, 34).findable(level=0.01) > 0.55


def test_it_is_found_as_often_as_said():
    draws = np.random.default_rng(1).normal(loc=stats.Estimate(0.0, 1.0, 5).findable(), size=(4000, 5))
    assert np.mean([stats.estimate(row).side() == 1 for row in draws]) == pytest.approx(stats.POWER, abs=0.02)


def test_a_stricter_level_decides_less():
    found = stats.estimate([1.0, 2.0, 3.0, 2.5])
    assert (found.side(), found.side(level=0.001)) == (1, 0)


def test_holm_against_the_textbook():
    """Holm at 5%: 0.01 ≤ 0.05/4, 0.013 ≤ 0.05/3, 0.03 > 0.05/2, and there it stops."""
    assert stats.holm([0.03, 0.01, 0.04, 0.013]) == [False, True, False, True]


def test_a_corrected_interval_is_the_wider_one_of_bonferroni():
    found = stats.estimate([1.0, 2.0, 3.0, 2.5])
    assert found.among(1) == found
    assert found.among(4).half_width == pytest.approx(5.392 * found.sd / 2, rel=1e-3)  # t(3) at 0.0125
    assert found.among(4).signed(2) == f"+2.12 ± {found.among(4).half_width:.2f}"
    assert (found.side(), found.among(100).side()) == (1, 0)


def test_p_values_are_scipys_and_constants_are_not_tested_by_division():
    assert stats.p_values([[1, 2, 3, 4, 5]])[0] == pytest.approx(0.013236, abs=1e-5)
    assert stats.p_values([[0, 0], [1.0], [2, 2]]) == [1.0, 1.0, 1.0]


def test_values_that_are_alike_but_for_rounding_decide_nothing():
    """As onsets of a coarse grid are: their scatter is unknown, and the interval without width."""
    for values in ([-6.5e-17, -6.5e-17], [0.6, 0.6 + 1e-16, 0.6]):
        assert stats.estimate(values).tied
        assert stats.estimate(values).side() == stats.estimate(values).side(0.5) == 0
    assert not stats.estimate([0.6]).tied
    assert stats.estimate([0.6, 0.61, 0.6]).side() == 1


def test_a_rate_of_success_has_its_exact_interval():
    """Clopper and Pearson: none of three leaves 1 - 0.025^(1/3) open."""
    low, high = stats.success(0, 3)
    assert (low, high) == (0, pytest.approx(1 - 0.025 ** (1 / 3)))
    assert stats.success(3, 3) == (pytest.approx(0.025 ** (1 / 3)), 1)


def test_crossings():
    assert stats.crossing([0, 10, 20], [4, 3, 1], 2) == 15
    assert stats.crossing([0, 10, 20], [4, 3, 1], 4) == 0
    assert stats.crossing([0, 10, 20], [4, 3, 1], 0.5) is None
    assert stats.crossing([0, 10, 20], [4, 5, 3], 3) == 20


def test_slope():
    assert stats.slope([0, 1, 2], [1, 3, 5]) == pytest.approx(2)


def test_a_trend_is_a_slope_a_seed():
    values = pd.DataFrame({0: [1.0, 2.0, 3.0], 1: [5.0, 3.0, 1.0]})
    assert stats.trend([0, 1, 2], values).values == pytest.approx((1.0, -2.0))


def test_the_geometric_mean():
    assert stats.geometric([1.0, 100.0]) == pytest.approx(10)


def test_a_trend_without_the_first_arm():
    values = pd.DataFrame({0: [9.0, 3.0, 2.0, 1.0], 1: [9.0, 1.0, 2.0, 3.0]})
    above = stats.trend_above([0, 1, 2, 3], values)
    assert above is not None
    assert above.values == pytest.approx((-1.0, 1.0))
    assert stats.trend_above([0, 1, 2], values.iloc[:3]) is None
