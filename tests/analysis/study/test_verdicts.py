import pytest

from analysis.study import verdicts
from analysis.study.stats import estimate
from analysis.study.verdicts import BELOW, Measure

UP, DOWN, OPEN = estimate([1, 1.1, 0.9]), estimate([-1, -1.1, -0.9]), estimate([-1, 1.1, 0.9])


@pytest.mark.parametrize(
    ("found", "every", "some"),
    [
        ([UP, UP], "supported", "supported"),
        ([UP, OPEN], "inconclusive", "supported"),
        ([OPEN, OPEN], "inconclusive", "inconclusive"),
        ([UP, DOWN], "refuted", "inconclusive"),
        ([OPEN, DOWN], "refuted", "refuted"),
        ([estimate([1.0])], "one run agrees", "one run agrees"),
        ([estimate([1.0]), estimate([-1.0])], "one run disagrees", "one run disagrees"),
        ([estimate([0.0])], "one run disagrees", "one run disagrees"),
    ],
)
def test_rules_on_sides(found, every, some):
    measures = [Measure("x", one) for one in found]
    assert verdicts.every(*measures).word == every
    assert verdicts.some(*measures).word == some


def test_a_margin_and_a_band():
    """No worse than 2 holds, no worse than 0.5 does not; 1 lies within 0.5 and 2."""
    assert verdicts.every(Measure("x", UP, BELOW, 2)).word == "supported"
    assert verdicts.every(Measure("x", UP, BELOW, 0.5)).word == "refuted"
    assert verdicts.every(Measure("x", UP, bar=0.5), Measure("x", UP, BELOW, 2)).word == "supported"


def test_the_rule_is_in_words():
    assert verdicts.every(Measure("x", UP, BELOW)).rule.startswith(
        "Supported if the interval lies wholly below its bar;"
    )
    both = verdicts.every(Measure("x", UP), Measure("y", UP, BELOW))
    assert "the interval of every measure lies wholly on its wanted side of the bar" in both.rule


def test_a_verdict_leads_with_its_first_measure():
    found = verdicts.every(Measure("x", estimate([1.0, 1.0]), doublings=True), Measure("y", UP))
    assert found.leading() == {"effect": 2.0, "interval": (2.0, 2.0), "n": 2}
    assert found.told() == "x: × 2.00 (2.00 to 2.00) (all 2 alike, so that their scatter is unknown); y: 1.000 ± 0.248"
    assert verdicts.every(Measure("x", UP)).leading()["interval"] == UP.interval
    assert verdicts.fact(True, "It is.", Measure("x", 3)).leading() == {"effect": 3, "interval": None, "n": None}


def test_an_open_measure_says_what_its_design_would_find():
    assert verdicts.every(Measure("x", OPEN)).told().startswith("x: 0.333 ± 2.879 (3 seeds would find ")


def test_measures_of_which_any_may_decide_are_corrected_for_their_number():
    """It lies below 0 by itself, and not as one of four."""
    faint = estimate([-1.0, -2.0, -3.0, -2.5, -0.4])
    assert [Measure("x", faint).among(many).side for many in (1, 4)] == [-1, 0]
    assert [Measure("x", faint, BELOW).among(4, supporting).side for supporting in (1, 4)] == [1, 0]
    assert Measure("x", faint).corrected is None
    assert Measure("x", faint).among(4).corrected == faint.among(4).interval
    others = [Measure("y", UP)] * 3
    assert verdicts.every(Measure("x", faint)).word == "refuted"
    assert verdicts.every(Measure("x", faint), *others).word == "inconclusive"
    assert verdicts.some(*[Measure("x", faint, BELOW)] * 4).word == "inconclusive"
    assert "corrected for 4 comparisons" in verdicts.every(Measure("x", faint), *others).rule
    own = verdicts.every(Measure("x", faint), *others, rule="Refuted if one is below.").rule
    assert own == "Refuted if one is below, in an interval that is corrected for 4 comparisons."
    counts = [Measure(name, 3.0) for name in "abc"]  # cannot err
    assert verdicts.every(Measure("x", faint), *counts).word == "refuted"
    assert verdicts.parts({"one": [Measure("x", faint)], "two": counts}).word == "refuted"
    assert verdicts.some(Measure("x", faint, BELOW), *counts).measures[0].corrected is None
    assert verdicts.every(*counts).word == "supported"


def test_a_claim_of_several_parts_says_which_of_them_fails():
    found = verdicts.parts({"one": [Measure("x", UP)], "two": [Measure("y", DOWN), Measure("z", UP)], "three": []})
    assert found.word == "refuted"
    assert found.parts == {"one": "supported", "two": "refuted", "three": "supported"}
    assert "corrected for 3 comparisons" in found.rule
    assert verdicts.parts({"one": [Measure("x", UP)], "two": [Measure("y", OPEN)]}).parts["two"] == "inconclusive"


def test_of_a_hedged_part_one_measure_is_enough():
    """What can be so is refuted only where nothing is."""

    def word(*found):
        claimed = {"it can": [Measure("x", one) for one in found], "and": [Measure("y", UP)]}
        return verdicts.parts(claimed, hedged=["it can"]).word

    assert (word(UP, DOWN), word(DOWN, OPEN), word(DOWN, DOWN)) == ("supported", "inconclusive", "refuted")
    assert word(estimate([1.0]), estimate([-1.0])) == "one run agrees"
    rule = verdicts.parts({"it can": [Measure("x", UP)]}, hedged=["it can"]).rule
    assert rule.endswith("For “it can” one measure is enough, and it takes all to refute it.")


def test_something_in_the_way_leaves_it_open():
    found = verdicts.every(Measure("x", UP))
    assert found.unless("") is found
    assert found.unless("no run of r = 4 finished").word == "inconclusive"
    assert found.unless("no run of r = 4 finished").rule.endswith("Inconclusive, as no run of r = 4 finished.")


@pytest.mark.parametrize(
    ("leading", "other", "word"),
    [(UP, UP, "supported"), (UP, OPEN, "inconclusive"), (OPEN, UP, "inconclusive"), (DOWN, DOWN, "refuted")],
)
def test_a_question_asked_twice(leading, other, word):
    one, two = (verdicts.every(Measure(name, found)) for name, found in (("x", leading), ("y", other)))
    found = verdicts.agreed(one, [two], "without r = 1")
    assert found.word == word
    assert [measure.name for measure in found.measures] == ["x", "y"]
    assert found.rule.endswith("The same has to come out without r = 1; inconclusive where it does not.")


def test_one_run_asked_twice():
    one, two = (verdicts.every(Measure("x", estimate([value]))) for value in (1.0, -1.0))
    assert verdicts.agreed(one, [two], "otherwise").word == "one run disagrees"
    assert verdicts.agreed(one, [one], "otherwise").word == "one run agrees"


def test_a_rule_says_what_refutes():
    assert verdicts.fact(True, "Supported if it is.").rule == "Supported if it is; refuted if not."
    assert verdicts.fact(True, "Refuted if it is not.").rule == "Refuted if it is not."


def test_a_corrected_interval_is_told_where_it_leaves_open_what_the_other_decides():
    near = estimate([0.9, 1.0, 1.1, 1.5])
    alone, several = (verdicts.every(*[Measure("a", near, BELOW, 0.6)] * many) for many in (1, 20))
    assert (alone.word, several.word) == ("refuted", "inconclusive")
    assert "corrected" not in alone.told()
    assert several.measures[0].told().startswith("a: 1.125 ± 0.418, corrected for several measures 1.125 ± ")


def test_an_undecided_verdict_shows_no_intervals():
    found = verdicts.every(Measure("a", UP)).undecided()
    assert (found.word, found.measures[0].side, found.told()) == ("inconclusive", 0, "a: 1")


def test_facts():
    assert verdicts.near({"a": 0.083}, 0.08, 0.2).word == "supported"
    assert verdicts.near({"a": 0.083, "b": 0.2}, 0.08, 0.2).word == "refuted"
    rule = verdicts.near({"a": -0.25}, -0.25, 0.2).rule
    assert rule == "Supported if this is within 20% of the promised −0.25, refuted if not: a."
    assert "if all of these are within 20%" in verdicts.near({"a": 0.083, "b": 0.2}, 0.08, 0.2).rule
    one = [verdicts.all_or_none([flag], "r", by_seed=True).word for flag in (True, False)]
    assert one == [verdicts.AGREES, verdicts.DISAGREES]
    assert verdicts.all_or_none([True, True], "r", by_seed=True).word == verdicts.SUPPORTED
    assert [verdicts.all_or_none(f, "r").word for f in ([True], [True, False], [False])] == [
        "supported",
        "inconclusive",
        "refuted",
    ]


@pytest.mark.parametrize(
    ("sides", "always", "word"),
    [
        ([1, 0], True, "supported"),
        ([1, -1], True, "refuted"),
        ([1, -1], False, "supported"),
        ([0, -1], False, "refuted"),
        ([0], True, "inconclusive"),
        ([], False, "inconclusive"),
    ],
)
def test_what_documents_say(sides, always, word):
    assert verdicts.said(sides, "rule", always=always).word == word


def test_comparisons_are_corrected_for_their_number():
    clear, faint = [-1.0, -1.1, -0.9, -1.05, -0.95], [0.3, -1.2, 0.1, -0.9, -0.2]
    found = verdicts.stepdown([clear, clear, faint], BELOW)
    assert (found.right, found.wrong, len(found.rest)) == (2, 0, 1)
    assert found.verdict(2, "rule").word == "supported"
    assert found.verdict(3, "rule").word == "inconclusive"
    turned = verdicts.stepdown([clear, [-x for x in clear]], BELOW)
    assert (turned.right, turned.wrong, turned.verdict(2, "rule").word) == (1, 1, "refuted")
    names = [measure.side for measure in found.verdict(3, "rule", *[Measure("x", UP)] * 3).measures]
    assert found.levels == pytest.approx([0.05 / 3, 0.05 / 2, 0.05])
    assert names == [1, 1, 1], "each at the level of its own test"


def test_an_interval_that_means_nothing_is_not_told():
    of_one_sitting = Measure("tokens a second", estimate([0.8, 0.9, 1.0]), doublings=True, bare=True)
    assert verdicts.every(of_one_sitting).leading() == {"effect": pytest.approx(2**0.9), "interval": None, "n": 3}
    assert of_one_sitting.side == 0
    assert of_one_sitting.told() == "tokens a second: × 1.87"
    assert Measure("more", estimate([0.1, 0.3]), bare=True).told() == "more: 0.2"
