"""Rules: an experiment's [rule] decides from the results so far which further arms a sweep trains.

In an experiment's file:

    [rule]
    axis = "model.activation"       the axis of both arms and of the further ones
    champion = "relu2"
    challenger = "swiglu"
    split = "val"                   the split whose final loss decides
    if_it_loses = ["gelu", "silu"]  the further arms, trained unless the challenger wins
    anyway = true                   optional: train them where it wins, too, as arms outside the rule

The challenger wins where its final loss is lower with every paired seed. A rule only decides what is worth training; it
is no verdict, as a verdict needs an interval.
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
    """The further runs to train (None while results are missing; empty where there are none), and the reason as
    text."""

    more: list[Plan] | None
    reason: str


def decide(experiment: Experiment, profile: str, last_loss: LastLoss) -> Decision | None:
    """The decision of an experiment's rule in a profile; None where it has no rule.

    `last_loss` gives the last loss of a run on a split: None where it has not ended, infinite where it diverged. Raises
    a `UserError` for a rule with missing or unknown keys.
    """
    rule = experiment.rule
    if rule is None:
        return None
    for key in (*KEYS, *rule):
        if key not in rule or key not in (*KEYS, *OPTIONAL):
            raise UserError(
                f"{experiment.where} [rule]: {'missing' if key in KEYS else 'unknown'} key {key}; a rule has "
                f"{', '.join(KEYS)}, and perhaps {', '.join(OPTIONAL)}"
            )
    if not isinstance(rule.get("anyway", False), bool):
        raise UserError(f"{experiment.where} [rule]: anyway must be true or false, not {rule['anyway']!r}")
    for key in ("axis", "split"):
        if not isinstance(rule[key], str):
            raise UserError(f"{experiment.where} [rule]: {key} must be text, not {rule[key]!r}")
    if not isinstance(rule["if_it_loses"], list):
        raise UserError(f"{experiment.where} [rule]: if_it_loses must be a list, not {rule['if_it_loses']!r}")
    axis, split = rule["axis"], rule["split"]
    others = experiment.plans(profile, {axis: rule["if_it_loses"]})  # what is wrong with them is said before any waits
    sides = [experiment.plans(profile, {axis: [rule[side]]}) for side in ("challenger", "champion")]
    pairs = []
    for challenger, champion in zip(*([last_loss(plan, split) for plan in plans] for plans in sides), strict=True):
        if challenger is None or champion is None:
            return Decision(None, f"the rule waits for {label(rule['champion'])} and {label(rule['challenger'])}")
        pairs.append((challenger, champion))
    mean = sum(a - b for a, b in pairs) / len(pairs)
    lower = sum(a < b for a, b in pairs)
    tally = (
        f"{label(rule['challenger'])} ends lower than {label(rule['champion'])} in {lower} of {len(pairs)} pairs, "
        f"at {mean:+.4f} nats on average"
    )
    names = ", ".join(map(label, rule["if_it_loses"]))
    if lower < len(pairs):
        return Decision(others, f"{tally}: it does not win in all")
    if rule.get("anyway"):
        return Decision(others, f"{tally}: it wins, and {names} run all the same, outside the rule")
    return Decision([], f"{tally}: it wins, and {names} need not run")


def label(arm: Any) -> str:
    """The name of an arm, or a value as text."""
    return arm["name"] if isinstance(arm, dict) else str(arm)
