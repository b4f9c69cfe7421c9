"""Histograms over all magnitudes, on bins that never move (see `runner.evidence.log.bin_edges`)."""

import torch
from torch import Tensor

from runner.evidence.log import HIGHEST, LOWEST
from runner.models.kernels import wide

HALF = HIGHEST - LOWEST  # bins of either sign


def shares(parts: list[Tensor]) -> Tensor:
    """The share of all elements that lies in each bin, float64 where the device has it."""
    counts = torch.stack([_counts(part) for part in parts]).sum(0)
    return counts.to(torch.float32 if counts.device.type == "mps" else torch.float64) / counts.sum()


def _counts(x: Tensor) -> Tensor:
    flat = wide(x.detach().flatten())
    exponent = torch.frexp(flat).exponent  # |x| is at least 2^(exponent - 1) and below 2^exponent
    place = torch.where(flat == 0, 0, (exponent - LOWEST).clamp(0, HALF))
    signed = torch.where(flat < 0, -place, place) + HALF
    return torch.bincount(signed, minlength=2 * HALF + 1)
