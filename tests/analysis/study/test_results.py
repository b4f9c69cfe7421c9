import json
import math

import numpy as np
import pandas as pd
import pytest

from analysis.study.results import Results
from runner.errors import UserError
from runner.evidence import log
from tests.analysis import fake


@pytest.fixture
def results(tmp_path):
    return Results(tmp_path)


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
    results.figure("loss", [lambda ax: ax.plot([1, 2]), lambda ax: ax.plot([2, 1])], alt=["up", "down"])
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == [
        "loss-1-dark.svg",
        "loss-1-light.svg",
        "loss-2-dark.svg",
        "loss-2-light.svg",
    ]
    assert [p["alt"] for p in saved(results)["figures"]["loss"]["panels"]] == ["up", "down"]


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
        ({"id": "S0-4", "verdict": "supported", "effect": math.nan}, "is nan"),
        ({"id": "S0-4", "verdict": "supported", "interval": (2, 1)}, "low <= high"),
    ],
)
def test_a_claim_is_checked(results, given, said):
    with pytest.raises(UserError, match=said):
        results.claim(**given)


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
