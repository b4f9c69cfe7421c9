"""A GPT whose hidden units have gates with a price: hard concrete gates, after Louizos, Welling and Kingma 2018
("Learning Sparse Neural Networks through L0 Regularization", arXiv 1712.01312). Letters in the names of tensors are
those of the GPT."""

import math

import torch
import torch.nn as nn
from torch import Tensor

from runner.models.dropout import positions, uniform
from runner.models.gpt.network import GPT, MLP
from runner.models.gpt.spec import GPTSpec
from runner.models.layers import Operations
from runner.models.priced.spec import PricedSpec
from runner.models.taps import tap

TEMPERATURE, LOW, HIGH = 2 / 3, -0.1, 1.1  # of the paper: the concrete distribution is stretched to (LOW, HIGH)
PACE = 10.0  # logits for each unit of the parameter, as the learning rate is made for weights, which are small
START = 2.0  # the logits at the start: units are open with a probability of 0.97


class PricedMLP(MLP):
    """An MLP with a gate on each hidden unit. Its `key` decides the noise of the gates; None is without, as in
    evaluation."""

    def __init__(self, spec: GPTSpec, layer: int, ops: Operations):
        super().__init__(spec, layer, ops)
        self.gate = nn.Parameter(torch.empty(spec.d_ffs[layer]))
        self.key: Tensor | None = None

    def open(self) -> Tensor:
        """The expected number of open units."""
        return torch.sigmoid(PACE * self.gate - TEMPERATURE * math.log(-LOW / HIGH)).sum()

    def gates(self) -> Tensor:
        """What each hidden unit is multiplied by, [F]: from 0, closed, to 1."""
        logit_F = PACE * self.gate
        if self.key is not None:
            uniform_F = uniform(positions(tuple(logit_F.shape), logit_F.device), self.key)
            logit_F = (torch.logit(uniform_F) + logit_F) / TEMPERATURE
        return (torch.sigmoid(logit_F) * (HIGH - LOW) + LOW).clamp(0, 1)

    def units(self, h_NF: Tensor) -> Tensor:
        gate_F = self.gates()
        tap("mlp.gate", self.layer, gate_F)
        return h_NF * gate_F.to(h_NF.dtype)


class Priced(GPT):
    """A GPT that learns which of its hidden units are worth their price."""

    spec: PricedSpec

    def __init__(
        self, spec: PricedSpec, vocabulary: int, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        super().__init__(spec, vocabulary, dtype, compiled)
        self.sites += spec.n_layer  # the noise of each layer's gates
        self.mlps = [PricedMLP(spec, layer, self.ops) for layer in range(spec.n_layer)]  # of the blocks
        for block, mlp in zip(self.blocks, self.mlps, strict=True):
            block.mlp = mlp

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """Those of a GPT, and open gates."""
        super().init_weights(seed)
        for mlp in self.mlps:
            mlp.gate.fill_(START / PACE)

    def forward(self, x_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        for layer, mlp in enumerate(self.mlps):
            mlp.key = None if keys is None else keys[layer - len(self.mlps)]
        return super().forward(x_BT, keys)

    def loss(self, x_BT: Tensor, y_BS: Tensor, keys: Tensor, weight_BS: Tensor | None = None) -> Tensor:
        """The mean cross-entropy, and the price of the units that are expected to be open."""
        opened = torch.stack([mlp.open() for mlp in self.mlps]).sum()
        ratio = opened / (self.spec.d_model * self.spec.n_layer)
        return super().loss(x_BT, y_BS, keys, weight_BS) + self.spec.price * ratio
