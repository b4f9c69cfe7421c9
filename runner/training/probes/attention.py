"""The probe of attention."""

from torch import Tensor

from runner.models.kernels import wide
from runner.models.layers import by_heads
from runner.training.probes.probe import Evaluated


def largest_logit(qkv_BTE: Tensor, n_head: int) -> Tensor:
    """The largest product of a query and a key over √(head size), by size, over all heads and causal pairs."""
    q_BHTK, k_BHTK, _ = wide(by_heads(qkv_BTE, n_head)).unbind()
    return (q_BHTK @ k_BHTK.mT * q_BHTK.shape[-1] ** -0.5).tril().abs().amax()


def highest(value_ML: Tensor) -> Tensor:
    """The largest over the batches."""
    return value_ML.amax(0)


PROBES = (Evaluated("attention_logit", "attention.qkv", largest_logit, highest),)
