"""Probes of removal: what a model loses with its least active hidden units, or with all but its first ones."""

import torch
from torch import Tensor

from runner.training.probes.probe import Removed


def least_active(square_F: Tensor) -> Tensor:
    """The units from the one with the smallest mean square on; of equal ones the first."""
    return square_F.argsort(stable=True)


def last(square_F: Tensor) -> Tensor:
    """The units from the last one on, whatever they do."""
    return torch.arange(len(square_F), device=square_F.device).flip(0)


PROBES = (
    Removed("removal", {percent: percent / 100 for percent in (10, 25, 50, 75)}, least_active),
    Removed("narrowed", {divisor: 1 - 1 / divisor for divisor in (2, 4, 8, 16)}, last),
)
