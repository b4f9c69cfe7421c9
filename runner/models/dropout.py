"""Dropout as a pure function of (seed, step, site, position).

A mask is a hash of positions with a 32-bit key, and no random state is stored. Eager and compiled code, on a CPU and on
CUDA, compute the same mask, and backward computes it again instead of keeping it.
"""

import math

import torch
from torch import Tensor

_MASK64 = (1 << 64) - 1


def _splitmix64(state: int) -> int:
    """The finaliser of splitmix64: a bijection of 64-bit integers whose output bits all depend on all input bits."""
    state = (state + 0x9E3779B97F4A7C15) & _MASK64
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK64
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK64
    return state ^ (state >> 31)


def site_keys(seed: int, step: int, sites: int) -> Tensor:
    """int32 [sites]: one key for each dropout site of a step. Seed, step and site are mixed in one after the other, so
    that neighbouring values give unrelated keys (with a sum, the masks of neighbouring seeds would be shifted
    copies)."""
    base = _splitmix64(_splitmix64(seed & _MASK64) ^ (step & _MASK64))
    words = [_splitmix64(base ^ site) >> 32 for site in range(sites)]
    return torch.tensor([word - (1 << 32) if word >= 1 << 31 else word for word in words], dtype=torch.int32)


def positions(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """The int32 index of each element of a contiguous tensor of this shape, in that shape."""
    return torch.arange(math.prod(shape), dtype=torch.int32, device=device).view(shape)


def _word(position: Tensor, key: Tensor) -> Tensor:
    """A random int32 for each position. The overflow of int32 products is intended."""
    # A multiply-xor-shift hash. The key enters twice: if it were only added or only xor-ed at the start, the masks of
    # two keys would be permuted copies of each other. `& 0xFFFF` makes an arithmetic shift a logical one.
    word = (position + key) * 0x7FEB352D
    word = (word ^ ((word >> 16) & 0xFFFF) ^ key) * -2073254261  # 0x846CA68B
    return (word ^ ((word >> 15) & 0x1FFFF)) * 0x2C1B3C6D


def kept(position: Tensor, key: Tensor, p: float) -> Tensor:
    """A bool tensor of the shape of `position`, False with probability p."""
    # The high bits of a product are mixed best, and they decide the signed comparison.
    return _word(position, key) >= round(p * 2**32) - 2**31


def uniform(position: Tensor, key: Tensor) -> Tensor:
    """Numbers between 0 and 1, of which it is neither, in the shape of `position`; float32."""
    return ((_word(position, key) >> 9).to(torch.float32) + (2**22 + 0.5)) * 2.0**-23


def dropout(x: Tensor, key: Tensor, p: float) -> Tensor:
    """x with each element set to zero with probability p, and the others scaled by 1 / (1 - p)."""
    if not p:
        return x
    return torch.where(kept(positions(tuple(x.shape), x.device), key, p), x * (1 / (1 - p)), 0.0)
