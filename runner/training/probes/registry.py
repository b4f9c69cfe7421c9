"""The probes by name. To add one, write it, put its name into `names` and, where its module is new, a line here."""

from runner.plan.spec import EvalSpec
from runner.training.probes import activations, attention, parameters, prediction, removal, rounding, strides
from runner.training.probes.names import asked
from runner.training.probes.probe import Probe

MODULES = (attention, prediction, activations, parameters, removal, rounding, strides)
PROBES: dict[str, Probe] = {probe.name: probe for module in MODULES for probe in module.PROBES}


def named(spec: EvalSpec) -> list[Probe]:
    """The probes that a run asks for; one that does not exist is a `UserError`."""
    return [PROBES[name] for name in asked(spec)]
