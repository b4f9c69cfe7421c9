"""The probe of predictions."""

from torch import Tensor

from runner.training.probes.probe import Evaluated


def correct(logits_NV: Tensor, target_N: Tensor, weight_N: Tensor) -> Tensor:
    """The summed weight of the predictions whose largest logit is that of the target; a split's weights add up to 1."""
    return (weight_N * (logits_NV.argmax(1) == target_N)).sum()


def summed(value_ML: Tensor) -> Tensor:
    """The sum over the batches."""
    return value_ML.sum(0)


PROBES = (Evaluated("accuracy", "prediction", correct, summed, whole=True),)
