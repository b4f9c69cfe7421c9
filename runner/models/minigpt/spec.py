"""The settings of source 2's Mini GPT. Importable without torch."""

import math
from dataclasses import dataclass

from runner.settings import Need

POSITIONS = ("sinusoidal", "learned", "none")


@dataclass(frozen=True)
class MiniGPTSpec:
    """A decoder with biases everywhere. `mlp_ratio` is d_ff / d_model; there are d_model / d_head heads.

    positions  "sinusoidal": fixed, and no parameters; "learned"; or "none"
    tied       whether the output layer is the token embedding
    kind       "minigpt", of `runner.models.registry`
    """

    n_layer: int = 5
    d_model: int = 256
    d_head: int = 32
    mlp_ratio: float = 2.0
    block_size: int = 256
    positions: str = "sinusoidal"
    tied: bool = True
    dropout: float = 0.0
    kind: str = "minigpt"

    @property
    def n_head(self) -> int:
        """Attention heads."""
        return self.d_model // self.d_head

    @property
    def d_ff(self) -> int:
        """Hidden width of the MLP, in units."""
        return max(1, round(self.mlp_ratio * self.d_model))

    @property
    def contexts(self) -> bool:
        """Whether it predicts one token, after a whole context: it predicts one after each position."""
        return False

    @property
    def shape(self) -> str:
        """Its sizes in a few words."""
        return f"{self.n_layer} layers, width {self.d_model}, block {self.block_size}"

    def details(self) -> list[str]:
        """Its sizes at length, in lines."""
        return [
            f"{self.n_layer} layers, width {self.d_model}, MLP {self.d_ff:,}",
            f"{self.n_head} heads of {self.d_head}, {self.positions} positions, "
            f"output layer {'tied' if self.tied else 'of its own'}",
        ]

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""
        for name in ("n_layer", "d_model", "d_head", "block_size"):
            need(getattr(self, name) >= 1, f"{name} = {getattr(self, name)} must be at least 1")
        ratio = self.mlp_ratio
        need(math.isfinite(ratio) and ratio > 0, f"mlp_ratio = {ratio:g} must be a positive number, such as 2")
        need(
            self.d_model % self.d_head == 0,
            f"d_head = {self.d_head} does not divide d_model = {self.d_model}; choose a width that is a multiple of it",
        )
        need(
            self.positions in POSITIONS,
            f'positions = "{self.positions}" is unknown; known: {", ".join(POSITIONS)}',
        )
        need(
            self.positions != "sinusoidal" or self.d_model % 2 == 0,
            f"sinusoids come in pairs, and d_model = {self.d_model} is odd: choose an even width, or other positions",
        )
        need(0 <= self.dropout < 1, f"dropout = {self.dropout:g} must be at least 0 and below 1")
