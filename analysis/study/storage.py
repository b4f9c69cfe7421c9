"""Bytes of a model's parameters, plain and rounded for storage."""

import math
from collections.abc import Callable, Sequence
from functools import partial

FLOAT = 4  # bytes


def int8_bytes(shape: Sequence[int]) -> int:
    """A byte an element, and a scale a row."""
    return math.prod(shape) + FLOAT * shape[0]


def codebook_bytes(shape: Sequence[int], size: int) -> int:
    """As many bits an element as tell the values apart, and the values."""
    return -(-math.prod(shape) * (size - 1).bit_length() // 8) + FLOAT * size


def float32_bytes(shape: Sequence[int]) -> int:
    """What every vector takes, and a matrix that is not rounded."""
    return FLOAT * math.prod(shape)


BYTES: dict[str, Callable[[Sequence[int]], int]] = {
    "int8_loss": int8_bytes,
    "codebook_256_loss": partial(codebook_bytes, size=256),
    "codebook_16_loss": partial(codebook_bytes, size=16),
}


def stored(name: str, shapes: Sequence[Sequence[int]]) -> int:
    """Bytes of parameters of these shapes, the matrices as a probe of this name stores them (see
    `runner.training.probes.rounding`)."""
    return sum(BYTES[name](shape) if len(shape) > 1 else float32_bytes(shape) for shape in shapes)
