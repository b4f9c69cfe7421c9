"""Interpolated n-gram counts: what a text is worth to somebody who only counts. No model is trained here.

An n-gram is the n - 1 tokens before a token, its history, and the token. With Dirichlet smoothing

    p_n(c | h) = (count(h c) + a_n · p_{n-1}(c | h')) / (count(h) + a_n)

where h' is h without its first token and p_0 is uniform. A history that was not seen leaves p_{n-1} as it is, and so
does one that would begin before the split: a split stands by itself, in training and in evaluation.

    counts = Counts(tokens_N, vocabulary, order)
    seen = counts.seen(tokens_M)                      # what it knows of another text, once
    seen.loss(tune(counts.seen(validation_M), 3))     # nats a token, with the smoothing that suits the validation text
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

GOLDEN = (5**0.5 - 1) / 2
LOWEST, HIGHEST = -7.0, 21.0  # of log a_n: as good as no smoothing, and as an order that is left out
NARROW, SWEEPS = 1e-3, 20  # how finely log a_n is found, and how often all orders are gone through


@dataclass(frozen=True)
class Seen:
    """How often each n-gram of a text, and each history, was seen in the text that was counted.

    grams_KM      float64 [order, M]: count(h c) for n = 1, 2, …, where c is the text's token and h what precedes it
    histories_KM  float64 [order, M]: count(h)
    """

    vocabulary: int
    grams_KM: np.ndarray
    histories_KM: np.ndarray

    @property
    def order(self) -> int:
        """The longest n-grams that were looked for."""
        return len(self.grams_KM)

    def after(self, skip: int) -> "Seen":
        """The same without the first tokens of the text, which then are history alone."""
        return Seen(self.vocabulary, self.grams_KM[:, skip:], self.histories_KM[:, skip:])

    def probabilities(self, smoothing: Sequence[float]) -> np.ndarray:
        """float64 [M]: of each token given those before it, with n-grams as long as `smoothing`, a_1, a_2, …, says."""
        p_M = np.full(self.grams_KM.shape[1], 1 / self.vocabulary)
        for a, gram_M, history_M in zip(smoothing, self.grams_KM, self.histories_KM, strict=False):
            p_M = (gram_M + a * p_M) / (history_M + a)
        return p_M

    def loss(self, smoothing: Sequence[float]) -> float:
        """Mean cross-entropy, nats a token."""
        return float(-np.log(self.probabilities(smoothing)).mean())


class Counts:
    """The n-grams of a text up to an order. For N tokens it takes `order` sorts of N numbers, whatever the vocabulary.

    A number stands for an n-gram: that of the (n - 1)-gram before its last token among those that were seen, times the
    vocabulary, plus the last token.
    """

    def __init__(self, tokens_N: np.ndarray, vocabulary: int, order: int) -> None:
        self.vocabulary = vocabulary
        self.keys: list[np.ndarray] = []  # int64 [U] for each order: the n-grams that were seen, ascending
        self.counts: list[np.ndarray] = []  # float64 [U]: how often
        self.histories: list[np.ndarray] = []  # float64 [U of the order before]: how often each was a history
        tokens_N = tokens_N.astype(np.int64)
        place_N, before = np.zeros(len(tokens_N) + 1, dtype=np.int64), 1  # before the first token: one empty history
        for n in range(1, min(order, len(tokens_N)) + 1):
            keys, place_N, counts = np.unique(
                place_N[:-1] * vocabulary + tokens_N[n - 1 :], return_inverse=True, return_counts=True
            )
            self.histories.append(np.bincount(keys // vocabulary, weights=counts, minlength=before))
            self.keys.append(keys)
            self.counts.append(counts.astype(np.float64))
            before = len(keys)

    @property
    def order(self) -> int:
        """The longest n-grams that were counted."""
        return len(self.keys)

    def parameters(self, order: int) -> int:
        """How many counts are not zero, in all orders up to this one."""
        return sum(map(len, self.keys[:order]))

    def seen(self, tokens_M: np.ndarray) -> Seen:
        """What was counted of the n-grams of another text, which begins without a history."""
        tokens_M = tokens_M.astype(np.int64)
        grams_KM, histories_KM = np.zeros((2, self.order, len(tokens_M)))
        place_M = np.zeros(len(tokens_M) + 1, dtype=np.int64)  # of the history before each token; -1: never seen
        for n, (keys, counts, histories) in enumerate(zip(self.keys, self.counts, self.histories, strict=True)):
            if n >= len(tokens_M):
                break
            history = place_M[:-1]
            wanted = history * self.vocabulary + tokens_M[n:]
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            known = (history >= 0) & (keys[at] == wanted)
            grams_KM[n, n:] = np.where(known, counts[at], 0)
            histories_KM[n, n:] = np.where(history >= 0, histories[history], 0)
            place_M = np.where(known, at, -1)
        return Seen(self.vocabulary, grams_KM, histories_KM)


def tune(seen: Seen, order: int) -> list[float]:
    """The smoothing a_1 … a_n with the lowest loss on a text: one order after the other, each by a golden section
    search over its logarithm, then all of them in turn until nothing moves. The same text gives the same numbers."""
    logs: list[float] = []
    for n in range(min(order, seen.order)):
        logs.append(_best(seen, logs, n))
    for _ in range(SWEEPS):
        before = list(logs)
        for n in range(len(logs)):
            logs[n] = _best(seen, logs, n)
        if all(abs(x - y) <= NARROW for x, y in zip(logs, before, strict=True)):
            break
    return [float(a) for a in np.exp(logs)]


def _best(seen: Seen, logs: list[float], n: int) -> float:
    """The best logarithm at place n, the others as they are."""
    return _lowest(lambda x: seen.loss(np.exp([*logs[:n], x, *logs[n + 1 :]]).tolist()))


def _lowest(loss: Callable[[float], float]) -> float:
    """Where a function with one valley is lowest, between `LOWEST` and `HIGHEST`."""
    low, high = LOWEST, HIGHEST
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    while high - low > NARROW:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = loss(right)
    return (low + high) / 2
