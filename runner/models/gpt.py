"""A decoder-only transformer that can be read in one sitting.

Names carry shapes: B batch, T time, N = B * T, D model width, F hidden width of the MLP, V vocabulary. Dropout takes
its masks from `keys`, one int32 for each site (see `dropout.py`); keys=None means no dropout.
"""

import hashlib
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from runner.models.gradients import AddNorm, CausalAttention, CrossEntropy, Derived, Embedding, Linear
from runner.models.kernels import EPSILON, kernels, wide
from runner.plan.spec import ModelSpec


def dropout_sites(spec: ModelSpec) -> int:
    """The embedding, and in each layer the attention weights and two residuals."""
    return 1 + 3 * spec.n_layer


def turns(spec: ModelSpec, dtype: torch.dtype) -> Tensor:
    """Cosines and sines of rotary positions, [2, T, K]."""
    half = torch.arange(0, spec.d_head, 2, dtype=torch.float64) / spec.d_head
    angle_TK = (torch.arange(spec.block_size)[:, None] * 10_000.0**-half).repeat(1, 2)
    return torch.stack((angle_TK.cos(), angle_TK.sin())).to(dtype)


class Attention(nn.Module):
    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.norm = nn.Parameter(torch.empty(spec.d_model))
        self.qkv = nn.Parameter(torch.empty((spec.n_head + 2 * spec.kv_heads) * spec.d_head, spec.d_model))
        self.out = nn.Parameter(torch.empty(spec.d_model, spec.d_model))
        if spec.qk_norm:
            self.q_norm, self.k_norm = (nn.Parameter(torch.empty(spec.d_head)) for _ in range(2))
        if spec.post_norm:
            self.post_norm = nn.Parameter(torch.empty(spec.d_model))


class MLP(nn.Module):
    def __init__(self, spec: ModelSpec, d_ff: int):
        super().__init__()
        self.norm = nn.Parameter(torch.empty(spec.d_model))
        self.up = nn.Parameter(torch.empty(2 * d_ff if spec.gated else d_ff, spec.d_model))  # the gate first
        self.down = nn.Parameter(torch.empty(spec.d_model, d_ff))
        if spec.post_norm:
            self.post_norm = nn.Parameter(torch.empty(spec.d_model))


class Block(nn.Module):
    def __init__(self, spec: ModelSpec, d_ff: int):
        super().__init__()
        self.attention, self.mlp = Attention(spec), MLP(spec, d_ff)


class GPT(nn.Module):
    """`dtype` is the type of the matrix products; parameters, residual stream, norms, softmax and loss are float32.
    `compiled` says whether what lies between the products is compiled."""

    def __init__(self, spec: ModelSpec, vocab_size: int, dtype: torch.dtype = torch.float32, compiled: bool = False):
        super().__init__()
        self.spec, self.dtype, self.run = spec, dtype, kernels(compiled)
        self.watch: Callable[[Tensor, Tensor], None] | None = None  # is shown the queries and keys of an evaluation
        self.token = nn.Parameter(torch.empty(vocab_size, spec.d_model))  # also the output layer
        rotary, wide = spec.positions == "rotary", torch.promote_types(dtype, torch.float32)
        self.position = None if rotary else nn.Parameter(torch.empty(spec.block_size, spec.d_model))
        self.register_buffer("turn_2TK", turns(spec, wide) if rotary else None, persistent=False)
        self.blocks = nn.ModuleList(Block(spec, d_ff) for d_ff in spec.d_ffs)
        self.norm = nn.Parameter(torch.empty(spec.d_model))

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """GPT-2's initialisation, or the one with zero outputs. Each parameter has its own generator, seeded from
        (seed, name), so that arms of a sweep start from the same numbers wherever their shapes agree."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0)
                continue
            is_residual = name.endswith((".out", ".down"))
            digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
            if self.spec.init == "zero" and name.startswith("blocks."):
                bound = 0.0 if is_residual else math.sqrt(3 / self.spec.d_model)
                parameter.copy_((2 * torch.rand(parameter.shape, generator=generator) - 1) * bound)
            else:
                std = 0.02 / math.sqrt(2 * self.spec.n_layer) if is_residual else 0.02
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

    def forward(self, x_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        B, T = x_BT.shape
        sites = iter([None] * dropout_sites(self.spec) if keys is None else keys.unbind())
        embedding_BTD = Embedding.apply(x_BT, self.token)
        if self.position is not None:
            embedding_BTD = embedding_BTD + self.position[:T]
        embedding_ND = embedding_BTD.flatten(0, 1)
        # The residual stream starts empty, and the embedding is its first branch.
        x_ND, n_ND = self.add_norm(torch.zeros_like(embedding_ND), embedding_ND, next(sites))
        for block in self.blocks:
            branch_ND = self.attention(block.attention, n_ND.view(B, T, -1), next(sites))
            x_ND, n_ND = self.add_norm(x_ND, branch_ND, next(sites))
            branch_ND = self.mlp(block.mlp, n_ND, keys is not None)
            x_ND, n_ND = self.add_norm(x_ND, branch_ND, next(sites))
        return self.linear(n_ND, self.token, self.norm).view(B, T, -1)

    def attention(self, part: Attention, n_BTD: Tensor, key: Tensor | None) -> Tensor:
        spec, (B, T, _) = self.spec, n_BTD.shape
        qkv_BTE = self.linear(n_BTD.flatten(0, 1), part.qkv, part.norm).view(B, T, -1)
        if spec.qk_norm or self.turn_2TK is not None or spec.kv_heads < spec.n_head:
            norm_2K = torch.stack((part.q_norm, part.k_norm)) if spec.qk_norm else None
            turn_2TK = None if self.turn_2TK is None else self.turn_2TK[:, :T]
            qkv_BTE = self.derived("heads", key is not None, qkv_BTE, norm_2K, turn_2TK, spec.n_head, spec.kv_heads)
        branch_ND = self.linear(self.attend(qkv_BTE, key).flatten(0, 1), part.out)
        if spec.post_norm:
            branch_ND = self.derived("norm", key is not None, branch_ND, part.post_norm, (2 * spec.n_layer) ** -0.5)
        return branch_ND

    def mlp(self, part: MLP, n_ND: Tensor, training: bool) -> Tensor:
        h_NF, name = self.linear(n_ND, part.up, part.norm), self.spec.activation
        # PyTorch has one kernel each for some of them.
        plain = {"gelu": F.gelu, "silu": F.silu}.get(name)
        h_NF = plain(h_NF) if plain else self.derived("activate", training, h_NF, name)
        branch_ND = self.linear(h_NF, part.down)
        return self.derived("norm", training, branch_ND, part.post_norm, 1.0) if self.spec.post_norm else branch_ND

    def derived(self, name: str, training: bool, *args: Any) -> Tensor:
        """A function of `kernels.DERIVED`. Evaluation takes any length and needs no gradient, so it compiles none."""
        return Derived.apply(self.run, name, *args) if training else getattr(kernels(False), name)(*args)

    def linear(self, x_NI: Tensor, weight_OI: Tensor, norm_I: Tensor | None = None) -> Tensor:
        """x @ (weight * norm).T: the weight of a LayerNorm is cheaper to apply to the matrix that comes after it."""
        if norm_I is not None:
            weight_OI = weight_OI * norm_I
        return Linear.apply(x_NI, weight_OI.to(self.dtype))

    def add_norm(self, x_ND: Tensor, branch_ND: Tensor, key: Tensor | None) -> tuple[Tensor, Tensor]:
        """The residual stream after a branch, and its LayerNorm (without the weight)."""
        if key is None:
            x_ND = x_ND + branch_ND
            return x_ND, F.layer_norm(x_ND, x_ND.shape[1:], eps=EPSILON).to(self.dtype)
        return AddNorm.apply(x_ND, branch_ND, key, self.spec.dropout, self.dtype, self.run)

    def attend(self, qkv_BTE: Tensor, key: Tensor | None) -> Tensor:
        if key is not None:
            return CausalAttention.apply(qkv_BTE, key, self.spec.n_head, self.spec.dropout, self.run)
        # Without dropout any length may come, and PyTorch's own kernel is the fastest and needs no compiling.
        B, T, E = qkv_BTE.shape
        heads_3BHTK = qkv_BTE.view(B, T, 3, self.spec.n_head, -1).permute(2, 0, 3, 1, 4)
        if self.watch is not None:
            self.watch(*heads_3BHTK[:2])
        return F.scaled_dot_product_attention(*heads_3BHTK, is_causal=True).transpose(1, 2).reshape(B, T, E // 3)

    def loss(self, x_BT: Tensor, y_BT: Tensor, keys: Tensor, weight_BT: Tensor | None = None) -> Tensor:
        """Mean of weight times cross-entropy in nats over all positions, for training; no weights are 1 each."""
        logits_NV = self(x_BT, keys).flatten(0, 1)
        if weight_BT is None:
            return CrossEntropy.apply(logits_NV, y_BT.flatten(), self.run)
        return (F.cross_entropy(wide(logits_NV), y_BT.flatten(), reduction="none") * weight_BT.flatten()).mean()

    def attention_logit(self, x_BT: Tensor) -> Tensor:
        """The largest scaled product of a query and a key that it sees, by size, over all layers, without dropout."""
        found: list[Tensor] = []
        self.watch = lambda q_BHTK, k_BHTK: found.append(
            (wide(q_BHTK) @ wide(k_BHTK).mT * q_BHTK.shape[-1] ** -0.5).tril().abs().amax()
        )
        try:
            self(x_BT)
        finally:
            self.watch = None
        return torch.stack(found).amax()

    def summed_loss(self, x_BT: Tensor, y_BT: Tensor, weight_BT: Tensor) -> Tensor:
        """Sum over positions of weight times cross-entropy, without dropout; in float64 where the device has it."""
        logits_NV = wide(self(x_BT).flatten(0, 1))
        loss_N = F.cross_entropy(logits_NV, y_BT.flatten(), reduction="none")
        return (loss_N * weight_BT.flatten()).sum(dtype=None if x_BT.device.type == "mps" else torch.float64)
