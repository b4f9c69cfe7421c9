"""The settings of the WaveNet. Importable without torch."""

from dataclasses import dataclass

from runner.models.inits import INITS
from runner.settings import Need

READOUTS = ("flatten", "last")


@dataclass(frozen=True)
class WaveNetSpec:
    """Dilated causal convolutions over token embeddings, gated, with residual and skip paths (van den Oord et al. 2016,
    arXiv 1609.03499). Layer i looks back by steps of kernel ** i, so that the last position sees
    kernel ** n_layer tokens: its receptive field.

    width     of embeddings and of the residual path
    gate      units of each gate
    skip      units of the skip path
    readout   "last", each position's skip path predicts the token after it; "flatten", the skip paths of a whole block
              go through one layer and predict the token after the block, which gives the source's parameter count
    init      "xavier", as the source, "kaiming" or "plain", see `runner.models.initial`
    kind      "wavenet", of `runner.models.registry`
    """

    n_layer: int = 4
    width: int = 2048
    gate: int = 2048
    skip: int = 2048
    kernel: int = 2
    block_size: int = 16
    readout: str = "flatten"
    init: str = "xavier"
    kind: str = "wavenet"

    @property
    def contexts(self) -> bool:
        """Whether it predicts one token, after a whole context."""
        return self.readout == "flatten"

    @property
    def dilations(self) -> tuple[int, ...]:
        """Tokens between the taps of each layer's kernel."""
        return tuple(self.kernel**layer for layer in range(self.n_layer))

    @property
    def receptive_field(self) -> int:
        """Tokens that one position of the last layer depends on, itself among them."""
        return 1 + (self.kernel - 1) * sum(self.dilations)

    @property
    def shape(self) -> str:
        """Its sizes in a few words."""
        return f"{self.n_layer} layers, width {self.width}, block {self.block_size}"

    def details(self) -> list[str]:
        """Its sizes at length, in lines."""
        dilations = ", ".join(map(str, self.dilations))
        return [
            f"{self.n_layer} layers of kernel {self.kernel}, dilations {dilations}: receptive field "
            f"{self.receptive_field}",
            f"width {self.width}, gate {self.gate}, skip {self.skip}, readout {self.readout}",
        ]

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""
        for name in ("n_layer", "width", "gate", "skip", "block_size"):
            need(getattr(self, name) >= 1, f"{name} = {getattr(self, name)} must be at least 1")
        need(self.kernel >= 2, f"kernel = {self.kernel} must be at least 2: a kernel of 1 sees no other token")
        for name, known in (("readout", READOUTS), ("init", INITS)):
            given = getattr(self, name)
            need(given in known, f'{name} = "{given}" is unknown; known: {", ".join(known)}')
        need(
            self.block_size >= self.receptive_field,
            f"block_size = {self.block_size} is shorter than the receptive field of {self.receptive_field} tokens: "
            f"lengthen the block, or take n_layer or kernel down",
        )
