import json
import shutil
from dataclasses import replace

from analysis.build import compare, execute
from tests.analysis import fake

NAME = "mlp-ratio"


def number(value, digits=2, interval=None):
    return {"value": value, "digits": digits, "unit": "", "interval": interval, "reason": ""}


def claim(verdict, effect=None, interval=None):
    return {"verdict": verdict, "effect": effect, "interval": interval, "n": 3, "unit": "", "reason": ""}


def agreement(mine, other):
    empty = {"numbers": {}, "claims": {}}
    return [row.agrees for row in compare.rows({**empty, **mine}, {**empty, **other})]


def test_numbers():
    def numbers(mine, other):
        return agreement({"numbers": {"x": mine} if mine else {}}, {"numbers": {"x": other} if other else {}})

    assert numbers(number(1.0), number(1.0)) == ["identical"]
    assert numbers(number(1.0), number(1.001)) == ["same as printed"]
    assert numbers(number(1.1), number(1.0, interval=[0.9, 1.2])) == ["within interval"]
    assert numbers(number(1.3), number(1.0, interval=[0.9, 1.2])) == ["differs"]
    assert numbers(number(1.3), None) == ["differs"]


def test_verdicts():
    def claims(mine, other):
        return agreement({"claims": {"S0-4": mine}}, {"claims": {"S0-4": other}})

    assert claims(claim("supported", 1.0), claim("supported", 1.0)) == ["identical"]
    assert claims(claim("supported", 1.0), claim("supported", 1.3, [0.9, 2.0])) == ["within interval"]
    assert claims(claim("supported", 1.0), claim("inconclusive", 1.0)) == ["differs"]


def test_a_line_a_post_says_which_verdicts_flip():
    mine = {"numbers": {"x": number(1.0), "y": number(1.1), "z": number(5.0)}, "claims": {"S0-4": claim("supported")}}
    other = {
        "numbers": {"x": number(1.0), "y": number(1.0, interval=[0.9, 1.2]), "z": number(1.0, interval=[0.9, 1.2])},
        "claims": {"S0-4": claim("inconclusive")},
    }
    found = [
        compare.Comparison(NAME, "laptop", compare.rows(mine, other)),
        compare.Comparison("b", "laptop", [], "none"),
    ]
    assert compare.by_post({"one": [NAME, "b"], "two": ["b"]}, found) == [
        "one: of 4 numbers and verdicts 1 are identical, 1 within the published intervals, 2 outside; verdicts that "
        "flip: S0-4 (inconclusive → supported)"
    ]
    mine["claims"]["S0-4"]["n"], other["claims"]["S0-4"]["n"] = 3, 10
    fewer = [compare.Comparison(NAME, "laptop", compare.rows(mine, other))]
    assert compare.by_post({"one": [NAME]}, fewer)[0].endswith("S0-4 (inconclusive → supported, n = 3 instead of 10)")
    fewer = [replace(one, runs=frozenset("ab"), same=frozenset("b")) for one in fewer]
    (line,) = compare.by_post({"one": [NAME]}, fewer)
    assert line.startswith("one: 1 of 2 runs have the published bytes; of 4 numbers")
    same = [compare.Comparison(NAME, "laptop", compare.rows(mine, mine))]
    (line,) = compare.by_post({"one": [NAME]}, same)
    assert line.endswith("4 are identical, 0 within the published intervals, 0 outside; no verdict flips")


def test_what_nothing_is_published_of_is_said_once():
    def without(name, profile="smoke"):
        about = f"nothing is published for the profile {profile}"
        return compare.Comparison(name, profile, [], f"{about}; published: {name}")

    found = [without("a"), compare.Comparison("b", "laptop", []), without("c"), without("d", "paper")]
    assert compare.nothing(found) == [
        "2 notebooks: nothing is published for the profile smoke",
        "d: nothing is published for the profile paper; published: d",
    ]


def test_the_same_logs_are_not_executed_again(house):
    (found,) = compare.compare(house, NAME)
    assert {row.agrees for row in found.rows} == {"identical"}
    assert "laptop profile, against the published results: 5 identical" in found.summary()
    assert not house.published.exists()


def test_other_logs_are_compared_with_the_published_ones(house, monkeypatch):
    """The published side is executed; papermill is stood in for, as other tests execute."""
    shutil.copytree(house.logs, house.root / "runs")
    fake.write_run(house.logs, 4, 0, shift=0.5)

    def stand_in(plan, project):
        shutil.copytree(house.results / NAME / "laptop", plan.output, dirs_exist_ok=True)
        path = plan.output / "results.json"
        results = json.loads(path.read_text())
        results["numbers"]["bar"]["value"] = 9.0
        path.write_text(json.dumps(results))
        return execute.Outcome(NAME, "first time")

    execute.write_record(execute.plan(house, NAME, house.root / "runs"), house, house.results / NAME / "laptop")
    monkeypatch.setattr(execute, "execute", stand_in)
    (found,) = compare.compare(house, NAME)
    assert [(row.name, row.here, row.published) for row in found.rows if row.agrees == "differs"] == [
        ("bar", "1.80", "9.00")
    ]
    assert len(found.runs - found.same) == 1, "r4-s0 is another run"
    fake.write_run(house.logs, 4, 17)
    (of_fewer,) = compare.compare(house, NAME)
    assert of_fewer.summary().endswith("4 identical, 1 of fewer runs")


def test_nothing_published_is_said(house):
    shutil.rmtree(house.logs)
    fake.write_run(house.logs, 4, 0, "smoke")
    (found,) = compare.compare(house, NAME)
    assert found.summary() == "mlp-ratio: nothing is published for the profile laptop; published: smoke"


def test_of_what_nothing_is_published_is_said(house):
    record = json.loads((house.results / NAME / "laptop" / execute.RECORD).read_text())
    fake.write_run(house.root / "runs", 4, 0, experiment="web-ratio")
    (house.results / NAME / "laptop" / execute.RECORD).write_text(
        json.dumps(record | {"experiments": ["mlp-ratio", "web-ratio"]})
    )
    (found,) = compare.compare(house, NAME)
    assert found.summary() == (
        "mlp-ratio: nothing is published for the profile laptop of web-ratio; published: no profile"
    )


def test_of_what_reads_everything_each_experiment_has_its_own_profile(house):
    fake.write_run(house.logs, 4, 0, "paper", experiment="three-x")
    path = house.results / NAME / "laptop" / execute.RECORD
    record = json.loads(path.read_text())
    record["parts"]["logs"] |= {"three-x/paper/r4-s0": "1-2", "three-x/smoke/r4-s0": "1-2"}  # the second unpublished
    path.write_text(json.dumps(record | {"experiments": []}))
    (found,) = compare.compare(house, NAME)
    assert not found.nothing, found.nothing


def test_nothing_executed_is_empty(bare):
    assert compare.compare(bare, NAME) == []
