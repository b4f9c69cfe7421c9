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


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (estimate([1.0]), "one seed, which has no interval"),
        (estimate([-1.0, 1.0]), "no number of seeds in reach would decide"),
        (estimate([0.0, 1.0]), "about 18 fresh seeds would decide it four times out of five"),
    ],
)
def test_what_more_seeds_would_do(found, said):
    assert wording.more(found) == said
