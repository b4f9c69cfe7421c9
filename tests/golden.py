"""The first losses of every experiment's first run, pinned: a refactor must give them again.

    python -m tests.golden [NAME …]   pins them anew, all or those named: say in the commit why numbers moved

Those that were pinned on another kind of machine than the most, or with another torch, stand under `elsewhere`.

On the kind of machine that pinned them they must agree to the last digit, elsewhere nearly: kernels round otherwise.
"""

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from runner.errors import UserError
from runner.evidence import log
from runner.plan import experiment
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.training.machine import environment
from tests.conftest import train_here

PLACE = Path(__file__).with_suffix(".json")
STEPS = 3


def first(name: str) -> Plan:
    """A few steps of the first run of an experiment's smoke profile."""
    plan = experiment.load(name).plans("smoke")[0]
    return replace(
        plan,
        placement={},  # trained here, with one thread, in float32, and not compiled
        spec=replace(
            plan.spec,
            train=replace(plan.spec.train, steps=STEPS, warmup_steps=1),
            eval=replace(plan.spec.eval, every=STEPS),
        ),
    )


def losses(plan: Plan) -> list[float]:
    """The losses of its steps, then those of its last evaluation."""
    with tempfile.TemporaryDirectory() as root:
        train_here(plan, Path(root), log_every=1)
        run = log.read_run(plan.folder(Path(root)))
        assert run is not None
        rows = run.metrics().to_pylist()
    steps = [row["loss"] for row in rows if row["split"] == "batch"]
    return steps + [row["loss"] for row in rows if row["split"] != "batch" and row["step"] == STEPS]


def kind() -> dict[str, str]:
    """What this machine is, as far as roundings depend on it."""
    here = environment(Placement())
    return {"machine": here["machine"].rpartition(",")[0], "torch": here["torch"]}


def main() -> None:
    """Pin them."""
    asked = sys.argv[1:]
    try:
        plans = {name: first(name) for name in asked or experiment.names()}
    except UserError as error:
        print(f"tests.golden: {error}", file=sys.stderr)
        sys.exit(2)
    kept = json.loads(PLACE.read_text()) if asked else {**kind(), "elsewhere": {}, "losses": {}}
    found = kept["losses"] | {name: losses(plan) for name, plan in plans.items()}
    elsewhere = {name: one for name, one in kept["elsewhere"].items() if name not in asked}
    if kind() != {key: kept[key] for key in ("machine", "torch")}:
        elsewhere |= dict.fromkeys(asked, kind())
    text = json.dumps({**kept, "elsewhere": elsewhere, "losses": dict(sorted(found.items()))}, indent=1)
    PLACE.write_text(text + "\n")


if __name__ == "__main__":
    main()
