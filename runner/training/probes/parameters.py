"""Probes of parameters: their gradients, and what a step changes."""

import torch
from torch import Tensor

from runner.training.probes.histogram import shares
from runner.training.probes.probe import Change, Updated


def _norm(tensors: list[Tensor]) -> Tensor:
    """The Euclidean norm of all elements."""
    return torch.stack([tensor.norm() for tensor in tensors]).norm()


def gradient_norm(changes: list[Change]) -> Tensor:
    """The norm of a layer's gradient, before clipping."""
    return _norm([change.gradient for change in changes])


def update_ratio(changes: list[Change]) -> Tensor:
    """The norm of a step over that of what it changes, of a layer's matrices: about 1e-3 by a rule of thumb (Karpathy,
    "Building makemore", part 3). Vectors are left out, unless a layer has nothing else."""
    matrices = [change for change in changes if change.before.ndim > 1] or changes
    return _norm([c.after - c.before for c in matrices]) / _norm([c.before for c in matrices])


PROBES = (
    Updated("gradient_norm", gradient_norm),
    Updated("update_ratio", update_ratio),
    Updated("weight_histogram", lambda changes: shares([change.before for change in changes])),
    Updated("gradient_histogram", lambda changes: shares([change.gradient for change in changes])),
)
