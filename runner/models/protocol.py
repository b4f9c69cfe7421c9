"""What training, evaluation, sampling, checkpoints and `runner describe` know of a model, whatever its kind."""

import hashlib
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from runner.models.cost import Description
from runner.models.kernels import wide
from runner.models.layers import Operations
from runner.models.taps import tap


class Model(nn.Module, ABC):
    """A network of some kind, made as `Kind(spec, vocabulary, dtype, compiled)`.

    Matrix products are in `dtype`; parameters, what is summed and the loss are float32. Its state is its parameters and
    persistent buffers: all of it goes into checkpoints, by name.
    """

    small: bool = False  # whether calls take longer than its work, so that on a CPU nothing of it is compiled
    sites: int = 0  # how many dropout keys a step needs
    calibration: int = 0  # how many training batches `calibrate` takes before each evaluation

    def __init__(self, spec: Any, vocabulary: int, dtype: torch.dtype = torch.float32, compiled: bool = False) -> None:
        super().__init__()
        self.spec, self.vocabulary, self.ops = spec, vocabulary, Operations.at(dtype, compiled, self.small)

    @abstractmethod
    def init_weights(self, seed: int) -> None:
        """Fill every parameter as a function of (seed, its name), see `generator`."""

    @abstractmethod
    def forward(self, x_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        """Logits [B, S, V] of the S targets of each sequence, of which the last one is the token after it. `keys` are
        those of the dropout sites, int32 [sites], in training; None means evaluation, which takes any length up to
        `block_size`."""

    def decode(self, x_BT: Tensor, cache: Any = None) -> tuple[Tensor, Any]:
        """Logits [B, V] of the next token after `x_BT`, without dropout, and the cache for the call after this one.

        `cache` is what the last call returned, or None where `x_BT` begins the sequence. It may be changed in place: do
        not use it again. A sequence has at most `block_size` tokens, those of earlier calls included.

        Kinds with a cache of their own, such as keys and values, override this; up to rounding their logits must be
        those of `forward`. Here the cache is the tokens of earlier calls, all of which are read again.
        """
        seen_BT = x_BT if cache is None else torch.cat((cache, x_BT), dim=1)
        return self(seen_BT)[:, -1], seen_BT

    def loss(self, x_BT: Tensor, y_BS: Tensor, keys: Tensor, weight_BS: Tensor | None = None) -> Tensor:
        """Mean cross-entropy in nats over all targets, weighted where there are weights, for training."""
        weight_N = None if weight_BS is None else weight_BS.flatten()
        return self.ops.cross_entropy(self(x_BT, keys).flatten(0, 1), y_BS.flatten(), weight_N)

    def summed_loss(self, x_BT: Tensor, y_BS: Tensor, weight_BS: Tensor) -> Tensor:
        """Sum over targets of weight times cross-entropy, without dropout; in float64 where the device has it."""
        return self.scored(self(x_BT), y_BS, weight_BS)

    def scored(self, logits_BSV: Tensor, y_BS: Tensor, weight_BS: Tensor) -> Tensor:
        """The `summed_loss` of these logits."""
        logits_NV, y_N, weight_N = wide(logits_BSV.flatten(0, 1)), y_BS.flatten(), weight_BS.flatten()
        tap("prediction", 0, logits_NV, y_N, weight_N, y_BS.shape[1])
        loss_N = F.cross_entropy(logits_NV, y_N, reduction="none")
        return (loss_N * weight_N).sum(dtype=None if y_BS.device.type == "mps" else torch.float64)

    def calibrate(self, batches: list[Tensor]) -> None:
        """Take from the inputs [B, T] of training batches what evaluation needs and training does not give, such as
        a population's statistics, into buffers. Only asked for where `calibration` is above 0."""

    def embedding(self) -> Tensor | None:
        """The vector of each token, [V, D], which a run may leave as evidence; None where a kind has none."""
        return None

    @classmethod
    @abstractmethod
    def cost(cls, spec: Any, vocabulary: int, context: int, dtype: torch.dtype) -> Description:
        """What a model of this spec costs at a context of so many tokens."""


def generator(seed: int, name: str) -> torch.Generator:
    """The random numbers of one parameter: a function of (seed, name), so that arms of a sweep start from the same
    numbers wherever their shapes agree."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
