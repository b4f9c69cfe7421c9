"""The runs of an experiment, including those that its rule adds, given the evidence so far."""

import math
from functools import partial
from pathlib import Path

from runner.errors import UserError
from runner.evidence import log
from runner.evidence.status import ENDED, Status
from runner.plan import rules
from runner.plan.experiment import SCRATCH, Experiment
from runner.plan.plan import Plan
from runner.plan.spec import as_dict


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
    if run is None or run.manifest["status"] not in ENDED or run.manifest["spec"] != as_dict(plan.spec):
        return None
    if run.manifest["status"] == Status.DIVERGED:
        return math.inf
    return run.final_losses((split,))[split]
