"""What a probe is: it observes something of a model beside the losses, for `probes.parquet`.

There are five kinds, by what they see and when:

    Evaluated   what a tap of the model shows (see `runner.models.taps`) while a whole split is evaluated
    Removed     the loss of a whole split without some of the hidden units, once, when the run ends
    Shown       what a tap shows of a part of a training batch, without dropout, before the step of that batch
    Updated     what a step does to the parameters
    Rounded     the loss of whole splits with the trained weights changed, once, when training has ended

Shown and Updated observe every `eval.probe_every` steps. What these find goes under the split "batch".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from runner.evidence.log import Seen
from runner.models.kernels import wide


@dataclass(frozen=True)
class Evaluated:
    """`measure` makes one number of what the tap shows of a layer in a batch; `combine` one of a layer's numbers,
    [batches, layers] to [layers]. Either may be one for each index. What is of the `whole` model has no layer."""

    name: str
    tap: str
    measure: Callable[..., Tensor]
    combine: Callable[[Tensor], Tensor]
    whole: bool = False


@dataclass(frozen=True)
class Removed:
    """The loss of each split but "train" when a share of the hidden units of every layer is set to zero, after the last
    step. `shares` gives the share by the index of its row; of a layer's `order`, int64 [F], the first units go first.
    It is made of each unit's mean square over training text, [F]."""

    name: str
    shares: Mapping[int, float]
    order: Callable[[Tensor], Tensor]
    tap: ClassVar[str] = "mlp.hidden"


@dataclass(frozen=True)
class Shown:
    """`measure` makes one number, or one for each index, of what the tap shows of a layer."""

    name: str
    tap: str
    measure: Callable[..., Tensor]


class Change(NamedTuple):
    """A parameter before and after a step, and its gradient before clipping."""

    before: Tensor
    gradient: Tensor
    after: Tensor


@dataclass(frozen=True)
class Updated:
    """`measure` makes one number, or one for each index, of a layer's parameters."""

    name: str
    measure: Callable[[list[Change]], Tensor]


@dataclass(frozen=True)
class Rounded:
    """`change` makes of a trained matrix the one with which the splits are evaluated once more."""

    name: str
    change: Callable[[Tensor], Tensor]


Probe = Evaluated | Removed | Rounded | Shown | Updated


class Listening:
    """Hears the taps of a model while it reads one batch, and measures what the probes ask for: of a layer that is run
    several times, the first time."""

    def __init__(self, probes: Sequence[Evaluated | Shown]) -> None:
        self.probes = probes
        self.taps = {probe.tap for probe in probes}
        self.found: dict[str, dict[int, Tensor]] = {probe.name: {} for probe in probes}  # by layer

    def __call__(self, tap: str, layer: int, *shown: Any) -> None:
        for probe in self.probes:
            if probe.tap == tap and layer not in self.found[probe.name]:
                self.found[probe.name][layer] = probe.measure(*shown)

    def take(self) -> dict[str, Tensor]:
        """What the layers gave, [layers] or [layers, indices] by probe."""
        in_order = {name: [values[layer] for layer in sorted(values)] for name, values in self.found.items() if values}
        taken = {name: torch.stack(values) for name, values in in_order.items()}
        self.found = {name: {} for name in self.found}
        return taken


class Squaring:
    """Hears the hidden units of a model, and nothing else, while it reads batches, and sums their squares over all
    tokens, for each layer."""

    def __init__(self) -> None:
        self._sums: dict[int, Tensor] = {}  # by layer

    def __call__(self, tap: str, layer: int, *shown: Any) -> None:
        square_F = wide(shown[0].flatten(0, -2)).square().sum(0)
        self._sums[layer] = self._sums[layer] + square_F if layer in self._sums else square_F

    @property
    def sums(self) -> list[Tensor]:
        """Those of each layer, [F]."""
        return [self._sums[layer] for layer in sorted(self._sums)]


class Removing:
    """Sets hidden units to zero in place as a model shows them, and hears nothing else: `dropped` holds those of each
    layer."""

    def __init__(self, dropped: Sequence[Tensor]) -> None:
        self.dropped = dropped

    def __call__(self, tap: str, layer: int, *shown: Any) -> None:
        shown[0][..., self.dropped[layer]] = 0


class Watching:
    """Keeps the parameters of before a step, and measures what the probes ask for after it."""

    def __init__(self, probes: Sequence[Updated]) -> None:
        self.probes = probes
        self.found: dict[str, list[Seen]] = {probe.name: [] for probe in probes}

    def before(self, parameters: dict[str, nn.Parameter]) -> None:
        """The gradients are there, and nothing is clipped yet."""
        self.kept = {n: (p.detach().clone(), p.grad.clone()) for n, p in parameters.items() if p.grad is not None}

    def after(self, parameters: dict[str, nn.Parameter]) -> None:
        """The step is made."""
        for layer, names in by_layer(list(parameters)).items():
            changes = [Change(*self.kept[name], parameters[name].detach()) for name in names if name in self.kept]
            for probe in self.probes if changes else ():
                self.found[probe.name] += rows_of(probe.measure(changes), layer)


def by_layer(names: Sequence[str]) -> dict[int | None, list[str]]:
    """The names of parameters by layer: a layer's are alike up to their first number, such as `blocks.3.` in the GPT.
    Those without a number, such as an embedding, belong to no layer."""
    found: dict[int | None, list[str]] = {}
    layers: dict[tuple[str, ...], int] = {}
    for name in names:
        parts = tuple(name.split("."))
        number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
        layer = None if number is None else layers.setdefault(parts[: number + 1], len(layers))
        found.setdefault(layer, []).append(name)
    return found


def rows_of(value: Tensor, layer: int | None) -> list[Seen]:
    """What was measured of a layer: a number, or one for each index."""
    if value.ndim == 0:
        return [Seen(layer, None, value.item())]
    return [Seen(layer, index, each) for index, each in enumerate(value.tolist())]
