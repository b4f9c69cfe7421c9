import pytest

from analysis.build.project import Project
from analysis.site import claims
from runner.errors import UserError
from tests.analysis import fake


def load(tmp_path, text, notebooks=("mlp-ratio",)):
    path = tmp_path / "ledger.toml"
    path.write_text(text)
    return claims.load(path, "ledger.toml", list(notebooks))


def test_the_project_ledger_holds_every_claim_of_the_post():
    project = Project(fake.REPOSITORY)
    ledger = claims.load(project.ledger, "ledger.toml", project.notebook_names())
    assert {f"S0-{k}" for k in range(1, 15)} <= set(ledger.claims)


def test_entries_are_tables(tmp_path):
    with pytest.raises(UserError, match=r"^ledger.toml: write each claim as a table \[\[claim\]\], not as a list"):
        load(tmp_path, "claim = [1]")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('id = "S0-7"', 'id = "S0-4"', "given twice"),
        ('id = "S0-7"', 'id = "seven"', "looks like S0-4"),
        ('id = "S0-7"', 'id = "S9-7"', "no \\[\\[source\\]\\] has the letter S9"),
        ("untested =", "notebok =", "unknown key notebok"),
        ('notebook = "mlp-ratio"', 'notebook = "mlp"', "unknown notebook 'mlp'.*closest: mlp-ratio"),
        ('notebook = "mlp-ratio"', "", "give either notebook"),
        ('untested = "N', 'notebook = "mlp-ratio"\nuntested = "N', "give either notebook"),
        ("says =", "say =", "unknown key say"),
        ('test = "Onset against data size."', "", "test is missing"),
        ("[[source]]", "[[source", "ledger.toml: "),
        ("[[source]]", "[source]", r"ledger.toml: write \[\[source\]\] with two brackets"),
        ("[[source]]", "[[sources]]\nx = 1\n[[source]]", "unknown table 'sources'; .*closest: source"),
    ],
)
def test_a_faulty_ledger_is_refused(tmp_path, old, new, said):
    assert old in fake.LEDGER
    with pytest.raises(UserError, match=said):
        load(tmp_path, fake.LEDGER.replace(old, new, 1))


CHANGE = """
[[claim.history]]
date = 2026-11-24
was = "refuted"
now = "inconclusive"
why = "It timed something else."
"""


def test_a_claim_keeps_how_its_verdict_changed(tmp_path):
    ledger = load(tmp_path, fake.LEDGER + CHANGE)
    assert ledger.claims["S0-4"].history == ()
    (change,) = ledger.claims["S0-7"].history
    assert (str(change.date), change.was, change.now) == ("2026-11-24", "refuted", "inconclusive")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('why = "It timed something else."\n', "", "has date, was, now, why"),
        ('was = "refuted"', 'was = "wrong"', "unknown verdict 'wrong' in its history"),
        ("date = 2026-11-24", 'date = "2026-11-24"', "must look like 2026-11-24, without quotes"),
    ],
)
def test_a_faulty_history_is_refused(tmp_path, old, new, said):
    with pytest.raises(UserError, match=said):
        load(tmp_path, fake.LEDGER + CHANGE.replace(old, new))


def test_verdicts_come_from_results_alone(tmp_path):
    ledger = load(tmp_path, fake.LEDGER)
    given = {"verdict": "refuted", "effect": 1.0}
    verdicts = claims.verdicts(
        ledger,
        {"mlp-ratio": {"laptop": {"claims": {"S0-4": given}, "provenance": {"mlp-ratio": {"profile": "x"}}}}},
        "ledger.toml",
    )
    assert verdicts == {
        "S0-4": {"laptop": {**given, "scope": "small scale", "machine": "machine unknown"}},
        "S0-7": {"": {"verdict": "not tested", "reason": "Needs runs on more than one data size."}},
    }


def on(machine, verdict, reason="seen", basis="runs"):
    """Results of one claim from a machine."""
    provenance = {"mlp-ratio": {"machines": [machine], "devices": ["cpu"], "precisions": ["bf16"]}}
    entry = {"verdict": verdict, "reason": reason, "basis": basis, "effect": 1.0}
    return {"mlp-ratio": {"laptop": {"claims": {"S0-4": entry}, "provenance": provenance}}}


@pytest.mark.parametrize(
    ("here", "there", "word", "said"),
    [
        ("supported", "supported", "supported", "seen"),
        (
            "refuted",
            "inconclusive",
            "inconclusive",
            "on another kind of machine: refuted on A (cpu, bf16); inconclusive",
        ),
        ("inconclusive", "refuted", "inconclusive", "it comes out otherwise"),
        ("not tested", "refuted", "refuted", "on B (cpu, bf16): seen"),
        ("supported", "not tested", "supported", "seen"),
        ("supported", "one run agrees", "supported", "seen"),
        ("one run disagrees", "refuted", "one run disagrees", "seen"),
        ("supported", "one run disagrees", "inconclusive", "it comes out otherwise"),
    ],
)
def test_only_what_does_not_flip_between_machines_is_decided(tmp_path, here, there, word, said):
    ledger = load(tmp_path, fake.LEDGER)
    found = claims.verdicts(ledger, on("A", here), "ledger.toml", {"b": on("B", there)})["S0-4"]["laptop"]
    assert found["verdict"] == word
    assert said in found["reason"]
    assert [(one["machine"], one["verdict"]) for one in found["machines"]] == [
        ("A (cpu, bf16)", here),
        ("B (cpu, bf16)", there),
    ]


def test_what_an_obstacle_keeps_open_on_another_machine_did_not_come_out_otherwise(tmp_path):
    ledger, there = load(tmp_path, fake.LEDGER), on("B", "inconclusive")
    there["mlp-ratio"]["laptop"]["claims"]["S0-4"]["obstacle"] = "it takes 6 seeds, and there are 3"
    found = claims.verdicts(ledger, on("A", "refuted"), "ledger.toml", {"b": there})["S0-4"]["laptop"]
    assert found["verdict"] == "refuted"
    assert [one["verdict"] for one in found["machines"]] == ["refuted", "inconclusive"]


def test_arithmetic_needs_no_second_machine(tmp_path):
    ledger = load(tmp_path, fake.LEDGER)
    here, there = (on(name, "refuted", basis="arithmetic") for name in "AB")
    assert "machines" not in claims.verdicts(ledger, here, "ledger.toml", {"b": there})["S0-4"]["laptop"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "is to decide S0-4 and gives no verdict"),
        ({"S0-4": {}, "S0-99": {}}, "verdict on S0-99, but the ledger does not hold it"),
        ({"S0-4": {}, "S0-7": {}}, "verdict on S0-7, but the ledger says that none decides it"),
    ],
)
def test_ledger_and_results_must_agree(tmp_path, given, said):
    with pytest.raises(UserError, match=said):
        claims.verdicts(
            load(tmp_path, fake.LEDGER), {"mlp-ratio": {"laptop": {"claims": given, "provenance": {}}}}, "ledger.toml"
        )


@pytest.mark.parametrize(
    ("entry", "profile", "scope"),
    [
        ({"verdict": "supported", "basis": "runs"}, "laptop", "small scale"),
        ({"verdict": "one run agrees", "basis": "runs"}, "paper", "source’s size"),
        ({"verdict": "refuted", "basis": "arithmetic"}, "laptop", "arithmetic"),
        ({"verdict": "supported", "basis": "literature"}, "paper", "literature"),
        ({"verdict": "not tested", "basis": "runs"}, "laptop", ""),
        ({"verdict": "remark", "basis": "arithmetic"}, "laptop", ""),
    ],
)
def test_a_verdict_says_how_far_it_reaches(entry, profile, scope):
    assert claims.scope(entry, profile) == scope


def test_a_paper_profile_may_be_smaller_than_the_source(tmp_path):
    entry = {"verdict": "supported", "basis": "runs"}
    assert claims.scope(entry, "paper", "medium scale") == "medium scale"
    assert claims.scope(entry, "laptop", "medium scale") == "small scale"


def test_a_single_run_comes_after_several(tmp_path):
    def result(verdict: str) -> dict:
        entry = {"verdict": verdict, "reason": "", "basis": "runs"}
        return {"claims": {"S0-4": entry}, "provenance": {"mlp-ratio": {"profile": "x"}}}

    results = {"mlp-ratio": {"paper": result("one run agrees"), "laptop": result("supported")}}
    found = claims.verdicts(load(tmp_path, fake.LEDGER), results, "ledger.toml")
    assert list(found["S0-4"]) == ["laptop", "paper"]
    results["mlp-ratio"]["paper"] = result("inconclusive")
    found = claims.verdicts(load(tmp_path, fake.LEDGER), results, "ledger.toml")
    assert list(found["S0-4"]) == ["paper", "laptop"]
