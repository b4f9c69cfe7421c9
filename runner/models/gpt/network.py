"""A decoder-only transformer that can be read in one sitting.

Names carry shapes: B batch, T time, N = B * T, D model width, F hidden width of the MLP, V vocabulary, K head width.
Dropout takes its masks from `keys`, one int32 for each site (see `runner.models.dropout`); None means no dropout.
"""

import math
from dataclasses import replace

import torch
import torch.nn as nn
from torch import Tensor

from runner.models.cost import Description, added, score_bytes, score_flops
from runner.models.gpt.spec import GPTSpec
from runner.models.gradients import Embedding
from runner.models.layers import KVCache, Operations
from runner.models.protocol import Model, generator
from runner.models.taps import tap

Keys = tuple[Tensor | None, ...]


def turns(spec: GPTSpec, dtype: torch.dtype) -> Tensor:
    """Cosines and sines of rotary positions, [2, T, K]."""
    half = torch.arange(0, spec.d_head, 2, dtype=torch.float64) / spec.d_head
    angle_TK = (torch.arange(spec.block_size)[:, None] * 10_000.0**-half).repeat(1, 2)
    return torch.stack((angle_TK.cos(), angle_TK.sin())).to(dtype)


class Attention(nn.Module):
    """Causal multi-head attention: the branch that it adds to the residual stream."""

    def __init__(self, spec: GPTSpec, layer: int, ops: Operations):
        super().__init__()
        self.spec, self.layer, self.ops = spec, layer, ops
        self.norm = nn.Parameter(torch.empty(spec.d_model))
        self.qkv = nn.Parameter(torch.empty((spec.n_head + 2 * spec.kv_heads) * spec.d_head, spec.d_model))
        self.out = nn.Parameter(torch.empty(spec.d_model, spec.d_model))
        if spec.qk_norm:
            self.q_norm, self.k_norm = (nn.Parameter(torch.empty(spec.d_head)) for _ in range(2))
        if spec.post_norm:
            self.post_norm = nn.Parameter(torch.empty(spec.d_model))

    def forward(self, n_BTD: Tensor, turn_2TK: Tensor | None, key: Tensor | None, cache: KVCache | None) -> Tensor:
        spec, (B, T, _), training = self.spec, n_BTD.shape, key is not None
        qkv_BTE = self.ops.linear(n_BTD.flatten(0, 1), self.qkv, self.norm, few=cache is not None).view(B, T, -1)
        if spec.qk_norm or turn_2TK is not None or spec.kv_heads < spec.n_head:
            norm_2K = torch.stack((self.q_norm, self.k_norm)) if spec.qk_norm else None
            qkv_BTE = self.ops.heads(qkv_BTE, norm_2K, turn_2TK, spec.n_head, spec.kv_heads, training)
        tap("attention.qkv", self.layer, qkv_BTE, spec.n_head)
        if cache is None:
            y_BTD = self.ops.attention(qkv_BTE, key, spec.n_head, spec.rate("weights"))
        else:
            y_BTD = self.ops.recall(qkv_BTE, cache, self.layer, spec.n_head, spec.kv_heads)
        y_ND = y_BTD.flatten(0, 1)
        tap("attention.heads", self.layer, y_ND, self.out, spec.n_head)
        branch_ND = self.ops.linear(y_ND, self.out)
        if spec.post_norm:
            branch_ND = self.ops.norm(branch_ND, self.post_norm, (2 * spec.n_layer) ** -0.5, training)
        return branch_ND


class MLP(nn.Module):
    """The MLP, gated or not: the branch that it adds to the residual stream."""

    def __init__(self, spec: GPTSpec, layer: int, ops: Operations):
        super().__init__()
        self.spec, self.layer, self.ops, d_ff = spec, layer, ops, spec.d_ffs[layer]
        self.norm = nn.Parameter(torch.empty(spec.d_model))
        self.up = nn.Parameter(torch.empty(2 * d_ff if spec.gated else d_ff, spec.d_model))  # the gate first
        self.down = nn.Parameter(torch.empty(spec.d_model, d_ff))
        if spec.post_norm:
            self.post_norm = nn.Parameter(torch.empty(spec.d_model))

    def matrices(self) -> tuple[Tensor, Tensor]:
        """Those up to the hidden units and down from them, [F, D] (gated [2 F, D]) and [D, F]."""
        return self.up, self.down

    def units(self, h_NF: Tensor) -> Tensor:
        """What is made of the hidden units after their activation, [N, F]."""
        return h_NF

    def forward(self, n_ND: Tensor, training: bool, few: bool) -> Tensor:
        up_FD, down_DF = self.matrices()
        h_NF = self.ops.linear(n_ND, up_FD, self.norm, few=few)
        h_NF = self.units(self.ops.activation(h_NF, self.spec.activation, training))
        tap("mlp.hidden", self.layer, h_NF)
        branch_ND = self.ops.linear(h_NF, down_DF)
        return self.ops.norm(branch_ND, self.post_norm, 1.0, training) if self.spec.post_norm else branch_ND


class Block(nn.Module):
    """Attention, then the MLP, each on the normed residual stream and added to it."""

    def __init__(self, spec: GPTSpec, layer: int, ops: Operations):
        super().__init__()
        self.ops, self.layer, self.after = ops, layer, spec.norm == "after"
        self.rates = spec.rate("projection"), spec.rate("mlp")
        self.attention, self.mlp = Attention(spec, layer, ops), MLP(spec, layer, ops)

    def forward(
        self, x_ND: Tensor, n_ND: Tensor, size: int, turn_2TK: Tensor | None, keys: Keys, cache: KVCache | None
    ) -> tuple[Tensor, Tensor]:
        """The stream x and its LayerNorm n, both before and after, of `size` sequences."""
        weights, first, second = keys
        branch_ND = self.attention(n_ND.view(size, -1, n_ND.shape[1]), turn_2TK, weights, cache)
        x_ND, n_ND = self.ops.add_norm(self._carried(x_ND, n_ND), branch_ND, first, self.rates[0])
        branch_ND = self.mlp(n_ND, second is not None, few=cache is not None)
        x_ND, n_ND = self.ops.add_norm(self._carried(x_ND, n_ND), branch_ND, second, self.rates[1])
        tap("residual", self.layer, self._carried(x_ND, n_ND))
        return x_ND, n_ND

    def _carried(self, x_ND: Tensor, n_ND: Tensor) -> Tensor:
        """What goes on along the stream: the sum of all branches, or its norm."""
        return n_ND.to(x_ND.dtype) if self.after else x_ND


class GPT(Model):
    """A decoder of the GPT family, as its spec says."""

    spec: GPTSpec

    def __init__(
        self, spec: GPTSpec, vocabulary: int, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        super().__init__(spec, vocabulary, dtype, compiled)
        self.sites = 1 + 3 * spec.n_layer  # the embedding, and in each layer the attention weights and two branches
        self.token = nn.Parameter(torch.empty(vocabulary, spec.d_model))  # also the output layer
        rotary, wide = spec.positions == "rotary", torch.promote_types(dtype, torch.float32)
        self.position = None if rotary else nn.Parameter(torch.empty(spec.block_size, spec.d_model))
        self.turn_2TK: Tensor | None
        self.register_buffer("turn_2TK", turns(spec, wide) if rotary else None, persistent=False)
        self.blocks = nn.ModuleList(Block(spec, layer, self.ops) for layer in range(spec.n_layer))
        self.norm = nn.Parameter(torch.empty(spec.d_model))

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """GPT-2's initialisation, or the one with zero outputs; norms start at 1."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(1.0)
                continue
            is_residual, random = name.endswith((".out", ".down")), generator(seed, name)
            if self.spec.init == "zero" and name.startswith("blocks."):
                bound = 0.0 if is_residual else math.sqrt(3 / self.spec.d_model)
                parameter.copy_((2 * torch.rand(parameter.shape, generator=random) - 1) * bound)
            else:
                std = 0.02 / math.sqrt(2 * self.spec.n_layer) if is_residual else 0.02
                parameter.copy_(torch.randn(parameter.shape, generator=random) * std)

    def forward(self, x_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        return self.ops.linear(self._stream(x_BT, keys), self.token, self.norm).view(*x_BT.shape, -1)

    def decode(self, x_BT: Tensor, cache: KVCache | None = None) -> tuple[Tensor, KVCache]:
        cache = KVCache(self.spec.block_size) if cache is None else cache
        n_BTD = self._stream(x_BT, None, cache).view(*x_BT.shape, -1)
        cache.length += x_BT.shape[1]
        return self.ops.linear(n_BTD[:, -1], self.token, self.norm, few=True), cache

    def _stream(self, x_BT: Tensor, keys: Tensor | None, cache: KVCache | None = None) -> Tensor:
        """The normed residual stream after the last block, [N, D], of tokens that follow those in `cache`."""
        B, T = x_BT.shape
        place = slice(0, T) if cache is None else slice(cache.length, cache.length + T)
        first, *rest = (None,) * self.sites if keys is None else keys.unbind()
        embedding_BTD = Embedding.apply(x_BT, self.token)
        if self.position is not None:
            embedding_BTD = embedding_BTD + self.position[place]
        turn_2TK = None if self.turn_2TK is None else self.turn_2TK[:, place]
        embedding_ND = embedding_BTD.flatten(0, 1)
        # The residual stream starts empty, and the embedding is its first branch.
        x_ND, n_ND = self.ops.add_norm(torch.zeros_like(embedding_ND), embedding_ND, first, self.spec.rate("embedding"))
        for i, block in enumerate(self.blocks):
            x_ND, n_ND = block(x_ND, n_ND, B, turn_2TK, rest[3 * i : 3 * i + 3], cache)
        return n_ND

    def embedding(self) -> Tensor:
        return self.token

    @classmethod
    def cost(cls, spec: GPTSpec, vocabulary: int, context: int, dtype: torch.dtype) -> Description:
        """Closed forms for parameters and FLOPs; what backward keeps is traced."""
        with torch.device("meta"):
            model = cls(spec, vocabulary, dtype)
        shapes = {name: p.shape for name, p in model.named_parameters()}
        parameters = dict.fromkeys(("token", "position", "attention", "mlp", "norm"), 0)
        flops = dict.fromkeys(("attention", "scores", "mlp", "output"), 0.0)
        for name, shape in shapes.items():
            part = "norm" if "norm" in name else name.split(".")[2] if name.startswith("blocks.") else name
            parameters[part] += shape.numel()
            if part in flops:
                flops[part] += 6 * shape.numel()
        flops["output"] = 6.0 * shapes["token"].numel()
        flops["scores"] = score_flops(spec.n_layer, spec.d_model, context)
        itemsize = torch.empty(0, dtype=dtype).element_size()
        return Description(
            context=context,
            dtype=str(dtype).removeprefix("torch."),
            parameters=parameters,
            flops=flops,
            scores=score_bytes(spec.n_layer, spec.n_head, context, itemsize),
            kv_cache=2 * itemsize * spec.n_layer * spec.kv_heads * spec.d_head,
            traced=lambda: activation(spec, vocabulary, context, dtype),
        )


def activation(spec: GPTSpec, vocabulary: int, context: int, dtype: torch.dtype) -> int:
    """Bytes that each sequence of a batch adds to what is kept for backward. Layers of one width keep alike, so one of
    each is traced, and one twice to tell a layer from what lies around them."""

    def of(*ratios: float) -> int:
        with torch.device("meta"):
            model = GPT(replace(spec, n_layer=len(ratios), mlp_ratio=ratios), vocabulary, dtype)
        return added(model, context)

    once, first = {ratio: of(ratio) for ratio in set(spec.ratios)}, spec.ratios[0]
    around = 2 * once[first] - of(first, first)
    return around + sum(once[ratio] - around for ratio in spec.ratios)
