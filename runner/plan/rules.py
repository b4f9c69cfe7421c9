"""A rule that decides from results what else a sweep trains, such as: only if the challenger loses.

In an experiment's file:

    [rule]
    axis = "model.activation"       the axis on which both stand, and which is swept further
    champion = "relu2"
    challenger = "swiglu"
    split = "val"                   the split whose final loss decides
    if_it_loses = ["gelu", "silu"]  trained as well, unless the challenger wins

The challenger wins where its final loss is the lower one with every paired seed. This says what is worth training, and
nothing of what is true: a verdict needs an interval.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.evidence import log
from runner.plan.experiment import Experiment
from runner.plan.plan import Plan
from runner.plan.spec import as_dict

KEYS = ("axis", "champion", "challenger", "split", "if_it_loses")


@dataclass(frozen=True)
class Decision:
    """`more` is None where results are still missing; else the runs to train as well (none, perhaps), and why."""

    more: list[Plan] | None
    reason: str


def decide(experiment: Experiment, profile: str, root: Path) -> Decision | None:
    """What an experiment's rule says to the runs under `root`; None where it has no rule."""
    rule = experiment.rule
    if rule is None:
        return None
    for key in (*KEYS, *rule):
        if key not in rule or key not in KEYS:
            raise UserError(
                f"{experiment.where} [rule]: {'no' if key in KEYS else 'unknown key'} {key}; a rule has "
                f"{', '.join(KEYS)}"
            )
    if not isinstance(rule["if_it_loses"], list):
        raise UserError(f"{experiment.where} [rule]: if_it_loses must be a list, not {rule['if_it_loses']!r}")
    axis, split = rule["axis"], rule["split"]
    losses = {
        side: [final(plan, root, split) for plan in experiment.plans(profile, {axis: [rule[side]]})]
        for side in ("champion", "challenger")
    }
    if None in losses["champion"] + losses["challenger"]:
        return Decision(None, f"the rule waits for {label(rule['champion'])} and {label(rule['challenger'])}")
    pairs = list(zip(losses["challenger"], losses["champion"], strict=True))
    mean = sum(mine - theirs for mine, theirs in pairs) / len(pairs)
    lower = sum(mine < theirs for mine, theirs in pairs)
    tally = (
        f"{label(rule['challenger'])} ends lower than {label(rule['champion'])} in {lower} of {len(pairs)} pairs, "
        f"at {mean:+.4f} nats on average"
    )
    if lower == len(pairs):
        return Decision([], f"{tally}: it wins, and {', '.join(map(label, rule['if_it_loses']))} need not run")
    return Decision(experiment.plans(profile, {axis: rule["if_it_loses"]}), f"{tally}: it does not win in all")


def planned(experiment: Experiment, profile: str, root: Path) -> list[Plan]:
    """The experiment's runs, with those that its rule has added by now."""
    decision = decide(experiment, profile, root)
    return experiment.plans(profile) + (decision.more or [] if decision else [])


def label(arm: Any) -> str:
    """What an arm or a value is called."""
    return arm["name"] if isinstance(arm, dict) else str(arm)


def final(plan: Plan, root: Path, split: str) -> float | None:
    """The last loss of a split in an ended run, infinite where it diverged; None where it has not ended, or where
    what ended is an older specification of it."""
    splits = plan.spec.eval.splits or tuple(plan.spec.data.splits())
    if split not in splits:
        raise UserError(f"{plan.name} has no {split} loss, by which a rule decides: name one of {', '.join(splits)}")
    run = log.read_run(plan.folder(root))
    if run is None or run.manifest["status"] not in log.ENDED or run.manifest["spec"] != as_dict(plan.spec):
        return None
    if run.manifest["status"] == "diverged":
        return float("inf")
    return [row["loss"] for row in run.metrics().to_pylist() if row["split"] == split][-1]
