"""Source 2's Mini GPT: a pre-norm decoder as textbooks draw it, biases and all.

Names carry shapes: B batch, T time, N = B * T, D model width, E = 3 * D, F hidden width of the MLP, V vocabulary.
Dropout takes its masks from `keys`, one int32 for each site (see `runner.models.dropout`); None means no dropout.
"""

import math
from dataclasses import replace

import torch
import torch.nn as nn
from torch import Tensor

from runner.models.cost import Description, added, score_bytes, score_flops
from runner.models.gradients import Embedding
from runner.models.layers import KVCache, Operations
from runner.models.minigpt.spec import MiniGPTSpec
from runner.models.protocol import Model, generator
from runner.models.taps import tap

Keys = tuple[Tensor | None, ...]
PARTS = {
    "token": "token", "output": "output", "position": "position", "norm": "norm", "attention_norm": "norm",
    "mlp_norm": "norm", "qkv": "attention", "out": "attention", "up": "mlp", "down": "mlp",
}  # fmt: skip


def sinusoids(spec: MiniGPTSpec, dtype: torch.dtype) -> Tensor:
    """Fixed positions, [T, D]: sines and cosines of wavelengths from 2π to 10,000 · 2π (arXiv 1706.03762)."""
    half = torch.arange(0, spec.d_model, 2, dtype=torch.float64) / spec.d_model
    angle_TH = torch.arange(spec.block_size)[:, None] * 10_000.0**-half
    return torch.stack((angle_TH.sin(), angle_TH.cos()), dim=-1).flatten(1).to(dtype)


class Norm(nn.Module):
    """The weight and bias of a LayerNorm. The residual stream comes normed without them, and they go into the matrix
    that reads it: W (g · n + b) + c = (W · g) n + (W b + c)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.empty(width)) for _ in range(2))


class Linear(nn.Module):
    """A matrix and a bias, on a stream that is normed where there is a `norm`. Of `few` rows the norm is applied to the
    rows, as the matrix has more of them."""

    def __init__(self, n_in: int, n_out: int, ops: Operations) -> None:
        super().__init__()
        self.ops = ops
        self.weight, self.bias = nn.Parameter(torch.empty(n_out, n_in)), nn.Parameter(torch.empty(n_out))

    def forward(self, x_NI: Tensor, norm: Norm | None = None, few: bool = False) -> Tensor:
        if norm is not None and few:
            x_NI, norm = (x_NI * norm.weight + norm.bias).to(self.ops.dtype), None
        if norm is None:
            return self.ops.linear(x_NI, self.weight, bias_O=self.bias)
        return self.ops.linear(x_NI, self.weight, norm.weight, self.bias + self.weight @ norm.bias)


class Block(nn.Module):
    """Causal attention, then the MLP, each on the normed residual stream and added to it."""

    def __init__(self, spec: MiniGPTSpec, layer: int, ops: Operations) -> None:
        super().__init__()
        D = spec.d_model
        self.spec, self.layer, self.ops = spec, layer, ops
        self.attention_norm, self.qkv, self.out = Norm(D), Linear(D, 3 * D, ops), Linear(D, D, ops)
        self.mlp_norm, self.up, self.down = Norm(D), Linear(D, spec.d_ff, ops), Linear(spec.d_ff, D, ops)

    def forward(
        self, x_ND: Tensor, n_ND: Tensor, size: int, keys: Keys, cache: KVCache | None = None
    ) -> tuple[Tensor, Tensor]:
        """The stream x and its LayerNorm n, both before and after, of `size` sequences, which follow `cache`."""
        spec, ops, (weights, first, second) = self.spec, self.ops, keys
        few = cache is not None
        qkv_BTE = self.qkv(n_ND, self.attention_norm, few).view(size, -1, 3 * spec.d_model)
        tap("attention.qkv", self.layer, qkv_BTE, spec.n_head)
        if cache is None:
            y_BTD = ops.attention(qkv_BTE, weights, spec.n_head, spec.dropout)
        else:
            y_BTD = ops.recall(qkv_BTE, cache, self.layer, spec.n_head, spec.n_head)
        y_ND = y_BTD.flatten(0, 1)
        tap("attention.heads", self.layer, y_ND, self.out.weight, spec.n_head)
        x_ND, n_ND = ops.add_norm(x_ND, self.out(y_ND), first, spec.dropout)
        h_NF = ops.activation(self.up(n_ND, self.mlp_norm, few), "gelu", training=second is not None)
        tap("mlp.hidden", self.layer, h_NF)
        x_ND, n_ND = ops.add_norm(x_ND, self.down(h_NF), second, spec.dropout)
        tap("residual", self.layer, x_ND)
        return x_ND, n_ND


class MiniGPT(Model):
    """Token embeddings and positions, blocks, a last norm, and an output layer that may be the embedding."""

    spec: MiniGPTSpec

    def __init__(
        self, spec: MiniGPTSpec, vocabulary: int, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        super().__init__(spec, vocabulary, dtype, compiled)
        self.sites = 1 + 3 * spec.n_layer  # the embedding, and in each layer the attention weights and two branches
        self.token = nn.Parameter(torch.empty(vocabulary, spec.d_model))
        self.output = None if spec.tied else nn.Parameter(torch.empty(vocabulary, spec.d_model))
        self.position: Tensor | None
        if spec.positions == "learned":
            self.position = nn.Parameter(torch.empty(spec.block_size, spec.d_model))
        else:
            fixed_TD = sinusoids(spec, torch.promote_types(dtype, torch.float32))
            self.register_buffer("position", fixed_TD if spec.positions == "sinusoidal" else None, persistent=False)
        self.blocks = nn.ModuleList(Block(spec, layer, self.ops) for layer in range(spec.n_layer))
        self.norm = Norm(spec.d_model)

    @torch.no_grad()
    def init_weights(self, seed: int) -> None:
        """GPT-2's initialisation: norms start at 1, biases at 0."""
        for name, parameter in self.named_parameters():
            if parameter.ndim < 2:
                parameter.fill_(0.0 if name.endswith("bias") else 1.0)
            else:
                is_residual = name.endswith(("out.weight", "down.weight"))
                std = 0.02 / math.sqrt(2 * self.spec.n_layer) if is_residual else 0.02
                parameter.copy_(torch.randn(parameter.shape, generator=generator(seed, name)) * std)

    def forward(self, x_BT: Tensor, keys: Tensor | None = None) -> Tensor:
        n_ND, output_VD = self._stream(x_BT, keys), self._output()
        return self.ops.linear(n_ND, output_VD, self.norm.weight, output_VD @ self.norm.bias).view(*x_BT.shape, -1)

    def decode(self, x_BT: Tensor, cache: KVCache | None = None) -> tuple[Tensor, KVCache]:
        cache = KVCache(self.spec.block_size) if cache is None else cache
        n_BD = self._stream(x_BT, None, cache).view(*x_BT.shape, -1)[:, -1]
        cache.length += x_BT.shape[1]
        return self.ops.linear((n_BD * self.norm.weight + self.norm.bias).to(self.ops.dtype), self._output()), cache

    def _output(self) -> Tensor:
        return self.token if self.output is None else self.output

    def _stream(self, x_BT: Tensor, keys: Tensor | None, cache: KVCache | None = None) -> Tensor:
        """The normed residual stream after the last block, [N, D], of tokens that follow those in `cache`."""
        B, T = x_BT.shape
        start = 0 if cache is None else cache.length
        first, *rest = (None,) * self.sites if keys is None else keys.unbind()
        # √D as where sinusoids and tied embeddings come from (arXiv 1706.03762): without it positions drown the tokens.
        embedding_BTD = Embedding.apply(x_BT, self.token) * math.sqrt(self.spec.d_model)
        if self.position is not None:
            embedding_BTD = embedding_BTD + self.position[start : start + T]
        embedding_ND = embedding_BTD.flatten(0, 1)
        # The residual stream starts empty, and the embedding is its first branch.
        x_ND, n_ND = self.ops.add_norm(torch.zeros_like(embedding_ND), embedding_ND, first, self.spec.dropout)
        for i, block in enumerate(self.blocks):
            x_ND, n_ND = block(x_ND, n_ND, B, rest[3 * i : 3 * i + 3], cache)
        return n_ND

    def embedding(self) -> Tensor:
        return self.token

    @classmethod
    def cost(cls, spec: MiniGPTSpec, vocabulary: int, context: int, dtype: torch.dtype) -> Description:
        """Closed forms for FLOPs; parameters are counted, and what backward keeps is traced."""
        with torch.device("meta"):
            model = cls(spec, vocabulary, dtype)
        parameters: dict[str, int] = {}
        for name, parameter in model.named_parameters():
            part = PARTS[name.split(".")[2] if name.startswith("blocks.") else name.split(".")[0]]
            parameters[part] = parameters.get(part, 0) + parameter.numel()
        D, itemsize = spec.d_model, torch.empty(0, dtype=dtype).element_size()

        def traced() -> int:  # layers keep alike
            with torch.device("meta"):
                one, two = (cls(replace(spec, n_layer=n), vocabulary, dtype) for n in (1, 2))
            first, second = added(one, context), added(two, context)
            return first + (spec.n_layer - 1) * (second - first)

        return Description(
            context=context,
            dtype=str(dtype).removeprefix("torch."),
            parameters=parameters,
            flops={
                "attention": 6.0 * spec.n_layer * 4 * D * D,
                "scores": score_flops(spec.n_layer, D, context),
                "mlp": 6.0 * spec.n_layer * 2 * D * spec.d_ff,
                "output": 6.0 * vocabulary * D,
            },
            scores=score_bytes(spec.n_layer, spec.n_head, context, itemsize),
            kv_cache=2 * itemsize * spec.n_layer * D,
            traced=traced,
        )
