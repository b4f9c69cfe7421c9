import json
import math

import numpy as np
import pandas as pd
import pytest

from analysis.study.figures import Curves
from analysis.study.results import Results
from analysis.study.stats import estimate
from analysis.study.verdicts import BELOW, Measure, every, fact
from runner.errors import UserError
from runner.evidence import log
from tests.analysis import fake


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path)


SHOWN = [{"series": [{"name": "loss", "x": [0, 1], "y": [1, 2]}]}, {"series": [{"name": "loss", "x": [0], "y": [2]}]}]


def saved(results):
    return json.loads(results.save().read_text())


def test_a_number_keeps_its_value_and_unit(results):
    results.number("best-loss", np.float64(1.25), "nats", digits=2, interval=(np.float32(1.0), 1.5))
    results.number("tokens", np.int64(1_003_854))
    numbers = saved(results)["numbers"]
    assert numbers["best-loss"] == {"value": 1.25, "unit": "nats", "digits": 2, "interval": [1.0, 1.5], "reason": ""}
    assert numbers["tokens"]["value"] == 1_003_854


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan")])
def test_a_number_must_be_finite(results, value):
    with pytest.raises(UserError, match=r"number 'x' is -?(nan|inf)"):
        results.number("x", value)


@pytest.mark.parametrize("value", ["3", True, [1], np.array([1.0, 2.0])])
def test_a_number_must_be_a_number(results, value):
    with pytest.raises(UserError, match="must be a number"):
        results.number("x", value)


def test_none_needs_a_reason(results):
    with pytest.raises(UserError, match="give reason="):
        results.number("x", None)
    results.number("x", None, reason="every run diverged")


@pytest.mark.parametrize("name", ["Best", "best_loss", "best loss", "-x", ""])
def test_names_are_kebab_case(results, name):
    with pytest.raises(UserError, match="joined by hyphens"):
        results.number(name, 1)


def test_names_are_unique_within_a_kind(results):
    results.number("loss", 1)
    results.table("loss", pd.DataFrame({"a": [1]}))
    with pytest.raises(UserError, match="number 'loss' is given twice"):
        results.number("loss", 2)


def test_a_table_shows_formats_and_what_is_missing(results):
    frame = pd.DataFrame(
        {"r": [1, 2], "loss": [1.23456, math.nan], "text": ["−0.1 ± 0.2", "1,000"], "name": ["a", "b"]}
    )
    results.table("ratios", frame, formats={"loss": ".3f"})
    table = saved(results)["tables"]["ratios"]
    assert table["rows"] == [["1", "1.235", "−0.1 ± 0.2", "a"], ["2", "–", "1,000", "b"]]
    assert table["numeric"] == [True, True, True, False]
    assert table["values"][1][1] is None


def test_a_format_needs_its_column(results):
    with pytest.raises(UserError, match="names no column 'los'"):
        results.table("ratios", pd.DataFrame({"loss": [1.0]}), formats={"los": ".3f"})


def test_a_figure_is_drawn_in_both_schemes(results, tmp_path):
    results.figure("loss", [lambda ax: ax.plot([1, 2]), lambda ax: ax.plot([2, 1])], alt=["up", "down"], values=SHOWN)
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == [
        "loss-1-dark.svg",
        "loss-1-light.svg",
        "loss-2-dark.svg",
        "loss-2-light.svg",
    ]
    assert [p["alt"] for p in saved(results)["figures"]["loss"]["panels"]] == ["up", "down"]


def test_a_figure_keeps_the_values_behind_it(results):
    losses = pd.DataFrame({0: [3.0, 1.0], 1: [5.0, 1.0]}, index=[0, 10])
    results.figure("loss", Curves("Loss", "step", "nats", lines={"r = 4": losses}), alt="falls")
    (panel,) = saved(results)["figures"]["loss"]["panels"]
    (series,) = panel["values"].pop("series")
    assert panel["values"] == {"title": "Loss", "x": "step", "y": "nats"}
    assert (series["name"], series["x"], series["y"]) == ("r = 4", [0, 10], [4.0, 1.0])
    assert series["high"][0] == pytest.approx(4 + 12.706, abs=1e-3)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (None, "figure 'loss', panel 1: give values="),
        (SHOWN[:1], "2 panels but 1 of values"),
        ([{"series": [{"name": "a", "x": [1], "y": []}]}] * 2, "series 'a' has 1 x but 0 y"),
    ],
)
def test_a_plain_function_needs_its_values(results, values, said):
    with pytest.raises(UserError, match=said):
        results.figure("loss", [lambda ax: None] * 2, alt=["a", "b"], values=values)


@pytest.mark.parametrize(("alt", "said"), [(["one"], "2 panels but 1 texts"), (["a", " "], "alt is empty")])
def test_a_figure_needs_its_words(results, alt, said):
    with pytest.raises(UserError, match=said):
        results.figure("loss", [lambda ax: None] * 2, alt=alt)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"id": "four", "verdict": "supported"}, "looks like S0-4"),
        ({"id": "S0-4", "verdict": "true"}, "unknown verdict 'true'"),
        ({"id": "S0-4", "verdict": "not tested"}, "give reason="),
        ({"id": "S0-4", "verdict": "remark"}, "give reason="),
        ({"id": "S0-4", "verdict": "supported"}, "give rule="),
        ({"id": "S0-4", "verdict": "supported", "effect": math.nan, "rule": "r"}, "is nan"),
        ({"id": "S0-4", "verdict": "supported", "interval": (2, 1), "rule": "r"}, "low <= high"),
        ({"id": "S0-4", "verdict": every(Measure("x", estimate([1, 2]))), "seeds": [0]}, "2 effects but 1 seeds"),
    ],
)
def test_a_claim_is_checked(results, given, said):
    with pytest.raises(UserError, match=said):
        results.claim(**given)


def test_a_claim_keeps_its_rule_and_the_effects_by_seed(results):
    verdict = every(Measure("onset", estimate([-1.0, -1.5]), BELOW, 0.5, doublings=True), rule="It comes earlier.")
    results.claim("S0-4", verdict, **verdict.leading(), seeds=[3, 5])
    results.claim("S0-9", fact(True, "They are as many.", Measure("tokens", np.int64(3), 0, 3)))
    claims = saved(results)["claims"]
    assert (claims["S0-4"]["verdict"], claims["S0-4"]["rule"]) == (verdict.word, "It comes earlier.")
    onset = {"name": "onset", "wanted": "below", "bar": 0.5, "log2": True, "of": "seed", "seeds": [3, 5]}
    onset |= {"effects": [-1.0, -1.5], "mean": -1.25, "interval": list(estimate([-1.0, -1.5]).interval)}
    onset |= {"side": 0, "corrected": None}
    assert claims["S0-4"]["measures"] == [onset]
    results.claim("S0-5", every(Measure("seconds", estimate([1.0, 2.0]), bare=True)), seeds=[0, 1])
    (seconds,) = results.as_dict()["claims"]["S0-5"]["measures"]
    assert (seconds["interval"], seconds["effects"]) == (None, [1.0, 2.0])
    results.claim("S0-7", every(Measure("speed", estimate([1.0, 2.0], of="sitting"))), seeds=[0, 1, 2])
    (speed,) = results.as_dict()["claims"]["S0-7"]["measures"]
    assert (speed["of"], speed["seeds"], speed["effects"]) == ("sitting", None, [1.0, 2.0])
    tokens = {"name": "tokens", "wanted": "", "bar": 3, "log2": False, "seeds": None, "effects": [3.0]}
    tokens["of"] = None
    assert claims["S0-9"]["measures"] == [tokens | {"mean": 3.0, "interval": None, "side": 0, "corrected": None}]


def test_an_estimate_is_a_number_with_its_interval(results):
    found = estimate([0.1, 0.2])
    results.estimate("gain", found, "%", digits=1, scale=-100)
    results.estimate("alone", estimate([0.1]))
    numbers = saved(results)["numbers"]
    low, high = found.interval
    assert (numbers["gain"]["value"], numbers["gain"]["interval"]) == (-100 * found.mean, [-100 * high, -100 * low])
    assert numbers["alone"]["interval"] is None


def test_provenance_tells_runs_seeds_and_machine(results, tmp_path):
    for seed in (0, 1):
        fake.write_run(tmp_path / "logs", 4, seed)
    results.provenance(log.read_runs(tmp_path / "logs", "mlp-ratio", "laptop"))
    told = saved(results)["provenance"]["mlp-ratio"]
    assert [run["name"] for run in told["runs"]] == ["r4-s0", "r4-s1"]
    assert (told["seeds"], told["profile"], told["devices"]) == ([0, 1], "laptop", ["cpu"])


def test_the_same_results_give_the_same_bytes(tmp_path):
    def make(folder, names):
        results = Results(tmp_path / folder)
        for name in names:
            results.number(name, len(name) / 3)
        return results.save().read_bytes()

    assert make("a", ["one", "three"]) == make("b", ["three", "one"])
