"""Dropout as a pure function of (seed, step, site, position).

Nothing random is stored: a mask is a hash of a position under a 32-bit key, so the same mask comes out of eager and
compiled code, on a CPU and on CUDA, and backward recomputes it instead of keeping it.
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
    """One int32 key for each dropout site of this step. Mixed again after each part, so that neighbours in seed, step
    or site are unrelated (a sum would make the masks of neighbouring seeds shifted copies of each other)."""
    base = _splitmix64(_splitmix64(seed & _MASK64) ^ (step & _MASK64))
    words = [_splitmix64(base ^ site) >> 32 for site in range(sites)]
    return torch.tensor([word - (1 << 32) if word >= 1 << 31 else word for word in words], dtype=torch.int32)


def positions(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """The int32 number of each element of a contiguous tensor of this shape."""
    return torch.arange(math.prod(shape), dtype=torch.int32, device=device).view(shape)


def kept(position: Tensor, key: Tensor, p: float) -> Tensor:
    """A bool tensor shaped like `position`: False with probability p. Int32 products wrap, on purpose."""
    # A multiply-xor-shift hash. The key enters twice: were it only added or only xor-ed at the start, masks under two
    # keys would be permuted copies of each other. `& 0xFFFF` makes an arithmetic shift a logical one.
    word = (position + key) * 0x7FEB352D
    word = (word ^ ((word >> 16) & 0xFFFF) ^ key) * -2073254261  # 0x846CA68B
    word = (word ^ ((word >> 15) & 0x1FFFF)) * 0x2C1B3C6D
    # The high bits of a product are its best mixed ones, and a signed comparison looks at them first.
    return word >= round(p * 2**32) - 2**31


def dropout(x: Tensor, key: Tensor, p: float) -> Tensor:
    """x with a share p of its elements set to zero and the rest scaled by 1 / (1 - p)."""
    if not p:
        return x
    return torch.where(kept(positions(tuple(x.shape), x.device), key, p), x * (1 / (1 - p)), 0.0)
