"""Tokens, batches and evaluation windows, each a function of (seed, step) and nothing else."""

from dataclasses import dataclass

import numpy as np

from runner import corpus
from runner.errors import UserError
from runner.spec import DataSpec

TRAIN_STREAM, EVAL_STREAM = 0, 1  # kept apart, so that how a run evaluates never moves its training batches


@dataclass(frozen=True)
class Tokens:
    """A corpus as numbers: one per character, in the order of the sorted alphabet."""

    ids: np.ndarray  # uint8 [N]
    alphabet: str

    def encode(self, text: str) -> np.ndarray:
        """uint8 ids of `text`; a character outside the alphabet is a `UserError`."""
        table = {c: i for i, c in enumerate(self.alphabet)}
        strange = sorted(set(text) - set(self.alphabet))
        if strange:
            raise UserError(
                f"the model does not know the characters {' '.join(map(repr, strange))}: its alphabet is "
                f"{self.alphabet!r}"
            )
        return np.array([table[c] for c in text], dtype=np.uint8)

    def decode(self, ids: np.ndarray) -> str:
        """The text of some ids."""
        return "".join(self.alphabet[i] for i in ids)


def load(spec: DataSpec) -> Tokens:
    """The whole corpus; splits are ranges of it. The corpora so far are ASCII, one byte a character."""
    raw = np.frombuffer(corpus.load(spec.corpus), dtype=np.uint8)
    for name, (_, stop) in spec.splits().items():
        if stop > len(raw):
            raise UserError(f"data.{name} ends at {stop}, but {spec.corpus} has {len(raw)} tokens: end it there")
    alphabet, ids = np.unique(raw, return_inverse=True)
    return Tokens(ids.astype(np.uint8), bytes(alphabet).decode("ascii"))


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


def windows(span: tuple[int, int], block: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows side by side that predict every token of `span` but its first exactly once.

    Returns starts int64 [W] and the number of leading targets of each window that do not count, int64 [W]: the last
    window is moved back to stay inside the split, and what it shares with the one before counts once.
    """
    low, targets = span[0], span[1] - span[0] - 1
    full, rest = divmod(targets, block)
    begin = low + block * np.arange(full, dtype=np.int64)
    skip = np.zeros(full, dtype=np.int64)
    if rest:
        begin = np.append(begin, low + targets - block)
        skip = np.append(skip, block - rest)
    return begin, skip
