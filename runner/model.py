"""A decoder-only transformer that can be read in one sitting.

Names carry shapes: B batch, T time, D model width, F hidden width of the MLP, H heads, K width of a head, V vocabulary.
Dropout takes its masks from `keys`, one int32 for each site (see `dropout.py`); keys=None means no dropout.
"""

import hashlib
import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from runner.dropout import dropout, positions
from runner.spec import ModelSpec


def dropout_sites(spec: ModelSpec) -> int:
    """The embedding, and in each layer the attention weights and two residuals."""
    return 1 + 3 * spec.n_layer


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """x @ weight.T in x's type: the masters are float32, the products may be bfloat16."""
    return F.linear(x, weight.to(x.dtype))


class Norm(nn.Module):
    """LayerNorm without bias, computed in float32 and handed on in the type of the matrix products."""

    def __init__(self, width: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x_BTD: Tensor, dtype: torch.dtype) -> Tensor:
        return F.layer_norm(x_BTD, self.weight.shape, self.weight).to(dtype)


class Attention(nn.Module):
    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.n_head, self.p = spec.n_head, spec.dropout
        self.qkv = nn.Parameter(torch.empty(3 * spec.d_model, spec.d_model))
        self.out = nn.Parameter(torch.empty(spec.d_model, spec.d_model))

    def forward(self, x_BTD: Tensor, key: Tensor | None) -> Tensor:
        B, T, D = x_BTD.shape
        q_BHTK, k_BHTK, v_BHTK = (
            linear(x_BTD, self.qkv).view(B, T, 3, self.n_head, D // self.n_head).permute(2, 0, 3, 1, 4)
        )
        if key is None:
            y_BHTK = F.scaled_dot_product_attention(q_BHTK, k_BHTK, v_BHTK, is_causal=True)
        else:
            y_BHTK = causal_attention(q_BHTK, k_BHTK, v_BHTK, key, self.p)
        return linear(y_BHTK.transpose(1, 2).reshape(B, T, D), self.out)


def causal_attention(q_BHTK: Tensor, k_BHTK: Tensor, v_BHTK: Tensor, key: Tensor, p: float) -> Tensor:
    """Attention with dropout on its weights, written out so that softmax, mask and dropout fuse into one kernel.

    The first half of the queries sees only the first half of the keys: a quarter of the square is never computed.
    """
    B, H, T, K = q_BHTK.shape
    position_BHTS = positions((B, H, T, T), q_BHTK.device)
    time_T = torch.arange(T, device=q_BHTK.device)
    parts = []
    for start, stop in ((0, T // 2), (T // 2, T)) if T > 1 else ((0, T),):
        score_BHTS = q_BHTK[:, :, start:stop] @ k_BHTK[:, :, :stop].transpose(-1, -2)
        seen_TS = time_T[start:stop, None] >= time_T[None, :stop]
        score_BHTS = (score_BHTS.float() / math.sqrt(K)).masked_fill(~seen_TS, float("-inf"))
        weight_BHTS = score_BHTS.softmax(-1)
        if p:
            weight_BHTS = dropout(weight_BHTS, key, p, position_BHTS[:, :, start:stop, :stop])
        parts.append(weight_BHTS.to(v_BHTK.dtype) @ v_BHTK[:, :, :stop])
    return torch.cat(parts, dim=2)


class MLP(nn.Module):
    def __init__(self, spec: ModelSpec):
        super().__init__()
        d_ff = spec.d_ff
        self.up = nn.Parameter(torch.empty(d_ff, spec.d_model))
        self.down = nn.Parameter(torch.empty(spec.d_model, d_ff))

    def forward(self, x_BTD: Tensor) -> Tensor:
        return linear(F.gelu(linear(x_BTD, self.up)), self.down)


class Block(nn.Module):
    def __init__(self, spec: ModelSpec):
        super().__init__()
        self.p = spec.dropout
        self.attention_norm, self.attention = Norm(spec.d_model), Attention(spec)
        self.mlp_norm, self.mlp = Norm(spec.d_model), MLP(spec)

    def forward(self, x_BTD: Tensor, keys: Tensor | None, dtype: torch.dtype) -> Tensor:
        weights, first, second = (None, None, None) if keys is None else keys.unbind()
        x_BTD = x_BTD + self.drop(self.attention(self.attention_norm(x_BTD, dtype), weights), first)
        return x_BTD + self.drop(self.mlp(self.mlp_norm(x_BTD, dtype)), second)

    def drop(self, x_BTD: Tensor, key: Tensor | None) -> Tensor:
        return dropout(x_BTD.float(), key, self.p) if key is not None and self.p else x_BTD


class GPT(nn.Module):
    """`dtype` is the type of the matrix products; parameters, norms, softmax, residuals and loss stay float32."""

    def __init__(self, spec: ModelSpec, vocab_size: int, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.spec, self.dtype = spec, dtype
        self.token = nn.Parameter(torch.empty(vocab_size, spec.d_model))  # also the output layer
        self.position = nn.Parameter(torch.empty(spec.block_size, spec.d_model))
        self.blocks = nn.ModuleList(Block(spec) for _ in range(spec.n_layer))
        self.norm = Norm(spec.d_model)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """GPT-2's initialisation. Each parameter has its own generator, seeded from (seed, name), so that arms of a
        sweep start from the same numbers wherever their shapes agree."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0)
                continue
            is_residual = name.endswith((".out", ".down"))
            std = 0.02 / math.sqrt(2 * self.spec.n_layer) if is_residual else 0.02
            digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)

    def forward(self, x_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        x_BTD = F.embedding(x_BT, self.token) + self.position[: x_BT.shape[1]]
        if keys is not None and self.spec.dropout:
            x_BTD = dropout(x_BTD, keys[0], self.spec.dropout)
        for layer, block in enumerate(self.blocks):
            x_BTD = block(x_BTD, None if keys is None else keys[1 + 3 * layer : 4 + 3 * layer], self.dtype)
        return linear(self.norm(x_BTD, self.dtype), self.token)

    def loss(self, x_BT: Tensor, y_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        """Mean cross-entropy in nats over all positions."""
        logits_BTV = self(x_BT, keys)
        return F.cross_entropy(logits_BTV.float().flatten(0, 1), y_BT.flatten())

    def summed_loss(self, x_BT: Tensor, y_BT: Tensor, weight_BT: Tensor) -> Tensor:
        """Sum over positions of weight times cross-entropy, without dropout."""
        logits_BTV = self(x_BT)
        loss_N = F.cross_entropy(logits_BTV.float().flatten(0, 1), y_BT.flatten(), reduction="none")
        return (loss_N * weight_BT.flatten()).sum(dtype=torch.float64)
