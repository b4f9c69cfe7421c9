"""The progress of a run in training. Importable without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The progress of a run: `step` of `steps` updates are done. `loss` is in nats per token, `rate` in tokens per
    second."""

    run: str
    step: int
    steps: int
    loss: float
    rate: float
