"""Which windows of a split are read, and in which order: functions of (seed, step) and nothing else."""

import numpy as np

TRAIN_STREAM, EVAL_STREAM = 0, 1  # kept apart, so that how a run evaluates never moves its training batches


def starts(
    seed: int, step: int, count: int, span: tuple[int, int], block: int, stream: int = TRAIN_STREAM
) -> np.ndarray:
    """int64 [count]: where the windows of one batch begin, uniform over `span`, with replacement.

    Philox is a counter-based generator: the same (seed, stream, step) gives the same windows in every arm of a
    sweep, in any order of asking, and its raw words are fixed by its definition, not by a library's version.
    """
    low, high = span[0], span[1] - block
    words = np.random.Philox(key=seed, counter=[0, step, stream, 0]).random_raw(count)
    return low + ((words >> np.uint64(32)) * np.uint64(high - low) >> np.uint64(32)).astype(np.int64)


def windows(span: tuple[int, int], block: int, stride: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Windows that predict every token of `span` but its first exactly once: side by side, or one every `stride`
    tokens, of which the first counts whole and the others with what those before have not predicted.

    Returns starts int64 [W] and the number of leading targets of each window that do not count, int64 [W]. The last
    window is moved back to stay inside the split.
    """
    stride = block if stride is None else stride
    low, last = span[0], span[1] - 1 - block  # where the last window begins
    more = -(-(last - low) // stride)
    begin = np.minimum(low + stride * np.arange(more + 1, dtype=np.int64), last)
    done = low + block + stride * np.arange(-1, more, dtype=np.int64)  # where the windows before end
    return begin, np.append(0, done[1:] - begin[1:])


def spread(total: int, count: int) -> np.ndarray:
    """int64 [min(count, total)]: numbers of `count` windows out of `total`, evenly spread and in order."""
    count = min(count, total)
    return np.arange(count, dtype=np.int64) * total // count


def shuffled(count: int, seed: int, stream: int) -> np.ndarray:
    """int64 [count]: the numbers below `count` in an order that (seed, stream) alone gives."""
    words = np.random.Philox(key=seed, counter=[0, 0, stream, 0]).random_raw(count)
    return np.argsort(words, kind="stable")
