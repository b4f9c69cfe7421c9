"""What a run tells while it goes. Importable without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """`step` of `steps` updates are made; `rate` is tokens a second of training."""

    run: str
    step: int
    steps: int
    loss: float
    rate: float
