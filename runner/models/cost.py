"""The costs of a model, computed without allocating it: parameters by part, FLOPs per token, bytes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from runner.models import registry
from runner.models.dropout import site_keys
from runner.models.gradients import query_blocks
from runner.models.registry import ModelSpec


@dataclass(frozen=True)
class Description:
    """The costs of a model for sequences of `context` tokens, with matrix products in `dtype`.

    parameters      by part: of a GPT "token" (also the output layer, where there is no "output"), "position",
                    "attention", "mlp", "norm"
    flops           of a training step (backward counted twice forward), for each token that is read: of a GPT
                    "attention" (its projections), "scores" (queries, keys, values; causal), "mlp", "output"
    scores          the part of `activation` that is quadratic in the context: the attention weights
    kv_cache        bytes of keys and values per token
    traced          the function that computes `activation`
    """

    context: int
    dtype: str
    parameters: dict[str, int]
    flops: dict[str, float]
    scores: int
    kv_cache: int
    traced: Callable[[], int] = field(repr=False, compare=False)

    @cached_property
    def activation(self) -> int:
        """Bytes per sequence that this code keeps for backward on a CPU, from traces of forward passes, which are made
        when first asked for: they take half a second."""
        return self.traced()

    def total(self) -> int:
        """The number of all parameters."""
        return sum(self.parameters.values())

    def work(self, output: bool = True) -> float:
        """Training FLOPs per token, with or without the output layer."""
        return sum(cost for part, cost in self.flops.items() if output or part != "output")


def describe(spec: ModelSpec, vocabulary: int, context: int, dtype: torch.dtype = torch.bfloat16) -> Description:
    """The costs of a model with a vocabulary of this size, for sequences of `context` tokens (at most its block
    size)."""
    return registry.network(spec.kind).cost(spec, vocabulary, context, dtype)


def score_flops(n_layer: int, width: int, context: int) -> float:
    """FLOPs a token of queries, keys and values in training. A position attends to itself and what is before it:
    (context + 1) / 2 on average, one product with keys and one with values, two operations for each unit."""
    return 3 * 4 * n_layer * width * (context + 1) / 2


def score_bytes(n_layer: int, n_head: int, context: int, itemsize: int) -> int:
    """Bytes of attention's weights that backward needs, a sequence, as `runner.models.gradients` keeps them."""
    return 2 * itemsize * n_layer * n_head * sum((stop - start) * stop for start, stop in query_blocks(context))


def kept(model: Any, batch: int, context: int) -> int:
    """The bytes that a forward pass on the meta device keeps for backward, without parameters."""
    storages: dict[int, Tensor] = {}

    def pack(t: Tensor) -> Tensor:
        storages[t.untyped_storage()._cdata] = t  # a reference, so that no other storage gets the same address
        return t

    x_BT = torch.zeros(batch, context, dtype=torch.long, device="meta")
    keys = site_keys(0, 0, model.sites).to("meta")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = model.loss(x_BT, x_BT[:, -1:] if model.spec.contexts else x_BT, keys)
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    total = sum(t.untyped_storage().nbytes() for address, t in storages.items() if address not in own)
    del loss
    return total


def added(model: Any, context: int) -> int:
    """The bytes that each sequence of a batch adds to what is kept. Weights that are cast for the products are kept
    too, the same ones for any batch."""
    return kept(model, 2, context) - kept(model, 1, context)
