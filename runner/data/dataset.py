"""Tokens, batches and evaluation windows, each a function of (seed, step) and nothing else."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from runner.data import bpe, corpora, openwebtext, shards
from runner.data.spec import DataSpec
from runner.errors import UserError

TRAIN_STREAM, EVAL_STREAM = 0, 1  # kept apart, so that how a run evaluates never moves its training batches


class Characters:
    """A token for each character, in the order of the sorted alphabet."""

    def __init__(self, alphabet: str) -> None:
        self.alphabet, self.vocabulary = alphabet, len(alphabet)

    def encode(self, text: str) -> np.ndarray:
        """Ids of `text`; a character outside the alphabet is a `UserError`."""
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

    def sizes(self) -> np.ndarray:
        """int64 [vocabulary]: the bytes of UTF-8 that each token stands for."""
        return np.array([len(c.encode()) for c in self.alphabet])


class BytePairs:
    """GPT-2's tokens."""

    vocabulary = bpe.VOCABULARY
    encode, decode, sizes = (staticmethod(f) for f in (bpe.encode, bpe.decode, bpe.token_bytes))


@dataclass(frozen=True)
class Tokens:
    """A corpus as numbers, and what they stand for. `ids` is an array, or token shards that do not fit into memory."""

    ids: np.ndarray | shards.Stream  # uint8 or uint16 [N]
    codec: Characters | BytePairs

    @property
    def vocabulary(self) -> int:
        """How many different tokens there can be."""
        return self.codec.vocabulary

    def windows(self, starts_B: np.ndarray, length: int) -> np.ndarray:
        """[B, length]: the tokens from each start on."""
        if isinstance(self.ids, shards.Stream):
            return self.ids.windows(starts_B, length)
        return self.ids[starts_B[:, None] + np.arange(length)]

    def bytes_per_token(self, span: tuple[int, int]) -> float:
        """Bytes of UTF-8 over tokens of a split: a loss in nats over this and ln 2 is in bits a byte."""
        ids = self.windows(np.array([span[0]]), span[1] - span[0])[0]
        return float(self.codec.sizes()[ids].mean())


@lru_cache(maxsize=1)
def load(spec: DataSpec) -> Tokens:
    """The whole corpus; splits are ranges of it."""
    if spec.corpus == openwebtext.NAME:
        ids, codec = openwebtext.load(last(spec)), BytePairs()
    elif spec.tokenizer == "gpt2":
        codec = BytePairs()
        ids = codec.encode(corpora.load(spec.corpus).decode())
    else:
        points = np.frombuffer(corpora.load(spec.corpus).decode().encode("utf-32-le"), dtype=np.uint32)
        alphabet, ids = np.unique(points, return_inverse=True)
        ids, codec = ids.astype(np.uint8), Characters("".join(map(chr, alphabet)))
    for name, (_, stop) in spec.splits().items():
        if stop > len(ids):
            raise UserError(f"data.{name} ends at {stop}, but {spec.corpus} has {len(ids)} tokens: end it there")
    return Tokens(ids, codec)


def fingerprint(spec: DataSpec) -> str:
    """The checksum of what a run reads: the text, or those shards of it that its splits reach into."""
    if spec.corpus == openwebtext.NAME:
        return shards.Stream(openwebtext.folder()).fingerprint(last(spec))
    return corpora.named(spec.corpus).sha256


def last(spec: DataSpec) -> int:
    """Where the last split ends, in tokens: how much of a corpus the run needs."""
    return max(stop for _, stop in spec.splits().values())


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


def spread(total: int, count: int) -> np.ndarray:
    """int64 [min(count, total)]: numbers of `count` windows out of `total`, evenly spread and in order."""
    count = min(count, total)
    return np.arange(count, dtype=np.int64) * total // count
