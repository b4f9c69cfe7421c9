"""Interpolated n-gram counts with Dirichlet smoothing, a baseline for language models.

An n-gram is a token c and the n - 1 tokens before it, its history h. Its probability is

    p_n(c | h) = (count(h c) + a_n · p_{n-1}(c | h')) / (count(h) + a_n)

where h' is h without its first token and p_0 is uniform. For a history that was not seen, p_n is p_{n-1}; also for one
that would start before its split, as each split is counted and evaluated by itself.

    counts = Counts(tokens_N, vocabulary, order)
    seen = counts.seen(tokens_M)                      # the counts of the n-grams of another text
    seen.loss(tune(counts.seen(validation_M), 3))     # nats per token, with smoothing tuned on a validation text
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

GOLDEN = (5**0.5 - 1) / 2
LOWEST, HIGHEST = -7.0, 21.0  # of log a_n: in effect no smoothing, and in effect no counts of order n
NARROW, SWEEPS = 1e-3, 20  # tolerance of log a_n, and the largest number of passes over all orders


@dataclass(frozen=True)
class Seen:
    """The counts, in the counted text, of the n-grams and histories at each token of another text.

    grams_KM      float64 [order, M]: count(h c) for n = 1, 2, …, where c is the token and h its history
    histories_KM  float64 [order, M]: count(h)
    """

    vocabulary: int
    grams_KM: np.ndarray
    histories_KM: np.ndarray

    @property
    def order(self) -> int:
        """The order of the longest n-grams."""
        return len(self.grams_KM)

    def after(self, skip: int) -> "Seen":
        """The counts without the first `skip` tokens of the text, which then only serve as history."""
        return Seen(self.vocabulary, self.grams_KM[:, skip:], self.histories_KM[:, skip:])

    def probabilities(self, smoothing: Sequence[float]) -> np.ndarray:
        """float64 [M]: the probability of each token given those before it. `smoothing` is a_1, a_2, …; its length is
        the order."""
        p_M = np.full(self.grams_KM.shape[1], 1 / self.vocabulary)
        for a, gram_M, history_M in zip(smoothing, self.grams_KM, self.histories_KM, strict=False):
            p_M = (gram_M + a * p_M) / (history_M + a)
        return p_M

    def loss(self, smoothing: Sequence[float]) -> float:
        """The mean cross-entropy with this smoothing, in nats per token."""
        return float(-np.log(self.probabilities(smoothing)).mean())


class Counts:
    """The counts of a text's n-grams up to an order. For N tokens they take `order` sorts of N integers.

    An n-gram is represented by an integer key: the index of its first n - 1 tokens among the (n - 1)-grams that were
    seen, times the size of the vocabulary, plus its last token.
    """

    def __init__(self, tokens_N: np.ndarray, vocabulary: int, order: int) -> None:
        self.vocabulary = vocabulary
        self.keys: list[np.ndarray] = []  # int64 [U] for each order: the keys of the n-grams that were seen, ascending
        self.counts: list[np.ndarray] = []  # float64 [U]: their counts
        self.histories: list[np.ndarray] = []  # float64 [U of the order below]: counts as a history
        tokens_N = tokens_N.astype(np.int64)
        place_N, before = (
            np.zeros(len(tokens_N) + 1, dtype=np.int64),
            1,
        )  # at order 1 all tokens have the one empty history
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
        """The order of the longest n-grams that were counted."""
        return len(self.keys)

    def parameters(self, order: int) -> int:
        """The number of nonzero counts of all orders up to this one."""
        return sum(map(len, self.keys[:order]))

    def seen(self, tokens_M: np.ndarray) -> Seen:
        """The counts of the n-grams of another text, int [M], whose first token has no history."""
        tokens_M = tokens_M.astype(np.int64)
        grams_KM, histories_KM = np.zeros((2, self.order, len(tokens_M)))
        place_M = np.zeros(len(tokens_M) + 1, dtype=np.int64)  # index of the history before each token; -1: never seen
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
    """The smoothing a_1 … a_order with the lowest loss on a text.

    It is found by golden section search over the logarithms: first one order after the other, then in passes over all
    of them until none changes. The search is deterministic.
    """
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
    """The logarithm at index n with the lowest loss, with the others unchanged."""
    return _lowest(lambda x: seen.loss(np.exp([*logs[:n], x, *logs[n + 1 :]]).tolist()))


def _lowest(loss: Callable[[float], float]) -> float:
    """The minimum of a unimodal function between `LOWEST` and `HIGHEST`, by golden section search."""
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
