"""The operations that kinds of models share, with gradients that keep only what they need.

Letters in the names of tensors are their shapes: B batch, T time, N = B * T, D model width, F hidden width of the MLP,
V vocabulary, K head width.
"""

import math
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.models.dropout import dropout
from runner.models.gradients import AddNorm, CausalAttention, CrossEntropy, Derived, Linear
from runner.models.kernels import EPSILON, kernels, wide


@dataclass
class KVCache:
    """The keys and values of the tokens that a decoder has read.

    capacity  how many tokens it holds at most
    length    how many tokens it holds; whoever decodes adds to it after the last layer
    layers    keys and values by layer, [2, B, G, capacity, K], of G heads
    """

    capacity: int
    length: int = 0
    layers: dict[int, Tensor] = field(default_factory=dict)

    def append(self, layer: int, new_2BGTK: Tensor) -> Tensor:
        """Store a layer's keys and values of T new tokens behind the `length` earlier ones; returns those of all S of
        them, [2, B, G, S, K]."""
        if layer not in self.layers:
            *heads, _, size = new_2BGTK.shape
            self.layers[layer] = new_2BGTK.new_empty(*heads, self.capacity, size)
        end = self.length + new_2BGTK.shape[3]
        self.layers[layer][..., self.length : end, :] = new_2BGTK
        return self.layers[layer][..., :end, :]


@dataclass(frozen=True)
class Operations:
    """Operations at one precision: `dtype` is the type of the matrix products, `run` has the kernels between them.

    Evaluation uses uncompiled kernels, as it needs no gradients and has sequences of any length. `small` ones are those
    of models so small that calls take longer than work: PyTorch's own functions, as far as it has them.
    """

    dtype: torch.dtype
    run: SimpleNamespace
    small: bool = False

    @classmethod
    def at(cls, dtype: torch.dtype, compiled: bool, small: bool = False) -> "Operations":
        """Operations with matrix products in `dtype`; `compiled` says whether the kernels between them are compiled,
        which those of `small` models never are."""
        return cls(dtype, kernels(compiled and not small), small)

    def linear(
        self,
        x_NI: Tensor,
        weight_OI: Tensor,
        norm_I: Tensor | None = None,
        bias_O: Tensor | None = None,
        *,
        few: bool = False,
    ) -> Tensor:
        """x @ (weight * norm).T + bias: the weight of a LayerNorm is cheaper to apply to the matrix that comes after
        it, but where x has `few` rows."""
        if norm_I is not None and few:
            x_NI = (x_NI * norm_I).to(self.dtype)
        elif norm_I is not None:
            weight_OI = weight_OI * norm_I
        product = F.linear if self.small else Linear.apply
        y_NO = product(x_NI, weight_OI.to(self.dtype))
        return y_NO if bias_O is None else y_NO + bias_O.to(self.dtype)

    def affine(self, x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
        """x @ weight.T + bias, for small models. The bias is added in its own type."""
        if bias_O is not None and bias_O.dtype == self.dtype:
            return F.linear(x_NI.to(self.dtype), weight_OI.to(self.dtype), bias_O)
        y_NO = F.linear(x_NI.to(self.dtype), weight_OI.to(self.dtype))
        return y_NO if bias_O is None else y_NO + bias_O

    def add_norm(self, x_ND: Tensor, branch_ND: Tensor, key: Tensor | None, p: float) -> tuple[Tensor, Tensor]:
        """The residual stream after adding a branch, with dropout of probability p if there is a key; and its LayerNorm
        without weight."""
        if key is None or self.small:
            x_ND = x_ND + branch_ND if key is None else self.run.add_dropout(x_ND, branch_ND, key, p)
            return x_ND, F.layer_norm(x_ND, x_ND.shape[1:], eps=EPSILON).to(self.dtype)
        return AddNorm.apply(x_ND, branch_ND, key, p, self.dtype, self.run)

    def norm(self, x: Tensor, weight: Tensor, scale: float, training: bool) -> Tensor:
        """LayerNorm over the last dimension, times `scale`."""
        return self._derived("norm", training, x, weight, scale)

    def activation(self, h_NF: Tensor, name: str, training: bool) -> Tensor:
        """The activation "gelu", "silu", "relu2" or "swiglu" of an MLP's hidden units (see `kernels.activate`)."""
        if name == "gelu":  # PyTorch has fused kernels for these two
            return F.gelu(h_NF)
        return F.silu(h_NF) if name == "silu" else self._derived("activate", training, h_NF, name)

    def heads(
        self,
        qkv_BTE: Tensor,
        norm_2K: Tensor | None,
        turn_2TK: Tensor | None,
        n_head: int,
        n_kv_head: int,
        training: bool,
    ) -> Tensor:
        """Queries, keys and values for attention, [B, T, 3 * n_head * K] (see `kernels.heads`)."""
        return self._derived("heads", training, qkv_BTE, norm_2K, turn_2TK, n_head, n_kv_head)

    def attention(self, qkv_BTE: Tensor, key: Tensor | None, n_head: int, p: float) -> Tensor:
        """Causal attention, with dropout on its weights if there is a key; the concatenated outputs of the heads,
        [B, T, E / 3]."""
        if key is not None and self.small:  # from 128 positions on with other masks than CausalAttention
            q_BHTK, k_BHTK, v_BHTK = by_heads(qkv_BTE, n_head)
            return last_over_all(q_BHTK, k_BHTK, v_BHTK, key, p)
        if key is not None:
            return CausalAttention.apply(qkv_BTE, key, n_head, p, self.run)
        # Without dropout sequences have any length; PyTorch's own kernel is fastest and needs no compiling.
        q_BHTK, k_BHTK, v_BHTK = by_heads(qkv_BTE, n_head)
        return F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True).transpose(1, 2).flatten(2)

    def recall(self, qkv_BTE: Tensor, cache: KVCache, layer: int, n_head: int, n_kv_head: int) -> Tensor:
        """Causal attention of T new tokens over those in `cache` and themselves, without dropout; the concatenated
        outputs of the heads, [B, T, E / 3]. Appends their keys and values to the cache; those that several queries
        share are stored once."""
        q_BHTK, *both = by_heads(qkv_BTE, n_head)
        k_BGSK, v_BGSK = cache.append(layer, torch.stack(both)[:, :, :: n_head // n_kv_head])
        T, S = q_BHTK.shape[2], k_BGSK.shape[2]
        seen_TS = None if T == 1 else torch.ones(T, S, dtype=torch.bool, device=qkv_BTE.device).tril(S - T)
        y_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BGSK, v_BGSK, seen_TS, enable_gqa=n_kv_head < n_head)
        return y_BHTK.transpose(1, 2).flatten(2)

    def cross_entropy(self, logits_NV: Tensor, y_N: Tensor, weight_N: Tensor | None) -> Tensor:
        """The mean cross-entropy in nats, weighted if there are weights."""
        if self.small and weight_N is None:
            return F.cross_entropy(wide(logits_NV), y_N)
        return CrossEntropy.apply(logits_NV, y_N, weight_N, self.run)

    def _derived(self, name: str, training: bool, *args: Any) -> Tensor:
        return Derived.apply(self.run, name, *args) if training else getattr(kernels(False), name)(*args)


def last_over_all(q_BHQK: Tensor, k_BHSK: Tensor, v_BHSK: Tensor, key: Tensor | None, p: float) -> Tensor:
    """Causal attention of the last Q of S positions over all of them, with dropout on its weights if there is a key;
    the concatenated outputs of the heads, [B, Q, H * K]."""
    Q, S, K = q_BHQK.shape[2], *k_BHSK.shape[2:]
    later_QS = torch.ones(Q, S, dtype=torch.bool, device=q_BHQK.device).triu(1 + S - Q)
    weight_BHQS = (wide(q_BHQK @ k_BHSK.mT) * K**-0.5).masked_fill(later_QS, -math.inf).softmax(-1)
    if key is not None:
        weight_BHQS = dropout(weight_BHQS, key, p)
    return (weight_BHQS.to(v_BHSK.dtype) @ v_BHSK).transpose(1, 2).flatten(2)


def padded(x_BT: Tensor, block: int) -> Tensor:
    """Contexts of `block` tokens: shorter ones begin with token 0, as often as is missing."""
    return F.pad(x_BT, (block - x_BT.shape[1], 0))


def by_heads(qkv_BTE: Tensor, n_head: int) -> Tensor:
    """Queries, keys and values by head, [3, B, H, T, K]."""
    B, T, _ = qkv_BTE.shape
    return qkv_BTE.view(B, T, 3, n_head, -1).permute(2, 0, 3, 1, 4)
