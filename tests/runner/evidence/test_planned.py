from runner.evidence import log, planned
from runner.evidence.state import plan_identity
from runner.files import write_atomic
from runner.plan.spec import as_dict


def end(plan, root, loss: float, status: str = "finished") -> None:
    """An ended run's manifest and log, with one validation loss."""
    import json

    folder = plan.folder(root)
    manifest = {
        "schema": log.SCHEMA_VERSION,
        "run": plan.name,
        "experiment": plan.experiment,
        "profile": plan.profile,
        "identity": plan_identity(plan),
        "status": status,
        "spec": as_dict(plan.spec),
        "corpus": {"sha256": rule_sha(plan)},
        "code": "0",
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
