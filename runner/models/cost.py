"""What a model costs before it is trained: parameters by part, FLOPs a token, bytes. Nothing is allocated for it."""

from dataclasses import dataclass
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from runner.models import registry
from runner.models.dropout import site_keys
from runner.models.registry import ModelSpec


@dataclass(frozen=True)
class Description:
    """Costs of a model at a context of `context` tokens, matrix products in `dtype`.

    parameters      by part: "token" (also the output layer), "position", "attention", "mlp", "norm"
    flops           of a training step (backward counted twice forward), a token: "attention" (its projections),
                    "scores" (queries, keys, values; causal), "mlp", "output"
    activation      bytes that backward needs, a sequence, as this code keeps them on a CPU
    scores          the part of `activation` that grows with the square of the context: attention's weights
    kv_cache        bytes of keys and values, a token
    """

    context: int
    dtype: str
    parameters: dict[str, int]
    flops: dict[str, float]
    activation: int
    scores: int
    kv_cache: int

    def total(self) -> int:
        """Parameters of the whole model."""
        return sum(self.parameters.values())

    def work(self, output: bool = True) -> float:
        """FLOPs a token in training, with or without the output layer."""
        return sum(cost for part, cost in self.flops.items() if output or part != "output")


def table(name: str, spec: ModelSpec, costs: Description) -> Table:
    """What `runner describe` prints."""
    lines = [*spec.details(), f"sequences of {costs.context} tokens, products in {costs.dtype}"]
    shape = f"{name}: " + "\n".join(lines)
    grid = Table(title=shape, box=None, pad_edge=False, title_justify="left", title_style="", show_header=False)
    grid.add_column("")
    grid.add_column("", justify="right")
    grid.add_column("", justify="right")
    for part, count in costs.parameters.items():
        grid.add_row(f"parameters: {part}", f"{count:,}", f"{count / costs.total():.1%}")
    grid.add_row("parameters", f"{costs.total():,}", "")
    for part, flops in costs.flops.items():
        grid.add_row(f"training FLOPs a token: {part}", f"{flops / 1e6:,.1f} M", f"{flops / costs.work():.1%}")
    grid.add_row("training FLOPs a token", f"{costs.work() / 1e6:,.1f} M", "")
    grid.add_row("… without the output layer", f"{costs.work(output=False) / 1e6:,.1f} M", "")
    grid.add_row("activations kept a sequence", f"{costs.activation / 1e6:,.1f} MB", "")
    grid.add_row("… attention's weights", f"{costs.scores / 1e6:,.1f} MB", "")
    grid.add_row("KV cache a token", f"{costs.kv_cache:,} bytes", "")
    return grid


def describe(spec: ModelSpec, vocabulary: int, context: int, dtype: torch.dtype = torch.bfloat16) -> Description:
    """The costs of a model with this vocabulary, in sequences of `context` tokens (at most its block size)."""
    return registry.network(spec.kind).cost(spec, vocabulary, context, dtype)


def kept(model: Any, batch: int, context: int) -> int:
    """Bytes that a forward pass on the meta device keeps for backward, parameters not counted."""
    storages: dict[int, Tensor] = {}

    def pack(t: Tensor) -> Tensor:
        storages[t.untyped_storage()._cdata] = t  # kept alive, so that no other storage gets its address
        return t

    x_BT = torch.zeros(batch, context, dtype=torch.long, device="meta")
    keys = site_keys(0, 0, model.sites).to("meta")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = model.loss(x_BT, x_BT, keys)
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    total = sum(t.untyped_storage().nbytes() for address, t in storages.items() if address not in own)
    del loss
    return total
