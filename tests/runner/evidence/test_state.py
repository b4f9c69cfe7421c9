import json
from dataclasses import replace
from pathlib import Path

import pytest

from runner.evidence import checkpoint, state
from runner.plan.plan import Plan
from tests.conftest import at_call, train_here


def look(plan: Plan, root: Path) -> tuple[str, str, str]:
    found = state.inspect(plan, root)
    return found.action, found.status, found.reason


def test_every_state_has_its_reason(tiny, tmp_path):
    assert look(tiny, tmp_path) == ("train", "missing", "it has not been trained")
    train_here(tiny, tmp_path, stopping=at_call(50))
    step = checkpoint.last_step(tiny.folder(tmp_path) / "checkpoint")
    assert 0 < step < 30
    assert look(tiny, tmp_path) == ("resume", "stopped", f"it stopped after its checkpoint of step {step}")
    train_here(tiny, tmp_path)
    assert look(tiny, tmp_path) == ("skip", "finished", "it finished at step 30")
    other = replace(tiny, spec=replace(tiny.spec, model=replace(tiny.spec.model, dropout=0.5)))
    assert look(other, tmp_path) == ("train", "outdated", "its specification changed: model.dropout 0.2 → 0.5")


def test_an_arm_that_is_a_placement_is_trained_again_with_another_one(tiny, tmp_path):
    arm = replace(tiny, placement={"precision": "float32", "sample_tokens": 5})
    train_here(arm, tmp_path)
    assert look(arm, tmp_path)[:2] == ("skip", "finished")
    assert look(replace(arm, placement={"sample_tokens": 9}), tmp_path)[:2] == ("skip", "finished"), "no number changes"
    other = replace(arm, placement={"precision": "bf16"})
    assert look(other, tmp_path) == ("train", "outdated", "its arm has another placement now: precision")
    train_here(other, tmp_path)
    assert look(other, tmp_path)[:2] == ("skip", "finished")
    assert len(list((tiny.folder(tmp_path).parent / ".set-aside").iterdir())) == 1


def test_code_that_changed_since_is_drift(tiny, tmp_path):
    train_here(tiny, tmp_path)
    assert not state.inspect(tiny, tmp_path).drift
    path = tiny.folder(tmp_path) / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | {"code": "other"}))
    assert state.inspect(tiny, tmp_path).drift
    resumed = [*manifest["sessions"], manifest["sessions"][0] | {"from_step": 10, "code": "other"}]
    path.write_text(json.dumps(manifest | {"sessions": resumed}))
    assert state.inspect(tiny, tmp_path).drift


@pytest.mark.parametrize("settings", [{}, {"seed": 3}])
def test_the_identity_of_a_plan_is_that_of_its_manifest(tiny, tmp_path, settings):
    plan = replace(tiny, spec=replace(tiny.spec, **settings))
    train_here(plan, tmp_path)
    manifest = json.loads((plan.folder(tmp_path) / "manifest.json").read_text())
    assert manifest["identity"] == state.plan_identity(plan)


def test_what_was_set_aside_is_never_overwritten(tiny, tmp_path):
    """Specification A, then B, then A again and B again: four runs, and all are kept."""
    shorter = replace(tiny, spec=replace(tiny.spec, train=replace(tiny.spec.train, steps=5)))
    for plan in (tiny, shorter, tiny, shorter):
        train_here(plan, tmp_path)
    aside = tiny.folder(tmp_path).parent / ".set-aside"
    assert len(list(aside.glob("*/metrics.parquet"))) == 3
    first = aside / f"{tiny.name}-{state.plan_identity(tiny)}"
    assert first.is_dir()
    assert first.with_name(f"{first.name}-2").is_dir()
