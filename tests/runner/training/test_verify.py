import json
import math
import shutil
from pathlib import Path

import pytest

from runner.errors import UserError
from runner.evidence import log, state
from runner.files import sha256
from runner.plan.plan import Plan
from runner.training import verify
from tests.conftest import train_here


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """The finished run, to tamper with."""
    return Path(shutil.copytree(trained, tmp_path.joinpath(*trained.parts[-3:])))


def rewrite(folder: Path, change) -> None:
    """Change the manifest, and keep it consistent with the files."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    manifest["files"] = {name: sha256(folder / name) for name in manifest["files"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def elsewhere(folder: Path, **changed) -> None:
    """Let it have been trained in another environment."""

    def change(manifest) -> None:
        for place in (manifest, *manifest["sessions"]):
            place["environment"].update(changed)

    rewrite(folder, change)


def forge(folder: Path, by: float) -> None:
    """Publish other numbers than were measured."""
    rows = log.read(folder / "metrics.parquet", log.METRICS).to_pylist()
    rows[4]["loss"] += by
    log.write(folder / "metrics.parquet", log.table(rows, log.METRICS))
    rewrite(folder, lambda manifest: None)


def test_an_honest_run_is_identical(trained: Path):
    assert verify.verify(trained, 20) == verify.Verdict("identical", 8, 0.0, True)


def test_a_short_run_is_verified_whole(tiny: Plan, trained: Path, tmp_path: Path):
    """Where no number of steps is asked for."""
    assert train_here(tiny, tmp_path) == "finished"
    assert (verify.length(tiny.folder(tmp_path)), verify.length(trained)) == (30, 50)
    with pytest.raises(UserError, match="holds no ended run"):
        verify.length(tmp_path)


def test_a_forged_number_is_found(copy: Path):
    forge(copy, 1e-9)
    found = verify.verify(copy, 20)
    assert found.kind == "different"
    assert found.largest == pytest.approx(1e-9)


def test_another_kind_of_machine_is_allowed_a_tolerance(copy: Path):
    elsewhere(copy, machine="another")
    assert verify.verify(copy, 20).kind == "identical"
    forge(copy, 0.001)
    found = verify.verify(copy, 20)
    assert (found.kind, found.same_kind) == ("within tolerance", False)
    forge(copy, 0.5)
    assert verify.verify(copy, 20).kind == "different"


@pytest.mark.parametrize(("step", "same_kind"), [(10, False), (20, True)])
def test_only_the_machines_of_the_steps_that_are_compared_count(copy: Path, step: int, same_kind: bool):
    def resumed(manifest):
        session = manifest["sessions"][0]
        elsewhere = {"environment": session["environment"] | {"threads": 7}, "from_step": step}
        manifest["sessions"].append(session | elsewhere)

    rewrite(copy, resumed)
    assert verify.verify(copy, 20).same_kind == same_kind


def test_a_run_that_was_compiled_from_nothing_is_of_this_kind_of_machine(copy: Path):
    elsewhere(copy, cold=True)
    assert verify.verify(copy, 20) == verify.Verdict("identical", 8, 0.0, True)


def test_rows_that_are_not_numbers_compare_as_themselves():
    row = {"step": 0, "split": "batch", "loss": math.nan}
    assert verify.compare([row], [dict(row)], True).kind == "identical"
    assert verify.compare([row], [row | {"loss": 1.0}], False).kind == "different"
    assert verify.compare([row], [row | {"step": 1}], False).kind == "different"
    assert verify.compare([row], [row, row], True).kind == "different", "a log that was cut short"


@pytest.mark.parametrize("steps", [0, 61])
def test_bad_steps_are_named(trained, steps):
    with pytest.raises(UserError, match="must lie between 1 and the run's 60"):
        verify.verify(trained, steps)


def test_what_is_not_there_or_damaged_is_named(copy, tmp_path):
    with pytest.raises(UserError, match="holds no ended run"):
        verify.verify(tmp_path / "nowhere", 5)
    (copy / "samples.txt").unlink()
    with pytest.raises(UserError, match=r"samples\.txt is missing"):
        verify.verify(copy, 5)


def test_a_run_that_is_found_identical_may_be_marked(tiny, tmp_path):
    train_here(tiny, tmp_path)
    folder = tiny.folder(tmp_path)
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"code": "of another day"}))
    assert state.inspect(tiny, tmp_path).drift
    assert verify.verify(folder, 10).kind == "identical"
    assert verify.mark(folder, 10).startswith("identical over 10 steps at commit ")
    assert not state.inspect(tiny, tmp_path).drift
    note = folder / state.VERIFIED
    note.write_text(note.read_text().replace(state.verified(folder).code, "older"))
    assert state.inspect(tiny, tmp_path).drift, "and the code has changed again"
    note.write_text("{")
    assert state.inspect(tiny, tmp_path).drift
