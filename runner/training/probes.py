"""Probes: what a run observes of its model beside the losses, for `probes.parquet`.

An evaluation probe listens to one tap of the model (see `runner.models.taps`) while a split is evaluated. It makes one
number of what a layer shows for each batch, and one of a layer's numbers over all batches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from runner.errors import UserError
from runner.models.kernels import wide
from runner.models.layers import by_heads
from runner.plan.spec import EvalSpec


@dataclass(frozen=True)
class Probe:
    """`measure` makes one number of a tap's tensors, in a batch; `combine` one of a layer's numbers, [batches, layers]
    to [layers]. What is of the `whole` model has one number, and no layer."""

    name: str
    tap: str
    measure: Callable[..., Tensor]
    combine: Callable[[Tensor], Tensor]
    whole: bool = False


def largest_logit(qkv_BTE: Tensor, n_head: int) -> Tensor:
    """The largest product of a query and a key over √(head size), by size, over all heads and causal pairs."""
    q_BHTK, k_BHTK, _ = wide(by_heads(qkv_BTE, n_head)).unbind()
    return (q_BHTK @ k_BHTK.mT * q_BHTK.shape[-1] ** -0.5).tril().abs().amax()


def correct(logits_NV: Tensor, target_N: Tensor, weight_N: Tensor) -> Tensor:
    """The summed weight of the predictions whose largest logit is that of the target; a split's weights add up to 1."""
    return (weight_N * (logits_NV.argmax(1) == target_N)).sum()


def highest(value_ML: Tensor) -> Tensor:
    """The largest over the batches."""
    return value_ML.amax(0)


def summed(value_ML: Tensor) -> Tensor:
    """The sum over the batches."""
    return value_ML.sum(0)


PROBES = {
    probe.name: probe
    for probe in (
        Probe("attention_logit", "attention.qkv", largest_logit, highest),
        Probe("accuracy", "prediction", correct, summed, whole=True),
    )
}


def named(spec: EvalSpec) -> list[Probe]:
    """The probes that a run asks for; one that does not exist is a `UserError`."""
    names = dict.fromkeys([*spec.probes, *(["attention_logit"] if spec.attention_logits else [])])
    for name in names:
        if name not in PROBES:
            raise UserError(f"eval.probes: unknown probe {name!r}; known: {', '.join(PROBES)}")
    return [PROBES[name] for name in names]


class Listening:
    """Hears the taps of a model while one batch is evaluated, and measures what the probes ask for."""

    def __init__(self, probes: Sequence[Probe]) -> None:
        self.probes = probes
        self.found: dict[str, list[Tensor]] = {probe.name: [] for probe in probes}

    def __call__(self, tap: str, layer: int, *shown: Any) -> None:
        for probe in self.probes:
            if probe.tap == tap:
                self.found[probe.name].append(probe.measure(*shown))

    def take(self) -> dict[str, Tensor]:
        """What the layers of one pass gave, [layers] by probe."""
        taken = {name: torch.stack(values) for name, values in self.found.items() if values}
        self.found = {name: [] for name in self.found}
        return taken
