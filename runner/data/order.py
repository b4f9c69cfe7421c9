"""The windows of a split that are read, and their order, as functions of (seed, step) alone."""

import numpy as np

TRAIN_STREAM, EVAL_STREAM = 0, 1  # separate, so that evaluation settings do not change training batches


def starts(
    seed: int, step: int, count: int, span: tuple[int, int], block: int, stream: int = TRAIN_STREAM
) -> np.ndarray:
    """int64 [count]: the starts of the windows of one batch, drawn uniformly from `span` with replacement.

    Philox is a counter-based generator: the same (seed, stream, step) gives the same windows in every arm of a
    sweep, in any order of calls. Its raw words are fixed by its definition, not by a library's version.
    """
    low, high = span[0], span[1] - block
    words = np.random.Philox(key=seed, counter=[0, step, stream, 0]).random_raw(count)
    return low + ((words >> np.uint64(32)) * np.uint64(high - low) >> np.uint64(32)).astype(np.int64)


def windows(span: tuple[int, int], block: int, stride: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Windows of `block` tokens that predict every token of `span` but its first exactly once. They start every
    `stride` tokens, by default every `block` tokens.

    Returns the starts, int64 [W], and for each window the number of leading targets that earlier windows have predicted
    already, int64 [W]. The last window is moved back to end with the span.
    """
    stride = block if stride is None else stride
    low, last = span[0], span[1] - 1 - block  # start of the last window
    more = -(-(last - low) // stride)
    begin = np.minimum(low + stride * np.arange(more + 1, dtype=np.int64), last)
    done = low + block + stride * np.arange(-1, more, dtype=np.int64)  # where the windows before end
    return begin, np.append(0, done[1:] - begin[1:])


def spread(total: int, count: int) -> np.ndarray:
    """int64 [min(count, total)]: the indices of `count` out of `total` windows, evenly spread, ascending."""
    count = min(count, total)
    return np.arange(count, dtype=np.int64) * total // count


def shuffled(count: int, seed: int, stream: int) -> np.ndarray:
    """int64 [count]: a permutation of the numbers below `count`, a function of (seed, stream)."""
    words = np.random.Philox(key=seed, counter=[0, 0, stream, 0]).random_raw(count)
    return np.argsort(words, kind="stable")
