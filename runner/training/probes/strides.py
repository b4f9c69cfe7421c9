"""The probes of strided inference, a second evaluation of kinds that predict in patches (arXiv 2305.07185)."""

from torch import Tensor

from runner.training.probes.prediction import at_positions, averaged, summed, weighted
from runner.training.probes.probe import Evaluated


def loss(logits_NV: Tensor, target_N: Tensor, weight_N: Tensor, positions: int) -> Tensor:
    """The sum of the weighted losses; a split's weights add up to 1."""
    return weighted(logits_NV, target_N, weight_N).sum()


PROBES = (
    Evaluated("strided_loss", "strided", loss, summed, whole=True),
    Evaluated("strided_position_loss", "strided", at_positions, averaged, whole=True),
)
