"""What stands in a run's folder, and so what a sweep does with it and why."""

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

VERIFIED = "verified.json"  # beside a run whose code has changed since, and which was found identical


class Action(StrEnum):
    """What a sweep does with a run."""

    TRAIN = "train"
    RESUME = "resume"
    SKIP = "skip"


@dataclass(frozen=True)
class State:
    """What a sweep does with a run, what stands in its folder now, and why. `drift`: other code made it."""

    action: Action
    status: Status
    reason: str
    drift: bool = False


def plan_identity(plan: Plan) -> str:
    """The identity of a planned run."""
    return identity(as_dict(plan.spec), dataset.fingerprint(plan.spec.data))


def inspect(plan: Plan, root: Path) -> State:
    """What a sweep would do with this run."""
    folder = plan.folder(root)
    manifest = log.read_manifest(folder)
    step = checkpoint.last_step(folder / "checkpoint")
    if manifest is None and step is None:
        return State(Action.TRAIN, Status.MISSING, "it has not been trained")
    if manifest is None:
        return State(Action.RESUME, Status.STOPPED, f"its manifest is missing, but not its checkpoint of step {step}")
    if manifest["identity"] != plan_identity(plan):
        changed = differences(manifest["spec"], as_dict(plan.spec)) or ["the corpus"]
        return State(Action.TRAIN, Status.OUTDATED, f"its specification changed: {', '.join(changed)}")
    drift = not _current(folder, manifest, code.fingerprint(plan.spec))
    if manifest["status"] == Status.FINISHED:
        return State(Action.SKIP, Status.FINISHED, f"it finished at step {plan.spec.train.steps}", drift)
    if manifest["status"] == Status.DIVERGED:
        return State(Action.SKIP, Status.DIVERGED, f"its loss was not finite at step {manifest['diverged_at']}", drift)
    status = Status.RUNNING if lock.holder(folder) else Status.STOPPED
    if step is None:
        return State(Action.TRAIN, status, "it stopped before its first checkpoint", drift)
    return State(Action.RESUME, status, f"it stopped after its checkpoint of step {step}", drift)


@dataclass(frozen=True)
class Verified:
    """That a run's first `steps` steps came out identical with other code than it was made with."""

    code: str
    commit: str
    date: str
    steps: int


def keep(folder: Path, note: Verified) -> None:
    """Keep the note beside the run's evidence, of which it is no part."""
    write_atomic(folder / VERIFIED, json.dumps(asdict(note), indent=1) + "\n")


def verified(folder: Path) -> Verified | None:
    """The note beside a run; None where there is none that can be read."""
    try:
        return Verified(**json.loads((folder / VERIFIED).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _current(folder: Path, manifest: dict[str, Any], now: str) -> bool:
    """Whether today's code made the run, or gave its numbers again."""
    note = verified(folder)
    return manifest["code"] == now or (note is not None and note.code == now)


def set_aside(folder: Path, manifest: dict[str, Any]) -> Path:
    """Move what stands in a run's folder out of the way of another run of the same name; nothing is lost."""
    name = f"{folder.name}-{manifest['identity']}"
    for number in itertools.count(1):
        target = folder.parent / ".set-aside" / (name if number == 1 else f"{name}-{number}")
        if not target.exists():
            break
    target.mkdir(parents=True)
    # The manifest last: as long as it is here, a move that was cut short is taken up again.
    for path in sorted(folder.iterdir(), key=lambda path: path.name == "manifest.json"):
        if path.name != "lock":
            shutil.move(path, target / path.name)
    return target
