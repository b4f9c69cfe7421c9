"""Softmax, and drawing from it by Gumbel noise."""

import numpy as np


def softmax(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities [..., K] of scores [..., K] that are divided by a temperature above 0."""
    scaled = np.asarray(scores, dtype=float) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def gumbel_shares(scores: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """How often each of K scores is the largest after Gumbel noise of scale 1 is added to all, as shares [K] of
    `draws`. In the limit they are the softmax of the scores (Gumbel-max; Luce 1959, Maddison et al. 2014)."""
    noise = np.random.default_rng(seed).gumbel(size=(draws, len(scores)))
    largest = (np.asarray(scores) + noise).argmax(axis=1)
    return np.bincount(largest, minlength=len(scores)) / draws
