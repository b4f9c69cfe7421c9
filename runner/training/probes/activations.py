"""Probes of activations, on what the taps `residual`, `mlp.hidden` and `mlp.gate` show; N tokens of D or F units."""

from torch import Tensor

from runner.models.kernels import wide
from runner.training.probes.histogram import shares
from runner.training.probes.probe import Shown

DEAD = 0.01  # of the root mean square of a layer's units


def _rows(x: Tensor) -> Tensor:
    """[N, units], at least float32."""
    return wide(x.flatten(0, -2))


def mean_norm(x: Tensor) -> Tensor:
    """The Euclidean norm of a token's units, in the mean."""
    return _rows(x).norm(dim=-1).mean()


def dead_share(h: Tensor) -> Tensor:
    """The share of units that no token moves: none takes them beyond a hundredth of the layer's root mean square."""
    h_NF = _rows(h)
    return (h_NF.abs().amax(0) <= DEAD * h_NF.square().mean().sqrt()).to(h_NF.dtype).mean()


def active_units(h: Tensor) -> Tensor:
    """How many units a token uses, in the mean: (Σ h²)² / Σ h⁴, which is F where all are equally large, and 1 where
    only one is not 0. It needs no threshold, whatever the activation."""
    square_NF = _rows(h).square()
    return _ratio(square_NF.sum(-1).square(), square_NF.square().sum(-1)).mean()


def participation_ratio(h: Tensor) -> Tensor:
    """In how many directions the units vary over the tokens: (tr C)² / tr C² of their covariance C, at most the
    smaller of N - 1 and F."""
    h_NF = _rows(h)
    centred_NF = h_NF - h_NF.mean(0)
    N, F = centred_NF.shape
    gram = centred_NF @ centred_NF.T if N < F else centred_NF.T @ centred_NF  # both have the same trace and norm
    return _ratio(gram.diagonal().sum().square(), gram.square().sum())


def open_units(gate_F: Tensor) -> Tensor:
    """How many units have a gate that is not closed."""
    return (gate_F > 0).sum()


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b, and 0 where both are 0."""
    return a / b.where(b > 0, 1)


PROBES = (
    Shown("activation_norm", "residual", mean_norm),
    Shown("dead_units", "mlp.hidden", dead_share),
    Shown("active_units", "mlp.hidden", active_units),
    Shown("participation_ratio", "mlp.hidden", participation_ratio),
    Shown("open_units", "mlp.gate", open_units),
    Shown("hidden_histogram", "mlp.hidden", lambda h: shares([h])),
)
