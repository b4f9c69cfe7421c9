"""The runs of an experiment, including those that its rule adds, given the evidence so far."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.evidence import log, state
from runner.evidence.status import ENDED, Status
from runner.files import SCRATCH
from runner.plan import rules
from runner.plan.experiment import APART, Experiment
from runner.plan.plan import Plan
from runner.plan.spec import as_dict


@dataclass(frozen=True)
class Due:
    """The planned runs of a profile that may be trained by now, how many are left for later sittings, and when the next
    one may begin; None where none is left, or where one is to be ended before."""

    plans: list[Plan]
    waiting: int = 0
    next: datetime | None = None

    def __str__(self) -> str:
        """What waits, as a clause; empty where nothing does."""
        if not self.waiting:
            return ""
        when = (
            f"{self.next.astimezone():%-d %B, %H:%M}" if self.next else f"{APART.seconds // 3600} hours after this one"
        )
        return (
            f"{self.waiting} run{'s' * (self.waiting > 1)} wait{'s' * (self.waiting == 1)} for another sitting, which "
            f"may begin {when}"
        )


def due(experiment: Experiment, profile: str, root: Path, now: datetime | None = None) -> Due:
    """The runs that may be trained `now`. A sitting begins when those before it have ended, later than `APART` after
    the last of their runs was started."""
    left, now = experiment.plans(profile), now or datetime.now(UTC)
    found: list[Plan] = []
    for seeds in experiment.sittings(profile):
        of_sitting = [plan for plan in left if plan.spec.seed in seeds]
        if found and not any(_manifest(root, plan) for plan in of_sitting):
            manifests = [manifest for plan in found if (manifest := _manifest(root, plan))]
            if len(manifests) < len(found) or any(each["status"] not in ENDED for each in manifests):
                return Due(found, len(left))
            allowed = max(datetime.fromisoformat(each["started"]) for each in manifests) + APART
            if now <= allowed:
                return Due(found, len(left), allowed)
        found, left = found + of_sitting, [plan for plan in left if plan.spec.seed not in seeds]
    return Due(found)


def plans(experiment: Experiment, profile: str, root: Path) -> list[Plan]:
    """All runs of the profile, including those that the rule adds."""
    return experiment.plans(profile) + added(experiment, profile, root)


def added(experiment: Experiment, profile: str, root: Path) -> list[Plan]:
    """The runs that the rule adds; empty where it adds none, has no decision yet, or there is no rule."""
    decision = decide(experiment, profile, root)
    return decision.more or [] if decision else []


def decide(experiment: Experiment, profile: str, root: Path) -> rules.Decision | None:
    """The decision of the experiment's rule, given the runs under `root`; None where there is no rule."""
    return rules.decide(experiment, profile, partial(last_loss, root))


def unplanned(plans: list[Plan], root: Path) -> list[Path]:
    """Folders of runs beside those of the plans that belong to none of the plans."""
    if plans[0].experiment == SCRATCH:
        return []
    names = {plan.name for plan in plans}
    found = plans[0].folder(root).parent.glob("*/manifest.json")
    return sorted(path.parent for path in found if path.parent.name not in names and path.parent.name[0] != ".")


def last_loss(root: Path, plan: Plan, split: str) -> float | None:
    """The last loss of a split in an ended run, in nats; infinite where it diverged, None where it has not ended or
    ended with another specification. Raises a `UserError` for a split that the run does not evaluate."""
    splits = plan.spec.eval.splits or tuple(plan.spec.data.splits())
    if split not in splits:
        raise UserError(f"{plan.name} has no {split} loss for its rule: name one of {', '.join(splits)}")
    run = log.read_run(plan.folder(root))
    if run is None or run.manifest["status"] not in ENDED or not as_planned(run.manifest, plan):
        return None
    if run.manifest["status"] == Status.DIVERGED:
        return math.inf
    return run.final_losses((split,))[split]


def _manifest(root: Path, plan: Plan) -> dict[str, Any] | None:
    """The manifest of a run that was begun as it is planned; None where there is none."""
    manifest = log.read_manifest(plan.folder(root))
    return manifest if manifest and as_planned(manifest, plan) else None


def as_planned(manifest: dict[str, Any], plan: Plan) -> bool:
    """Whether a run was trained with the specification that is planned, and with what its arm sets of its placement."""
    return bool(manifest["spec"] == as_dict(plan.spec)) and not state.moved(manifest, plan)
