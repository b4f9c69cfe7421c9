"""The settings of the MLP that predicts the token after a context. Importable without torch."""

from dataclasses import dataclass

from runner.models.inits import INITS
from runner.settings import Need, later

READINGS = ("flatten", "last", "mean")
NORMS = ("none", "batch", "precise", "frozen")


@dataclass(frozen=True)
class MLPSpec:
    """An MLP over the embeddings of the last `block_size` tokens, after Bengio et al. 2003, with tanh units.

    width          of a token's embedding
    hidden         units of each hidden layer
    n_layer        hidden layers
    reading        what the first layer takes: "flatten", all embeddings side by side; "last", that of the last token;
                   "mean", their mean
    norm           BatchNorm before tanh. "batch": at evaluation, a moving average of the batches' statistics
                   (momentum 0.1). "precise": statistics of `calibration` training batches under the weights that are
                   evaluated (Wu and Johnson 2021, arXiv 2105.07576). "frozen": as "precise", and from batch `freeze_at`
                   on these statistics normalise training too
    residual       add each hidden layer's input to its output, from the second layer on
    init           "kaiming", "xavier" or "plain", see `runner.models.initial`
    dropout        of hidden units, after tanh
    kind           "mlp", of `runner.models.registry`
    """

    width: int = 200
    hidden: int = 200
    n_layer: int = 1
    block_size: int = 10
    reading: str = "flatten"
    norm: str = "none"
    calibration: int = 20
    freeze_at: int = 1000
    residual: bool = False
    init: str = "kaiming"
    kind: str = "mlp"
    dropout: float = later(0.0)

    @property
    def contexts(self) -> bool:
        """Whether it predicts one token, after a whole context."""
        return True

    @property
    def inputs(self) -> int:
        """Units that the first hidden layer takes."""
        return self.width * self.block_size if self.reading == "flatten" else self.width

    @property
    def shape(self) -> str:
        """Its sizes in a few words."""
        return f"{self.n_layer} hidden layers of {self.hidden}, width {self.width}, block {self.block_size}"

    def details(self) -> list[str]:
        """Its sizes at length, in lines."""
        return [f"{self.block_size} embeddings of {self.width}, {self.reading}: {self.inputs:,} inputs", self.shape]

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""
        for name in ("width", "hidden", "n_layer", "block_size", "calibration"):
            need(getattr(self, name) >= 1, f"{name} = {getattr(self, name)} must be at least 1")
        need(self.freeze_at >= 1, f"freeze_at = {self.freeze_at} must be at least 1")
        for name, known in (("reading", READINGS), ("norm", NORMS), ("init", INITS)):
            given = getattr(self, name)
            need(given in known, f'{name} = "{given}" is unknown; known: {", ".join(known)}')
        need(0 <= self.dropout < 1, f"dropout = {self.dropout:g} must be at least 0 and below 1")
