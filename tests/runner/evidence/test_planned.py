import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from runner.evidence import log, planned
from runner.evidence.state import plan_identity
from runner.files import write_atomic
from runner.plan.experiment import APART, Experiment
from runner.plan.spec import as_dict

EVENING = datetime(2026, 11, 28, 20, tzinfo=UTC)


def end(plan, root, loss: float, status: str = "finished", started: datetime = EVENING) -> None:
    """An ended run's manifest and log, with one validation loss."""

    folder = plan.folder(root)
    manifest = {
        "schema": log.SCHEMA_VERSION,
        "run": plan.name,
        "experiment": plan.experiment,
        "profile": plan.profile,
        "identity": plan_identity(plan),
        "status": status,
        "started": started.isoformat(),
        "spec": as_dict(plan.spec),
        "corpus": {"sha256": rule_sha(plan)},
        "code": "0",
        "environment": {"precision": "float32", "compile": False},
        "sessions": [],
        "seed": plan.spec.seed,
        "log_every": 1,
        "files": {},
    }
    write_atomic(folder / "manifest.json", json.dumps(manifest))
    log.write(folder / "metrics.parquet", log.table([{"step": 1, "split": "val", "loss": loss}], log.METRICS))


def rule_sha(plan) -> str:
    from runner.data.dataset import fingerprint

    return fingerprint(plan.spec.data)


def sweep(ruled, root, losses: dict[str, float], status: str = "finished") -> None:
    for plan in ruled.plans("smoke"):
        arm = plan.spec.model.activation
        end(plan, root, losses[arm] + plan.spec.seed, status if arm == "silu" else "finished")


def test_it_waits_for_results(ruled, tmp_path):
    assert planned.decide(ruled, "smoke", tmp_path).more is None
    assert [p.name for p in planned.plans(ruled, "smoke", tmp_path)] == ["relu2-s0", "silu-s0", "relu2-s1", "silu-s1"]


def test_a_winner_spares_the_others(ruled, tmp_path):
    sweep(ruled, tmp_path, {"relu2": 2.0, "silu": 1.9})
    decision = planned.decide(ruled, "smoke", tmp_path)
    assert decision.more == []
    assert "in 2 of 2 pairs, at -0.1000 nats" in decision.reason
    assert "gelu need not run" in decision.reason


def test_a_loser_calls_the_others_in(ruled, tmp_path):
    sweep(ruled, tmp_path, {"relu2": 2.0, "silu": 2.0})
    assert [plan.name for plan in planned.decide(ruled, "smoke", tmp_path).more] == ["gelu-s0", "gelu-s1"]
    assert len(planned.plans(ruled, "smoke", tmp_path)) == 6


def test_who_diverged_has_lost(ruled, tmp_path):
    sweep(ruled, tmp_path, {"relu2": 2.0, "silu": 1.0}, status="diverged")
    assert len(planned.decide(ruled, "smoke", tmp_path).more) == 2


def test_runs_that_are_not_planned_are_found(ruled, tmp_path):
    sweep(ruled, tmp_path, {"relu2": 2.0, "silu": 1.9})
    plans = ruled.plans("smoke")
    assert planned.unplanned(plans, tmp_path) == []
    assert planned.unplanned(plans[1:], tmp_path) == [plans[0].folder(tmp_path)]


@pytest.fixture
def timed(ruled):
    """Two sittings of one seed each."""
    return replace(ruled, profiles={"smoke": ruled.profiles["smoke"] | {"seeds": 2, "sittings": 2}})


def test_without_sittings_all_runs_are_due(ruled, tmp_path):
    assert planned.due(ruled, "smoke", tmp_path) == planned.Due(ruled.plans("smoke"))
    assert str(planned.due(ruled, "smoke", tmp_path)) == ""


def test_the_next_sitting_waits_for_the_one_before_and_then_for_hours(timed, tmp_path):
    first = timed.plans("smoke")[:2]
    found = planned.due(timed, "smoke", tmp_path)
    assert (found.plans, found.waiting, found.next) == (first, 2, None)
    assert str(found) == "2 runs wait for another sitting, which may begin 6 hours after this one"
    end(first[0], tmp_path, 2.0)
    assert planned.due(timed, "smoke", tmp_path, EVENING + 2 * APART).plans == first, "one of its runs is missing"
    end(first[1], tmp_path, 2.0, started=EVENING + timedelta(minutes=5))
    allowed = EVENING + timedelta(minutes=5) + APART
    found = planned.due(timed, "smoke", tmp_path, allowed)
    assert (found.plans, found.next) == (first, allowed)
    assert "2 runs wait for another sitting, which may begin 29 November" in str(found)
    assert planned.due(timed, "smoke", tmp_path, allowed + timedelta(seconds=1)).plans == timed.plans("smoke")


def test_a_sitting_that_has_begun_goes_on(timed, tmp_path):
    plans = timed.plans("smoke")
    for plan in plans[:3]:
        end(plan, tmp_path, 2.0)
    assert planned.due(timed, "smoke", tmp_path, EVENING).plans == plans


@pytest.mark.parametrize("how", ["stopped", "changed", "placed"])
def test_a_run_that_has_to_be_trained_again_holds_the_next_sitting_back(timed, tmp_path, how, monkeypatch):
    plans = timed.plans("smoke")
    for plan in plans[:2]:
        end(plan, tmp_path, 2.0, "stopped" if how == "stopped" else "finished")
    if how == "changed":
        longer = replace(plans[0].spec.train, steps=99)
        end(replace(plans[0], spec=replace(plans[0].spec, train=longer)), tmp_path, 2.0)
    if how == "placed":
        plans = [replace(plans[0], placement={"precision": "bf16"}), *plans[1:]]
        monkeypatch.setattr(Experiment, "plans", lambda *_: plans)
    found = planned.due(timed, "smoke", tmp_path, EVENING + 2 * APART)
    assert (found.plans, found.waiting, found.next) == (plans[:2], 2, None)
