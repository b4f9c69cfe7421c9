"""A GPT whose MLPs work at several widths, after MatFormer (Devvrit et al. 2023, arXiv 2310.07707): a narrower one is
the first hidden units of a wider one. Letters in the names of tensors are those of the GPT."""

from typing import Any

import torch
from torch import Tensor

from runner.models.cost import Description
from runner.models.gpt.network import GPT, MLP
from runner.models.gpt.spec import GPTSpec
from runner.models.layers import Operations
from runner.models.nested.spec import NestedSpec


class NestedMLP(MLP):
    """An MLP that works with the first `width` of its hidden units."""

    def __init__(self, spec: GPTSpec, layer: int, ops: Operations):
        super().__init__(spec, layer, ops)
        self.width = spec.d_ffs[layer]

    def matrices(self) -> tuple[Tensor, Tensor]:
        up_FD = self.up[: self.width]
        if self.spec.gated:  # the gate's rows come first, and then those of the units
            up_FD = torch.cat((up_FD, self.up.chunk(2)[1][: self.width]))
        return up_FD, self.down[:, : self.width]


class Nested(GPT):
    """A GPT that is trained at all of its widths in every step, on the same batch and with the same dropout masks."""

    spec: NestedSpec

    def __init__(
        self, spec: NestedSpec, vocabulary: int, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        super().__init__(spec, vocabulary, dtype, compiled)
        self.mlps = [NestedMLP(spec, layer, self.ops) for layer in range(spec.n_layer)]  # of the blocks
        for block, mlp in zip(self.blocks, self.mlps, strict=True):
            block.mlp = mlp

    def loss(self, x_BT: Tensor, y_BS: Tensor, keys: Tensor, weight_BS: Tensor | None = None) -> Tensor:
        """The mean of the losses of all widths."""
        losses = []
        for halvings in reversed(range(self.spec.halvings + 1)):  # all units last, as the model is left with them
            for mlp, width in zip(self.mlps, self.spec.d_ffs, strict=True):
                mlp.width = width // 2**halvings
            losses.append(super().loss(x_BT, y_BS, keys, weight_BS))
        return torch.stack(losses).mean()

    @classmethod
    def cost(cls, spec: Any, vocabulary: int, context: int, dtype: torch.dtype) -> Description:
        """That of a GPT for parameters and what decoding keeps; of training the sum over the widths."""
        each = [GPT.cost(spec.narrowed(halvings), vocabulary, context, dtype) for halvings in range(spec.halvings + 1)]
        return Description(
            context=context,
            dtype=each[0].dtype,
            parameters=each[0].parameters,
            flops={part: sum(one.flops[part] for one in each) for part in each[0].flops},
            scores=sum(one.scores for one in each),
            kv_cache=each[0].kv_cache,
            traced=lambda: sum(one.activation for one in each),
        )
