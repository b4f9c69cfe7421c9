"""A kind of model that lives in the tests: it shows that the runner knows no more of a model than the protocol.

A bag of the last two tokens, normed by running statistics, which are buffers that a resume must restore.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from runner.models.cost import Description, added
from runner.models.gradients import Linear
from runner.models.protocol import Model, generator
from runner.models.taps import tap
from runner.settings import Need


@dataclass(frozen=True)
class ToySpec:
    """`width` units."""

    width: int = 16
    block_size: int = 32
    kind: str = "toy"

    @property
    def contexts(self) -> bool:
        """It predicts a token after each position."""
        return False

    @property
    def shape(self) -> str:
        """Its sizes in words."""
        return f"{self.width} units, block {self.block_size}"

    def details(self) -> list[str]:
        """The same at length."""
        return [f"{self.width} units"]

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""
        need(self.width >= 1, f"width = {self.width} must be at least 1")


class Toy(Model):
    """Two embeddings and a norm by moving averages."""

    def __init__(
        self, spec: ToySpec, vocabulary: int, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        super().__init__(spec, vocabulary, dtype, compiled)
        self.now, self.before = (nn.Parameter(torch.empty(vocabulary, spec.width)) for _ in range(2))
        self.out = nn.Parameter(torch.empty(vocabulary, spec.width))
        self.register_buffer("mean", torch.zeros(spec.width))

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """A normal distribution."""
        for name, parameter in self.named_parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator(seed, name)))

    def forward(self, x_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        h_BTD = F.embedding(x_BT, self.now) + F.embedding(F.pad(x_BT, (1, 0))[:, :-1], self.before)
        if keys is not None:
            with torch.no_grad():
                self.mean.lerp_(h_BTD.mean((0, 1)), 0.1)
        h_BTD = torch.tanh(h_BTD - self.mean)
        tap("mlp.hidden", 0, h_BTD)
        return Linear.apply(h_BTD.flatten(0, 1).to(self.ops.dtype), self.out.to(self.ops.dtype)).view(
            *x_BT.shape, self.vocabulary
        )

    @classmethod
    def cost(cls, spec: Any, vocabulary: int, context: int, dtype: torch.dtype) -> Description:
        """Its three matrices, and what backward keeps."""
        size = vocabulary * spec.width
        with torch.device("meta"):
            model = cls(spec, vocabulary, dtype)
        return Description(
            context=context,
            dtype=str(dtype).removeprefix("torch."),
            parameters={"token": 2 * size, "output": size},
            flops={"output": 6.0 * size},
            scores=0,
            kv_cache=0,
            traced=lambda: added(model, context),
        )
