"""The probes of predictions."""

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.training.probes.probe import Evaluated


def correct(logits_NV: Tensor, target_N: Tensor, weight_N: Tensor, positions: int) -> Tensor:
    """The summed weight of the predictions whose largest logit is that of the target; a split's weights add up to 1."""
    return (weight_N * (logits_NV.argmax(1) == target_N)).sum()


def weighted(logits_NV: Tensor, target_N: Tensor, weight_N: Tensor) -> Tensor:
    """The loss of each prediction times its weight, [N]."""
    return weight_N * F.cross_entropy(logits_NV, target_N, reduction="none")


def at_positions(logits_NV: Tensor, target_N: Tensor, weight_N: Tensor, positions: int) -> Tensor:
    """The weighted losses and the weights, summed over the sequences, at each position of a sequence: [2, S]."""
    return torch.stack((weighted(logits_NV, target_N, weight_N), weight_N)).view(2, -1, positions).sum(1)


def summed(value_ML: Tensor) -> Tensor:
    """The sum over the batches."""
    return value_ML.sum(0)


def averaged(value_ML2S: Tensor) -> Tensor:
    """Means over all batches of sums and what they are divided by, [L, S], or [L] without S; 0 where that is 0."""
    sum_LS, weight_LS = value_ML2S.sum(0).unbind(1)
    return sum_LS / weight_LS.where(weight_LS > 0, 1)


PROBES = (
    Evaluated("accuracy", "prediction", correct, summed, whole=True),
    Evaluated("position_loss", "prediction", at_positions, averaged, whole=True),
)
