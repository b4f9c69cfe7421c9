"""The state of a run's folder, what a sweep does with the run, and why."""

import itertools
import json
import shutil
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from runner import lock
from runner.data import dataset
from runner.evidence import checkpoint, code, log
from runner.evidence.status import Status
from runner.files import write_atomic
from runner.plan.plan import Plan
from runner.plan.spec import as_dict, differences, identity

VERIFIED = "verified.json"  # beside a run that newer code has reproduced identically


class Action(StrEnum):
    """What a sweep does with a run."""

    TRAIN = "train"
    RESUME = "resume"
    SKIP = "skip"


@dataclass(frozen=True)
class State:
    """What a sweep does with a run, the status of its folder, and why; `drift`: the code has changed since."""

    action: Action
    status: Status
    reason: str
    drift: bool = False


def plan_identity(plan: Plan) -> str:
    """The identity of a planned run, 12 hexadecimal digits."""
    return identity(as_dict(plan.spec), dataset.fingerprint(plan.spec.data))


def inspect(plan: Plan, root: Path) -> State:
    """The state of a planned run's folder under `root`."""
    folder = plan.folder(root)
    manifest = log.read_manifest(folder)
    step = checkpoint.last_step(folder / "checkpoint")
    if manifest is None and step is None:
        return State(Action.TRAIN, Status.MISSING, "it has not been trained")
    if manifest is None:
        return State(Action.RESUME, Status.STOPPED, f"its manifest is missing, its checkpoint of step {step} is not")
    if manifest["identity"] != plan_identity(plan):
        changed = differences(manifest["spec"], as_dict(plan.spec)) or ["the corpus"]
        return State(Action.TRAIN, Status.OUTDATED, f"its specification changed: {', '.join(changed)}")
    if other := moved(manifest, plan):
        return State(Action.TRAIN, Status.OUTDATED, f"its arm has another placement now: {', '.join(other)}")
    drift = not _current(folder, manifest, code.fingerprint(plan.spec))
    if manifest["status"] == Status.FINISHED:
        return State(Action.SKIP, Status.FINISHED, f"it finished at step {plan.spec.train.steps}", drift)
    if manifest["status"] == Status.DIVERGED:
        return State(Action.SKIP, Status.DIVERGED, f"its loss was not finite at step {manifest['diverged_at']}", drift)
    status = Status.RUNNING if lock.holder(folder) else Status.STOPPED
    if step is None:
        return State(Action.TRAIN, status, "it stopped before its first checkpoint", drift)
    return State(Action.RESUME, status, f"it stopped after its checkpoint of step {step}", drift)


def moved(manifest: dict[str, Any], plan: Plan) -> list[str]:
    """The settings of an arm's placement that a run was not trained with, of those that decide its numbers."""
    trained, wanted = {"cold": False} | manifest["environment"], plan.placement
    return [name for name in ("precision", "compile", "cold") if name in wanted and wanted[name] != trained[name]]


@dataclass(frozen=True)
class Verified:
    """A note that newer code has reproduced the first `steps` steps of a run identically.

    `code` is the fingerprint of that code, `commit` its Git commit, `date` the day, such as 2026-11-24.
    """

    code: str
    commit: str
    date: str
    steps: int


def keep(folder: Path, note: Verified) -> None:
    """Write the note into a run's folder. It is no part of the run's evidence."""
    write_atomic(folder / VERIFIED, json.dumps(asdict(note), indent=1) + "\n")


def verified(folder: Path) -> Verified | None:
    """The note in a run's folder; None where there is none, or none that can be read."""
    try:
        return Verified(**json.loads((folder / VERIFIED).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _current(folder: Path, manifest: dict[str, Any], now: str) -> bool:
    """Whether the code with fingerprint `now` made the run, in all its sessions, or has reproduced its numbers."""
    note = verified(folder)
    made = {manifest["code"], *(session["code"] for session in manifest["sessions"])}
    return made == {now} or (note is not None and note.code == now)


def set_aside(folder: Path, manifest: dict[str, Any]) -> Path:
    """Move the content of a run's folder to `.set-aside/`, to make room for another run of the same name; returns the
    new folder. Nothing is deleted."""
    name = f"{folder.name}-{manifest['identity']}"
    for number in itertools.count(1):
        target = folder.parent / ".set-aside" / (name if number == 1 else f"{name}-{number}")
        if not target.exists():
            break
    target.mkdir(parents=True)
    # The manifest last: while it is in place, an interrupted move is continued by the next call.
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "manifest.json"):
        if path.name != "lock":
            shutil.move(path, target / path.name)
    return target
