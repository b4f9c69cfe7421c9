import pytest

from analysis.study import wording
from analysis.study.stats import estimate

FIVE = estimate([1, 2, 3, 4, 5])


def test_counts_and_changes():
    assert [wording.seeds(n) for n in (1, 5, [0, 1])] == ["1 seed", "5 seeds", "2 seeds"]
    assert wording.percent(-0.047, 1) == "−4.7%"
    assert wording.change(estimate([0.1, 0.2])) == "+15.0% ± 63.5%"
    assert wording.change(estimate([0.1])) == "+10.0%"


def test_a_speed_has_no_sign():
    assert wording.speed(-0.047) == "4.7% slower"
    assert wording.speed(0.2157, 0) == "22% faster"


def test_the_lowest_and_the_highest_instead_of_an_interval():
    assert wording.spread(estimate([0.1, -0.2, 0.1])) == "+0.0% (−20.0% to +10.0%)"
    assert wording.spread(estimate([0.1]), 0) == "+10%"


def test_cells_and_factors():
    assert wording.cell(estimate([-1000, -1002]), 0) == "−1,001 ± 13"
    assert wording.cell(estimate([2.0])) == "2.000"
    assert wording.factor(FIVE) == "8.00 (2.05 to 31.20)"
    assert wording.factor(estimate([-1.0])) == "0.50"
    assert wording.factor(estimate([10.0, 11.0, 12.0]), 0) == "2,048 (366 to 11,459)"
    assert wording.factor(estimate([10.0]), 0) == "1,024"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (estimate([1.0]), "one seed, which has no interval"),
        (estimate([0.0, 1.0, 2.0]), "3 seeds would find 3.264 from the bar four times out of five"),
    ],
)
def test_what_a_design_would_find(found, said):
    """It hangs on the scatter and the number of seeds, and not on what they found."""
    assert wording.findable(found) == said
    assert wording.findable(estimate([9 + value for value in found.values])) == said


def test_what_it_would_find_as_a_factor():
    assert wording.findable(estimate([0.0, 0.1, 0.2]), doublings=True).startswith("3 seeds would find a factor of 1.25")
