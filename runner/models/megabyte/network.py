"""A byte-level model of two scales: a global transformer over patches, a local one within each patch.

Names carry shapes: B batch, T time in tokens, P patches, p tokens of a patch, D width of a token, G = p * D width of a
patch, N = B * P or B * T, V vocabulary. Position t predicts token t + 1, so the patch that begins at token t holds the
predictions of tokens t + 1 to t + p: the global model shows it the patches before it, and the local model the tokens of
its own patch up to the one that stands at the position.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from runner.models.cost import Description, added
from runner.models.dropout import kept as chosen
from runner.models.dropout import positions
from runner.models.gpt.network import Block
from runner.models.gpt.spec import GPTSpec
from runner.models.gradients import Embedding
from runner.models.layers import Operations
from runner.models.megabyte.spec import MegabyteSpec
from runner.models.protocol import Model, generator


class Stack(nn.Module):
    """A transformer without an embedding: positions, blocks, and a last norm's weight."""

    def __init__(self, spec: GPTSpec, ops: Operations) -> None:
        super().__init__()
        self.spec, self.ops = spec, ops
        self.position = nn.Parameter(torch.empty(spec.block_size, spec.d_model))
        self.blocks = nn.ModuleList(Block(spec, layer, ops) for layer in range(spec.n_layer))
        self.norm = nn.Parameter(torch.empty(spec.d_model))

    def forward(self, x_BTD: Tensor, keys: tuple[Tensor | None, ...]) -> Tensor:
        """The LayerNorm of the stream, without its weight, [B * T, D]."""
        B, T, _ = x_BTD.shape
        embedding_ND = (x_BTD + self.position[:T]).flatten(0, 1)
        x_ND, n_ND = self.ops.add_norm(torch.zeros_like(embedding_ND), embedding_ND, keys[0], self.spec.dropout)
        for i, block in enumerate(self.blocks):
            x_ND, n_ND = block(x_ND, n_ND, B, None, keys[1 + 3 * i : 4 + 3 * i], None)
        return n_ND


class Megabyte(Model):
    """A global model over patches and a local model over the tokens of each."""

    spec: MegabyteSpec

    def __init__(
        self, spec: MegabyteSpec, vocabulary: int, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        super().__init__(spec, vocabulary, dtype, compiled)
        self.sites = 1 + sum(1 + 3 * part.n_layer for part in (spec.coarse, spec.fine))
        self.token = nn.Parameter(torch.empty(vocabulary, spec.width))  # of the local model, also its output layer
        self.byte = nn.Parameter(torch.empty(vocabulary, spec.width))  # of the global model
        self.start = nn.Parameter(torch.empty(spec.patch * spec.width))  # stands where there is no patch before
        self.coarse, self.fine = Stack(spec.coarse, self.ops), Stack(spec.fine, self.ops)
        self.down = nn.Parameter(torch.empty(spec.width, spec.width))  # from the global model to the local one

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """GPT-2's initialisation in both models; norms start at 1, the first patch at 0."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(0.0 if name == "start" else 1.0)
                continue
            layers = (self.spec.coarse if name.startswith("coarse.") else self.spec.fine).n_layer
            residual = name.endswith((".out", ".down"))
            std = 0.02 / math.sqrt(2 * layers) if residual else 0.02
            parameter.copy_(torch.randn(parameter.shape, generator=generator(seed, name)) * std)

    def forward(self, x_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        if keys is None and self.spec.strided:
            return self._strided(x_BT)
        return self._predict(x_BT, (None,) * self.sites if keys is None else keys.unbind())

    def _predict(self, x_BT: Tensor, keys: tuple[Tensor | None, ...]) -> Tensor:
        (B, T), p, D = x_BT.shape, self.spec.patch, self.spec.width
        x_BT = F.pad(x_BT, (0, -T % p))  # no prediction depends on what comes after it
        P = x_BT.shape[1] // p
        end = 2 + 3 * self.spec.global_layers
        context, coarse, fine = keys[0], keys[1:end], keys[end:]
        patch_BPG = Embedding.apply(x_BT, self.byte).view(B, P, p * D)
        if context is not None and self.spec.context_drop:
            patch_BPG = patch_BPG * chosen(positions((B, P, 1), x_BT.device), context, self.spec.context_drop)
        before_BPG = torch.cat([self.start.expand(B, 1, -1), patch_BPG[:, :-1]], dim=1)
        global_NG = self.coarse(before_BPG, coarse) * self.coarse.norm
        from_ND = self.ops.linear(global_NG.reshape(-1, D).to(self.ops.dtype), self.down)
        local_NpD = Embedding.apply(x_BT, self.token).view(B * P, p, D) + from_ND.view(B * P, p, D)
        n_ND = self.fine(local_NpD, fine)
        return self.ops.linear(n_ND, self.token, self.fine.norm).view(B, P * p, -1)[:, :T]

    def _strided(self, x_BT: Tensor) -> Tensor:
        """Each prediction from the one of two passes in which it stands in the first half of its patch."""
        T, half, none = x_BT.shape[1], self.spec.patch // 2, (None,) * self.sites
        first_BTV = self._predict(x_BT, none)
        if half >= T:
            return first_BTV
        moved_BTV = self._predict(x_BT[:, half:], none)
        early_T = torch.arange(T, device=x_BT.device) % self.spec.patch < half
        early_T[:half] = True  # what comes before the moved patches is predicted once
        return torch.where(early_T[:, None], first_BTV, F.pad(moved_BTV, (0, 0, half, 0)))

    @classmethod
    def cost(cls, spec: MegabyteSpec, vocabulary: int, context: int, dtype: torch.dtype) -> Description:
        """Closed forms for parameters and FLOPs; what backward keeps is traced."""
        with torch.device("meta"):
            model = cls(spec, vocabulary, dtype)
        parameters = dict.fromkeys(("token", "position", "global", "local", "norm"), 0)
        flops = dict.fromkeys(("global", "local", "scores", "output"), 0.0)
        for name, parameter in model.named_parameters():
            part = _part(name)
            parameters[part] += parameter.numel()
            if part in flops:  # the global model works once a patch
                flops[part] += 6.0 * parameter.numel() / (spec.patch if part == "global" else 1)
        flops["output"] = 6.0 * vocabulary * spec.width
        for stack, length, each in ((spec.coarse, context / spec.patch, spec.patch), (spec.fine, spec.patch, 1)):
            flops["scores"] += 3 * 4 * stack.n_layer * stack.d_model * (length + 1) / 2 / each
        itemsize = torch.empty(0, dtype=dtype).element_size()
        return Description(
            context=context,
            dtype=str(dtype).removeprefix("torch."),
            parameters=parameters,
            flops=flops,
            scores=0,
            kv_cache=2 * itemsize * spec.global_layers * spec.width,
            traced=lambda: added(model, context),
        )


def _part(name: str) -> str:
    """The part of a description that a parameter belongs to."""
    if "norm" in name:
        return "norm"
    if name == "start" or name.endswith("position"):
        return "position"
    if name in ("token", "byte"):
        return "token"
    return "global" if name.startswith("coarse.") else "local"
