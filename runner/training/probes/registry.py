"""The probes by name. To add one, write it and, where its module is new, a line here."""

from runner.errors import UserError
from runner.plan.spec import EvalSpec
from runner.training.probes import activations, attention, parameters, prediction, removal, rounding
from runner.training.probes.probe import Probe, Rounded

MODULES = (attention, prediction, activations, parameters, removal, rounding)
ALL = "all"
PROBES: dict[str, Probe] = {probe.name: probe for module in MODULES for probe in module.PROBES}


def named(spec: EvalSpec) -> list[Probe]:
    """The probes that a run asks for; one that does not exist is a `UserError`."""
    names = dict.fromkeys([*spec.probes, *(["attention_logit"] if spec.attention_logits else [])])
    for name in names:
        if name not in (*PROBES, ALL):
            raise UserError(f"eval.probes: unknown probe {name!r}; known: {', '.join(PROBES)}, or {ALL}")
    observing = [name for name, probe in PROBES.items() if not isinstance(probe, Rounded)]  # the others evaluate anew
    asked = dict.fromkeys([*(observing if ALL in names else []), *(name for name in names if name != ALL)])
    return [PROBES[name] for name in asked]
