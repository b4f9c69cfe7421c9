"""Probes of what rounding a trained model's matrices for storage costs in loss. Vectors stay as they are.

int8      each row times a scale of its own, to whole numbers from -127 to 127, by the row's largest element
codebook  each element as the nearest of n values of the matrix, found by k-means (Lloyd 1982) from its quantiles
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from runner.training.probes.probe import Rounded

ROUNDS = 25  # of k-means


def int8(w: Tensor) -> Tensor:
    """A matrix, its rows those of the first axis, as it reads after storage as int8."""
    scale = w.abs().amax(tuple(range(1, w.ndim)), keepdim=True) / 127
    return (w / scale.where(scale > 0, 1)).round() * scale


def codebook(w: Tensor, size: int) -> Tensor:
    """A matrix as it reads after storage as places in a codebook of `size` values."""
    flat_N = w.flatten()
    order_N = flat_N.sort().values
    N = len(order_N)
    book_K = order_N[((torch.arange(size, device=w.device) + 0.5) * N / size).long().clamp(max=N - 1)].double()
    running_N = torch.cat([order_N.new_zeros(1, dtype=torch.float64), order_N.double().cumsum(0)])
    for _ in range(ROUNDS):
        middles = (book_K[1:] + book_K[:-1]) / 2
        ends = torch.searchsorted(order_N.double(), middles)
        edges = torch.cat([ends.new_zeros(1), ends, ends.new_full((1,), N)])
        counts_K = edges.diff()
        sums_K = running_N[edges[1:]] - running_N[edges[:-1]]
        book_K = torch.where(counts_K > 0, sums_K / counts_K.clamp(min=1), book_K)
    middles = (book_K[1:] + book_K[:-1]) / 2
    return book_K[torch.searchsorted(middles, flat_N.double())].to(w.dtype).view_as(w)


PROBES = (
    Rounded("int8_loss", int8),
    Rounded("codebook_256_loss", partial(codebook, size=256)),
    Rounded("codebook_16_loss", partial(codebook, size=16)),
)


@contextmanager
def rounded(model: nn.Module, probe: Rounded) -> Iterator[None]:
    """The model's matrices are rounded within, and as they were afterwards."""
    kept = {name: p.detach().clone() for name, p in model.named_parameters() if p.ndim > 1}
    parameters = dict(model.named_parameters())
    try:
        with torch.no_grad():
            for name, before in kept.items():
                parameters[name].copy_(probe.change(before))
        yield
    finally:
        with torch.no_grad():
            for name, before in kept.items():
                parameters[name].copy_(before)
