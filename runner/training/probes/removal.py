"""The probe of removal: what a model loses with its least active hidden units."""

from torch import Tensor

from runner.training.probes.probe import Removed


def least_active(square_F: Tensor) -> Tensor:
    """The units from the one with the smallest mean square on; of equal ones the first."""
    return square_F.argsort(stable=True)


PROBES = (Removed("removal", {percent: percent / 100 for percent in (10, 25, 50, 75)}, least_active),)
