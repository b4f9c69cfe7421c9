import math

import numpy as np
import pytest

from runner.errors import UserError
from runner.training.draw import Draw

LOGITS = np.log(np.array([0.5, 0.3, 0.2]))
GRID = np.linspace(0, 1, 1000, endpoint=False)


def shares(draw: Draw, logits: np.ndarray = LOGITS, seen=()) -> list[float]:
    """How often each token comes, in percent of evenly spread numbers."""
    drawn = [draw.choose(logits, seen, u) for u in GRID]
    return (np.bincount(drawn, minlength=len(logits)) / 10).tolist()


def test_draws_follow_the_odds():
    assert shares(Draw()) == pytest.approx([50, 30, 20], abs=0.1)
    squares = np.array([25, 9, 4]) / 38 * 100
    assert shares(Draw(temperature=0.5)) == pytest.approx(squares, abs=0.2), "odds to the power of two"


def test_top_k_keeps_the_likeliest():
    assert shares(Draw(top_k=2)) == pytest.approx([62.5, 37.5, 0], abs=0.2)
    assert shares(Draw(top_k=1, temperature=9)) == [100, 0, 0]
    assert shares(Draw(top_k=99)) == shares(Draw())


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, 1), (0.51, 2), (0.79, 2), (0.81, 3), (1.0, 3)])
def test_top_p_keeps_as_few_as_have_that_probability(top_p, kept):
    assert sum(share > 0 for share in shares(Draw(top_p=top_p))) == kept


def test_top_p_counts_after_the_temperature_and_among_the_k_likeliest():
    assert shares(Draw(temperature=0.5, top_p=0.65)) == [100, 0, 0], "0.5 is 25/38 after squaring"
    assert shares(Draw(top_k=2, top_p=0.62)) == [100, 0, 0], "0.5 is 0.625 of two"


def test_the_penalty_makes_what_was_there_less_likely():
    logits = np.array([2.0, 2.0, -1.0, -1.0])
    odds = np.exp([1.0, 2.0, -2.0, -1.0])
    expected = odds / odds.sum() * 100
    assert shares(Draw(repetition_penalty=2.0), logits, seen=[0, 2, 0]) == pytest.approx(expected, abs=0.2)
    assert shares(Draw(), logits, seen=[0, 2]) == shares(Draw(), logits)
    assert logits.tolist() == [2.0, 2.0, -1.0, -1.0], "the model's own numbers stay"


SETTINGS = [
    Draw(),
    Draw(temperature=0.3),
    Draw(top_k=4),
    Draw(top_p=0.8),
    Draw(temperature=1.5, top_k=9, top_p=0.7, repetition_penalty=1.7),
    Draw(top_k=1),
    Draw(repetition_penalty=0.6),
]


@pytest.mark.parametrize("draw", SETTINGS, ids=str)
def test_what_is_certain_is_the_same_for_all_logits_that_near(draw):
    """The worst of roundings: each logit moves by the whole slack, up or down."""
    random, slack, certain, moved = np.random.default_rng(0), 0.02, 0, 0
    for _ in range(3000):
        logits, u = 2 * random.normal(size=12), random.random()
        near = logits + slack * random.choice([-1, 1], size=12)
        seen = random.integers(12, size=5).tolist()
        token, exact = draw.choose(near, seen, u, slack), draw.choose(logits, seen, u)
        certain += token is not None
        moved += draw.choose(near, seen, u) != exact
        assert token in (None, exact)
    assert certain > 1500, "it says something of most"
    assert moved > 0, "and roundings of this size do matter"


def test_equal_logits_are_never_certain_where_they_decide():
    tied = np.zeros(4)
    assert Draw(top_k=2).choose(tied, [], 0.3, 1e-9) is None
    assert Draw(top_p=0.4).choose(tied, [], 0.3, 1e-9) is None
    assert Draw().choose(tied, [], 0.3, 1e-9) == 1
    assert Draw().choose(tied, [], 0.25, 1e-9) is None, "an edge between two tokens"


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (Draw(temperature=0), "temperature 0 must be at least .*; .* top-k 1 always takes the likeliest"),
        (Draw(temperature=-1), "temperature -1 must be at least"),
        (Draw(temperature=math.nan), "temperature nan must be at least"),
        (Draw(top_k=0), "top-k 0 must be at least 1"),
        (Draw(top_p=0), "top-p 0 must be above 0 and at most 1"),
        (Draw(top_p=1.1), r"top-p 1\.1 must be above 0 and at most 1"),
        (Draw(repetition_penalty=0), "repetition penalty 0 must be above 0"),
    ],
)
def test_bad_settings_are_named(draw, message):
    with pytest.raises(UserError, match=message):
        draw.check()
