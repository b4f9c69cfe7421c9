"""Initial weights by name, each a function of (seed, the parameter's name)."""

import math

import torch
from torch import Tensor

from runner.models.protocol import generator


@torch.no_grad()
def fill(weight_OI: Tensor, how: str, seed: int, name: str) -> None:
    """Fill a matrix [outputs, inputs].

    kaiming  normal, variance 2 / inputs (He et al. 2015, arXiv 1502.01852)
    xavier   uniform, variance 2 / (inputs + outputs) (Glorot and Bengio 2010)
    plain    normal, variance 1, whatever the sizes
    """
    outputs, inputs = weight_OI.shape
    random = generator(seed, name)
    if how == "xavier":
        bound = math.sqrt(6 / (inputs + outputs))
        weight_OI.copy_((2 * torch.rand(weight_OI.shape, generator=random) - 1) * bound)
    else:
        std = math.sqrt(2 / inputs) if how == "kaiming" else 1.0
        weight_OI.copy_(torch.randn(weight_OI.shape, generator=random) * std)
