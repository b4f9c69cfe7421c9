"""A rule that decides from results what else a sweep trains, such as: only if the challenger loses.

In an experiment's file:

    [rule]
    axis = "model.activation"       the axis on which both stand, and which is swept further
    champion = "relu2"
    challenger = "swiglu"
    split = "val"                   the split whose final loss decides
    if_it_loses = ["gelu", "silu"]  trained as well, unless the challenger wins
    anyway = true                   optional: trained where it wins, too, as arms outside the rule

The challenger wins where its final loss is the lower one with every paired seed. This says what is worth training, and
nothing of what is true: a verdict needs an interval.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runner.errors import UserError
from runner.plan.experiment import Experiment
from runner.plan.plan import Plan

LastLoss = Callable[[Plan, str], float | None]
KEYS = ("axis", "champion", "challenger", "split", "if_it_loses")
OPTIONAL = ("anyway",)


@dataclass(frozen=True)
class Decision:
    """`more` is None where results are still missing; else the runs to train as well (none, perhaps), and why."""

    more: list[Plan] | None
    reason: str


def decide(experiment: Experiment, profile: str, last_loss: LastLoss) -> Decision | None:
    """What an experiment's rule says to the last loss of a split in each of its runs (None where a run has not ended,
    infinite where it diverged); None where it has no rule."""
    rule = experiment.rule
    if rule is None:
        return None
    for key in (*KEYS, *rule):
        if key not in rule or key not in (*KEYS, *OPTIONAL):
            raise UserError(
                f"{experiment.where} [rule]: {'no' if key in KEYS else 'unknown key'} {key}; a rule has "
                f"{', '.join(KEYS)}, and perhaps {', '.join(OPTIONAL)}"
            )
    if not isinstance(rule.get("anyway", False), bool):
        raise UserError(f"{experiment.where} [rule]: anyway must be true or false, not {rule['anyway']!r}")
    if not isinstance(rule["if_it_loses"], list):
        raise UserError(f"{experiment.where} [rule]: if_it_loses must be a list, not {rule['if_it_loses']!r}")
    axis, split = rule["axis"], rule["split"]
    sides = [experiment.plans(profile, {axis: [rule[side]]}) for side in ("challenger", "champion")]
    pairs = []
    for mine, theirs in zip(*([last_loss(plan, split) for plan in plans] for plans in sides), strict=True):
        if mine is None or theirs is None:
            return Decision(None, f"the rule waits for {label(rule['champion'])} and {label(rule['challenger'])}")
        pairs.append((mine, theirs))
    mean = sum(mine - theirs for mine, theirs in pairs) / len(pairs)
    lower = sum(mine < theirs for mine, theirs in pairs)
    tally = (
        f"{label(rule['challenger'])} ends lower than {label(rule['champion'])} in {lower} of {len(pairs)} pairs, "
        f"at {mean:+.4f} nats on average"
    )
    others, names = experiment.plans(profile, {axis: rule["if_it_loses"]}), ", ".join(map(label, rule["if_it_loses"]))
    if lower < len(pairs):
        return Decision(others, f"{tally}: it does not win in all")
    if rule.get("anyway"):
        return Decision(others, f"{tally}: it wins, and {names} run all the same, outside the rule")
    return Decision([], f"{tally}: it wins, and {names} need not run")


def label(arm: Any) -> str:
    """What an arm or a value is called."""
    return arm["name"] if isinstance(arm, dict) else str(arm)
