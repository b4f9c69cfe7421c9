"""The settings of the MEGABYTE-like model. Importable without torch."""

import math
from dataclasses import dataclass

from runner.models.gpt.spec import GPTSpec
from runner.settings import Need, later


@dataclass(frozen=True)
class MegabyteSpec:
    """Two transformers after Yu et al. 2023 (arXiv 2305.07185): a global one reads patches of `patch` tokens, and a
    local one predicts the tokens of each patch from the patches before it and from the tokens before them in the patch.

    width          of a token's embedding and of the local model; the global model's is patch * width
    global_layers, global_heads, local_layers, local_heads
                   sizes of the two; each MLP is mlp_ratio times as wide as its stream
    dropout        of both, where GPT has it
    latents        as in Perceiver AR (Hawthorne et al. 2022, arXiv 2202.07765): the last so many patches attend once to
                   all of the block, the global model runs on these alone, and only their tokens are predicted in
                   training; at evaluation, tokens before them are predicted from the block's beginning up to them.
                   0 is all patches, without that first attention
    context_drop   in training, the share of patches that the global model does not get to see, drawn anew each step,
                   as Perceiver AR drops inputs instead of using dropout. With latents, of the patches before them,
                   rounded to a whole patch, and these are not read at all
    strided        at evaluation, predict twice, with patches moved on by half of one the second time, and take each
                   token from the prediction in which it stands in the first half of its patch. The probe
                   `strided_loss` observes that beside the plain evaluation
    kind           "megabyte", of `runner.models.registry`
    """

    patch: int = 8
    width: int = 64
    global_layers: int = 4
    global_heads: int = 8
    local_layers: int = 2
    local_heads: int = 2
    block_size: int = 256
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    context_drop: float = 0.0
    strided: bool = False
    latents: int = later(0)
    kind: str = "megabyte"

    @property
    def contexts(self) -> bool:
        """Whether it predicts one token, after a whole context: it predicts one after each position."""
        return False

    @property
    def patches(self) -> int:
        """Patches of a block."""
        return self.block_size // self.patch

    @property
    def coarse(self) -> GPTSpec:
        """The sizes of the global model."""
        return GPTSpec(
            n_layer=self.global_layers,
            n_head=self.global_heads,
            d_model=self.patch * self.width,
            block_size=self.patches,
            mlp_ratio=self.mlp_ratio,
            dropout=self.dropout,
        )

    @property
    def fine(self) -> GPTSpec:
        """The sizes of the local model."""
        return GPTSpec(
            n_layer=self.local_layers,
            n_head=self.local_heads,
            d_model=self.width,
            block_size=self.patch,
            mlp_ratio=self.mlp_ratio,
            dropout=self.dropout,
        )

    @property
    def shape(self) -> str:
        """Its sizes in a few words."""
        return f"{self.global_layers} + {self.local_layers} layers, patches of {self.patch}, block {self.block_size}"

    def details(self) -> list[str]:
        """Its sizes at length, in lines."""
        first = f", the last {self.latents} of which read all {self.patches} once" if self.latents else ""
        return [
            f"global: {self.coarse.shape} patches, {self.global_heads} heads{first}",
            f"local: {self.fine.shape} tokens, {self.local_heads} heads",
        ]

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""
        sizes = ("patch", "width", "global_layers", "global_heads", "local_layers", "local_heads", "block_size")
        for name in sizes:
            need(getattr(self, name) >= 1, f"{name} = {getattr(self, name)} must be at least 1")
        need(
            self.block_size % self.patch == 0,
            f"patch = {self.patch} does not divide block_size = {self.block_size}; choose a divisor of the block",
        )
        for heads, width in (("global_heads", self.patch * self.width), ("local_heads", self.width)):
            need(
                width % getattr(self, heads) == 0,
                f"{heads} = {getattr(self, heads)} does not divide the width of {width} units; choose a divisor",
            )
        need(
            math.isfinite(self.mlp_ratio) and self.mlp_ratio > 0,
            f"mlp_ratio = {self.mlp_ratio:g} must be a positive number, such as 4",
        )
        need(
            0 <= self.latents <= self.patches,
            f"latents = {self.latents} must lie between 0 and the {self.patches} patches of a block; 0 is all of them",
        )
        for name in ("dropout", "context_drop"):
            need(0 <= getattr(self, name) < 1, f"{name} = {getattr(self, name):g} must be at least 0 and below 1")
        before = self.patches - self.latents  # patches that only the first attention reads
        need(
            not (self.latents and self.context_drop) or round(self.context_drop * before) >= 1,
            f"context_drop = {self.context_drop:g} of the {before} patches before the latents is less than one patch: "
            "take fewer latents, or drop more",
        )
        need(
            not self.strided or self.patch % 2 == 0,
            f"strided moves patches on by half of one: patch = {self.patch} must be even",
        )
