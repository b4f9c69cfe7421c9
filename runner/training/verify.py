"""Verifies an ended run: trains its first steps again and compares the numbers."""

import math
import tempfile
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from runner.errors import NoDevice, UserError
from runner.evidence import checkpoint, code, log, state
from runner.evidence.status import ENDED
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.plan.spec import from_dict
from runner.training.loop import train
from runner.training.machine import environment, keep_kernels, loaded_commit, resolve

STEPS = 50
TOLERANCE = 0.02  # nats; the rounding of other kernels adds up to less in tens of steps


@dataclass(frozen=True)
class Verdict:
    """The result of a verification.

    kind       "identical", "within tolerance" or "different"
    rows       how many rows of the log were compared
    largest    the largest difference of two losses, in nats
    same_kind  whether these steps were first trained on this kind of machine; elsewhere `TOLERANCE` applies
    """

    kind: str
    rows: int
    largest: float
    same_kind: bool


def length(folder: Path) -> int:
    """How many steps of a run are trained again unless another number is asked for: `STEPS`, or all of a shorter run.
    Raises a `UserError` for a folder without an ended run."""
    return min(STEPS, _ended(folder).manifest["spec"]["train"]["steps"])


def verify(folder: Path, steps: int) -> Verdict:
    """Train the run's first `steps` steps again, with the placement in its manifest as far as this machine allows, and
    compare. Raises a `UserError` for a folder without an ended run, and for `steps` beyond its end."""
    run = _ended(folder)
    log.check(run)
    keep_kernels()
    manifest = run.manifest
    plan = Plan(manifest["experiment"], manifest["profile"], run.name, from_dict(manifest["spec"], str(folder)))
    if steps < 1 or steps > plan.spec.train.steps:
        raise UserError(f"--steps {steps} must lie between 1 and the run's {plan.spec.train.steps}")
    placement = _placement(manifest)
    with tempfile.TemporaryDirectory() as scratch:
        train(plan, Path(scratch), placement, lambda p: None, lambda line: None, lambda: False, until=steps)
        inside = plan.folder(Path(scratch)) / "checkpoint"
        found = checkpoint.latest(inside, state.plan_identity(plan), lambda line: None)
        assert found is not None
        again = checkpoint.logs(inside, found[0])["metrics"].to_pylist()
    here = environment(placement)
    trained = [session["environment"] for session in manifest["sessions"] if session["from_step"] < steps]
    same_kind = all(one == here for one in trained)
    return compare(run.metrics().to_pylist(), again, same_kind)


def mark(folder: Path, steps: int) -> str:
    """Note beside an ended run that the present code has reproduced its first `steps` steps identically; returns the
    note as text. `runner status` then reports no drift for this code (see `runner.evidence.state`)."""
    run = _ended(folder)
    spec = from_dict(run.manifest["spec"], str(folder))
    note = state.Verified(code.fingerprint(spec), loaded_commit(), date.today().isoformat(), steps)
    state.keep(folder, note)
    return f"identical over {note.steps} steps at commit {note.commit}, {note.date}"


def compare(was: list[dict[str, Any]], again: list[dict[str, Any]], same_kind: bool) -> Verdict:
    """Compare the rows `again` with as many first rows of the log `was`."""
    largest = 0.0
    if len(was) < len(again):
        return Verdict("different", len(again), math.inf, same_kind)
    for old, new in zip(was, again, strict=False):
        if (old["step"], old["split"]) != (new["step"], new["split"]):
            return Verdict("different", len(again), math.inf, same_kind)
        largest = max(largest, _distance(old["loss"], new["loss"]))
    identical = all(
        repr(old) == repr(new) for old, new in zip(was, again, strict=False)
    )  # as texts, so that nan equals nan
    kind = "identical" if identical else "within tolerance" if not same_kind and largest <= TOLERANCE else "different"
    return Verdict(kind, len(again), largest, same_kind)


def _ended(folder: Path) -> log.Run:
    run = log.read_run(folder)
    if run is None or run.manifest["status"] not in ENDED:
        raise UserError(f"{folder} holds no ended run: name a run's folder, such as logs/mlp-ratio/laptop/r4-s0")
    return run


def _distance(one: float, other: float) -> float:
    if math.isfinite(one) and math.isfinite(other):
        return abs(one - other)
    return 0.0 if repr(one) == repr(other) else math.inf


def _placement(manifest: dict[str, Any]) -> Placement:
    then = manifest["environment"]
    wishes = {key: then[key] for key in ("device", "precision", "compile", "cold", "threads") if key in then}
    try:
        placement = resolve(wishes)
    except NoDevice:
        placement = resolve({key: wishes[key] for key in ("precision", "threads")})
    return replace(placement, log_every=manifest["log_every"], checkpoint_seconds=math.inf)
