"""A byte-level model of two scales: a global transformer over patches, a local one within each patch.

Names carry shapes: B batch, T time in tokens, P patches, p tokens of a patch, D width of a token, G = p * D width of a
patch, N = B * P or B * T, V vocabulary; L latents, R patches that they read, H heads, K width of a head. Position t
predicts token t + 1, so the patch that begins at token t holds the predictions of tokens t + 1 to t + p: the global
model shows it the patches before it, and the local model the tokens of its own patch up to the one that stands at the
position.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from runner.models.cost import Description, added
from runner.models.dropout import kept as chosen
from runner.models.dropout import positions, uniform
from runner.models.gpt.network import MLP, Block
from runner.models.gpt.spec import GPTSpec
from runner.models.gradients import Embedding
from runner.models.kernels import wide
from runner.models.layers import Operations, last_over_all
from runner.models.megabyte.spec import MegabyteSpec
from runner.models.protocol import Model, generator
from runner.models.taps import heard, tap, unheard


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
        return self.deep(*self.begun(x_BTD, keys[0]), len(x_BTD), keys[1:])

    def begun(self, x_BTD: Tensor, key: Tensor | None) -> tuple[Tensor, Tensor]:
        """The stream with positions and its LayerNorm, [B * T, D] each."""
        embedding_ND = (x_BTD + self.position[: x_BTD.shape[1]]).flatten(0, 1)
        return self.ops.add_norm(torch.zeros_like(embedding_ND), embedding_ND, key, self.spec.dropout)

    def deep(self, x_ND: Tensor, n_ND: Tensor, size: int, keys: tuple[Tensor | None, ...]) -> Tensor:
        """The LayerNorm of the stream of `size` sequences after all blocks, [N, D]."""
        for i, block in enumerate(self.blocks):
            x_ND, n_ND = block(x_ND, n_ND, size, None, keys[3 * i : 3 * i + 3], None)
        return n_ND


class Reader(nn.Module):
    """The first layer of Perceiver AR: each latent attends to the patches before the latents and to the latents up to
    itself; then an MLP."""

    def __init__(self, spec: GPTSpec, ops: Operations) -> None:
        super().__init__()
        self.spec, self.ops = spec, ops
        self.norm = nn.Parameter(torch.empty(spec.d_model))  # of what queries are made of
        self.read_norm = nn.Parameter(torch.empty(spec.d_model))  # of what keys and values are made of
        self.query = nn.Parameter(torch.empty(spec.d_model, spec.d_model))
        self.read = nn.Parameter(torch.empty(2 * spec.d_model, spec.d_model))
        self.out = nn.Parameter(torch.empty(spec.d_model, spec.d_model))
        self.mlp = MLP(spec, 0, ops)

    def forward(self, x_BLG: Tensor, n_BRG: Tensor, keys: tuple[Tensor | None, ...]) -> tuple[Tensor, Tensor]:
        """The stream of the latents and its LayerNorm, [B * L, G] each; the last L of the patches that are read are the
        latents."""
        (B, L, _), R, H = x_BLG.shape, n_BRG.shape[1], self.spec.n_head
        q_NG = self.ops.linear(n_BRG[:, R - L :].flatten(0, 1), self.query, self.norm)
        kv_NE = self.ops.linear(n_BRG.flatten(0, 1), self.read, self.read_norm)
        q_BHLK = q_NG.view(B, L, H, -1).transpose(1, 2)
        k_BHRK, v_BHRK = kv_NE.view(B, R, 2, H, -1).permute(2, 0, 3, 1, 4)
        y_BLG = last_over_all(q_BHLK, k_BHRK, v_BHRK, keys[0], self.spec.dropout)
        branch_NG = self.ops.linear(y_BLG.flatten(0, 1), self.out)
        x_NG, n_NG = self.ops.add_norm(x_BLG.flatten(0, 1), branch_NG, keys[1], self.spec.dropout)
        branch_NG = self.mlp(n_NG, keys[2] is not None, few=False)
        return self.ops.add_norm(x_NG, branch_NG, keys[2], self.spec.dropout)


class Latents(Stack):
    """A stack that runs on the last patches only, after these have read all of them."""

    def __init__(self, spec: GPTSpec, ops: Operations, latents: int, drop: float) -> None:
        super().__init__(spec, ops)
        self.latents, self.drop = latents, drop
        self.reader = Reader(spec, ops)

    def forward(self, x_BPG: Tensor, keys: tuple[Tensor | None, ...], context: Tensor | None = None) -> Tensor:
        """The LayerNorm of the latents' stream, without its weight, [B * L, G]. `context` is the key that decides which
        patches before the latents are left out."""
        B, P, G = x_BPG.shape
        L = min(self.latents, P)
        x_NG, n_NG = self.begun(x_BPG, keys[0])
        n_BRG = n_NG.view(B, P, G)
        if context is not None and self.drop:
            seen_BR = remaining(B, P - L, context, self.drop)
            seen_BR = torch.cat([seen_BR, torch.arange(P - L, P, device=x_BPG.device).expand(B, -1)], dim=1)
            n_BRG = n_BRG.gather(1, seen_BR[:, :, None].expand(-1, -1, G))
        x_NG, n_NG = self.reader(x_NG.view(B, P, G)[:, P - L :], n_BRG, keys[1:4])
        return self.deep(x_NG, n_NG, B, keys[4:])


def remaining(sequences: int, patches: int, key: Tensor, p: float) -> Tensor:
    """Which of the patches of each sequence stay when a share p of them, rounded to a whole patch, is left out: their
    indices in order, int64 [sequences, patches that stay]."""
    order = uniform(positions((sequences, patches), key.device), key).argsort(dim=1, stable=True)
    return order[:, round(p * patches) :].sort(dim=1).values


class Megabyte(Model):
    """A global model over patches and a local model over the tokens of each."""

    spec: MegabyteSpec
    small = True

    def __init__(
        self, spec: MegabyteSpec, vocabulary: int, dtype: torch.dtype = torch.float32, compiled: bool = False
    ) -> None:
        super().__init__(spec, vocabulary, dtype, compiled)
        first = 3 if spec.latents else 0
        self.sites = 1 + first + sum(1 + 3 * part.n_layer for part in (spec.coarse, spec.fine))
        self.token = nn.Parameter(torch.empty(vocabulary, spec.width))  # of the local model, also its output layer
        self.byte = nn.Parameter(torch.empty(vocabulary, spec.width))  # of the global model
        self.start = nn.Parameter(torch.empty(spec.patch * spec.width))  # stands where there is no patch before
        latents = Latents(spec.coarse, self.ops, spec.latents, spec.context_drop) if spec.latents else None
        self.coarse, self.fine = latents or Stack(spec.coarse, self.ops), Stack(spec.fine, self.ops)
        self.down = nn.Parameter(torch.empty(spec.width, spec.width))  # from the global model to the local one
        reader = [latents.reader.mlp] if latents else []  # the last: it has no residual stream to show
        for layer, part in enumerate((*self.coarse.blocks, *self.fine.blocks, *reader)):
            for module in part.modules():  # taps count through the whole model, and a stack from 0
                if hasattr(module, "layer"):
                    module.layer = layer

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
        if keys is not None:
            return self._predict(x_BT, keys.unbind())
        whole_BTV = self._whole(x_BT)
        return self._strided(x_BT, whole_BTV) if self.spec.strided else whole_BTV

    def loss(self, x_BT: Tensor, y_BS: Tensor, keys: Tensor, weight_BS: Tensor | None = None) -> Tensor:
        """The mean over the tokens of the latents, where there are some."""
        first = self._first(y_BS.shape[1])
        return super().loss(x_BT, y_BS[:, first:], keys, None if weight_BS is None else weight_BS[:, first:])

    def summed_loss(self, x_BT: Tensor, y_BS: Tensor, weight_BS: Tensor) -> Tensor:
        """As of every model; what strided inference predicts is computed beside it where a probe asks."""
        logits_BTV = self(x_BT)
        if self.spec.patch % 2 == 0 and heard("strided"):
            with unheard():
                strided_BTV = logits_BTV if self.spec.strided else self._strided(x_BT, logits_BTV)
            logits_NV = wide(strided_BTV.flatten(0, 1))
            tap("strided", 0, logits_NV, y_BS.flatten(), weight_BS.flatten(), y_BS.shape[1])
        return self.scored(logits_BTV, y_BS, weight_BS)

    def _first(self, length: int) -> int:
        """The first position that one pass over so many tokens predicts."""
        patches = -(-length // self.spec.patch)
        return max(0, patches - self.spec.latents) * self.spec.patch if self.spec.latents else 0

    def _whole(self, x_BT: Tensor) -> Tensor:
        """Logits after each position: those of the latents, then those that a block ending before them has, and so
        on."""
        none, parts, stop = (None,) * self.sites, [], x_BT.shape[1]
        while stop:
            parts.append(self._predict(x_BT[:, :stop], none))
            stop = self._first(stop)
        return parts[0] if len(parts) == 1 else torch.cat(parts[::-1], dim=1)

    def _predict(self, x_BT: Tensor, keys: tuple[Tensor | None, ...]) -> Tensor:
        """Logits after each position from the `_first` on."""
        (B, T), p, D, first = x_BT.shape, self.spec.patch, self.spec.width, self._first(x_BT.shape[1])
        x_BT = F.pad(x_BT, (0, -T % p))  # no prediction depends on what comes after it
        P = x_BT.shape[1] // p
        end = self.sites - 1 - 3 * self.spec.local_layers
        context, coarse, fine = keys[0], keys[1:end], keys[end:]
        patch_BPG = Embedding.apply(x_BT, self.byte).view(B, P, p * D)
        if context is not None and self.spec.context_drop and not self.spec.latents:
            patch_BPG = patch_BPG * chosen(positions((B, P, 1), x_BT.device), context, self.spec.context_drop)
        before_BPG = torch.cat([self.start.expand(B, 1, -1), patch_BPG[:, :-1]], dim=1)
        more = (context,) if self.spec.latents else ()
        global_NG = self.coarse(before_BPG, coarse, *more) * self.coarse.norm
        from_ND = self.ops.linear(global_NG.reshape(-1, D).to(self.ops.dtype), self.down)
        local_NpD = Embedding.apply(x_BT[:, first:], self.token).view(-1, p, D) + from_ND.view(-1, p, D)
        n_ND = self.fine(local_NpD, fine)
        return self.ops.linear(n_ND, self.token, self.fine.norm).view(B, P * p - first, -1)[:, : T - first]

    def _strided(self, x_BT: Tensor, first_BTV: Tensor) -> Tensor:
        """Each prediction from the one of two passes, of which the first is given, in which it stands in the first half
        of its patch."""
        T, half = x_BT.shape[1], self.spec.patch // 2
        if half >= T:
            return first_BTV
        moved_BTV = self._whole(x_BT[:, half:])
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
        patches = context / spec.patch
        latents = min(spec.latents or patches, patches)
        share = latents / patches  # of the tokens, in patches that are predicted
        before = patches - latents  # patches that only the first attention reads
        before -= round(spec.context_drop * before) if spec.latents else 0
        for name, parameter in model.named_parameters():
            part = _part(name)
            parameters[part] += parameter.numel()
            if part in flops:  # the global model works once a patch
                times = (before + latents) / patches if name == "coarse.reader.read" else share
                flops[part] += 6.0 * times * parameter.numel() / (spec.patch if part == "global" else 1)
        flops["output"] = 6.0 * share * vocabulary * spec.width
        for stack, length, each in ((spec.coarse, latents, spec.patch), (spec.fine, spec.patch, 1)):
            flops["scores"] += share * 3 * 4 * stack.n_layer * stack.d_model * (length + 1) / 2 / each
        if spec.latents:
            flops["scores"] += share * 3 * 4 * spec.coarse.d_model * (before + (latents + 1) / 2) / spec.patch
        itemsize = torch.empty(0, dtype=dtype).element_size()
        return Description(
            context=context,
            dtype=str(dtype).removeprefix("torch."),
            parameters=parameters,
            flops=flops,
            scores=0,
            kv_cache=round(2 * itemsize * spec.width * (spec.global_layers * share + bool(spec.latents))),
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
