import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from analysis.study import figures, style
from analysis.study.stats import estimate

LOSSES = pd.DataFrame({0: [4.0, 2.0, 1.0], 1: [5.0, 2.5, 1.5]}, index=[1, 10, 100])
PATHS = {0: LOSSES[0], 1: LOSSES[1]}
ONE, TWO = estimate([1.0, 2.0]), estimate([3.0, 3.5])
PANELS = {
    "curves": figures.Curves("t", "x", "y", lines={"a": LOSSES, "b": LOSSES + 1}),
    "levels": figures.Curves("t", "x", "y", lines={"a": LOSSES}, levels={"high": 9.0, "mid": 2.0, "low": 0.5}),
    "log": figures.Curves("t", "x", "y", lines={"a": LOSSES}, log=True),
    "smoothed": figures.Smoothed("t", "x", "y", lines={"a": LOSSES[0]}),
    "traces": figures.Traces("t", "x", "y", lines={"a": PATHS}, log=True, start=4.0),
    "numbers": figures.Dots("t", "x", "y", dots={1.0: ONE, 4.0: TWO}, seeds="joined", zero=True),
    "names": figures.Dots("t", "x", "y", dots={"a": ONE, "b": TWO}, seeds="beside"),
    "groups": figures.Groups("t", groups={"k": {"a": ONE, "b": TWO}, "l": {"a": TWO, "b": ONE}}, zero=True),
    "joined": figures.Groups("t", groups={"k": {"a": ONE, "b": TWO}}, joined=True),
    "levelled": figures.Groups("t", groups={"k": {"a": ONE, "b": TWO}}, levels={"high": 9.0, "low": 0.5}),
    "sweep": figures.Sweep("t", "x", "y", at=[0.1, 1.0], lines={"a": [ONE, TWO]}),
    "grid": figures.Sweep("t", at=[0.1, 1.0], lines={"a": [ONE, TWO]}, log=False, levels={"high": 9.0, "low": 0.5}),
    "over": figures.Traces("t", "x", "y", lines={"a": PATHS}, levels={"low": 0.5}),
    "rows": figures.Rows("t", "x", rows={"a": ONE, "b": TWO}, bars=(1, 2)),
    "spread": figures.Rows("t", "x", rows={"a": ONE}, spread=True),
    "marks": figures.Rows("t", "x", rows={"a": ONE}, marks=[figures.Mark("m", "|", {"a": 0.5})]),
    "spans": figures.Spans(
        "t",
        "x",
        rows={"a": figures.Span(2.0, (1.2, 3.4), (1, 4)), "b": figures.Span(4.0, None, (4, 4))},
        at=[0.67, 1, 2, 4],
        mark=4,
    ),
    "heat": figures.Heat(
        "t", "x", "y", cells=pd.DataFrame([[1.0, -2.0], [math.nan, 4]], index=["a", "b"], columns=[1, 2])
    ),
    "bars": figures.Bars("t", "x", "y", bars={"a": ONE, "b": TWO}),
    "drawing": figures.Drawing("t", function=lambda ax: ax.plot([1]), shown=[figures.Series("a", [0], [1])]),
}


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_draws_itself_in_both_schemes_and_to_the_same_bytes(name, tmp_path):
    for stem in ("one", "again"):
        style.save(PANELS[name], tmp_path, stem)
    for scheme in style.SCHEMES:
        assert (tmp_path / f"one-{scheme}.svg").read_bytes() == (tmp_path / f"again-{scheme}.svg").read_bytes()
    plt.close("all")


@pytest.mark.parametrize("name", PANELS)
def test_a_panel_tells_the_numbers_that_it_shows(name):
    values = PANELS[name].values()
    assert values["title"] == "t"
    for series in values["series"]:
        assert len(series["x"]) == len(series["y"])
        assert set(series) in ({"name", "x", "y"}, {"name", "x", "y", "low", "high"})
        assert all(y is None or type(y) is float or type(y) is int for y in series["y"])


def shown(name):
    return {series["name"]: series for series in PANELS[name].values()["series"]}


def test_levels_are_shown_unless_they_are_above_everything_else():
    assert list(shown("levels")) == ["a", "mid", "low"]
    assert shown("levels")["mid"] == {"name": "mid", "x": [1, 100], "y": [2.0, 2.0]}
    assert shown("levelled")["low"] == {"name": "low", "x": ["a", "b"], "y": [0.5, 0.5]}
    assert "high" not in shown("levelled")
    assert shown("grid")["low"] == {"name": "low", "x": [0.1, 1.0], "y": [0.5, 0.5]}
    assert "high" not in shown("grid")
    assert shown("over")["low"] == {"name": "low", "x": [1, 100], "y": [0.5, 0.5]}


def test_means_and_intervals():
    assert (shown("spread")["measured"]["low"], shown("spread")["measured"]["high"]) == ([100.0], [200.0])
    assert shown("curves")["a"]["y"] == [4.5, 2.25, 1.25]
    assert shown("numbers")["mean"]["low"] == [ONE.interval[0], TWO.interval[0]]
    assert shown("numbers")["seed 1"]["y"] == [2.0, 3.5]
    named = figures.Dots("t", dots={"a": ONE}, seeds="beside", named=[3, 5])
    assert [series.name for series in named.series()] == ["mean", "seed 3", "seed 5"]
    assert shown("rows")["measured"]["y"] == [150.0, 325.0]
    assert shown("marks")["m"]["y"] == [50.0]
    level = shown("spans")["level with the best"]
    assert (level["y"], level["low"], level["high"]) == ([2.0, 4.0], [1, 4], [4, 4])
    assert shown("spans")["best that was tried, interval of the best"]["low"] == [1.2, None]
    assert "low" not in figures.Dots("t", dots={"a": estimate([1.0])}).values()["series"][0]


def test_runs_one_by_one_and_what_is_not_finite():
    assert shown("traces")["a, 1"]["y"] == [5.0, 2.5, 1.5]
    assert shown("heat")["b"]["y"] == [None, 4.0]
    diverged = figures.Traces("t", lines={"a": {0: pd.Series([1.0, math.inf], index=[0, 1])}})
    assert diverged.values()["series"][0]["y"] == [1.0, None]


def test_smoothing_is_tensorboards():
    assert figures.smoothed([1.0, 1.0, 1.0], 0.6) == pytest.approx([1, 1, 1])
    assert figures.smoothed([0.0, 1.0], 0.6) == pytest.approx([0, 0.4 / 0.64])
    assert np.isfinite(figures.smoothed(LOSSES[0], 0.6)).all()
