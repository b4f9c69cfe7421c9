"""What a tokenizer makes of a text."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from runner.data.tokenizers.tokenizer import Tokenizer

MOST = 10  # longest tokens, and characters without a token, that are named


@dataclass(frozen=True)
class Split:
    """A tokenizer on one split.

    round_trip  whether the very text comes back from its tokens
    coverage    share of the characters that have a token of their own, or are part of one
    uncovered   the most frequent of the others, and how often they come
    fallback    share of the tokens that spell those in parts, or stand for what is unknown
    used        share of the vocabulary that comes
    longest     the longest tokens that come, by bytes, and how often
    """

    tokens: int
    characters: int
    bytes: int
    round_trip: bool
    coverage: float
    uncovered: dict[str, int]
    fallback: float
    used: float
    longest: dict[str, int]

    @property
    def bytes_per_token(self) -> float:
        """Bytes of UTF-8 over tokens."""
        return self.bytes / self.tokens


@dataclass(frozen=True)
class Report:
    """A tokenizer on the splits of a corpus; `longest` are its longest tokens, whether they come or not."""

    vocabulary: int
    longest: list[str]
    splits: dict[str, Split]


def report(codec: Tokenizer, texts: Mapping[str, Sequence[str]]) -> Report:
    """What a tokenizer makes of the documents of each split, or of its text as one. Ends are not counted."""
    sizes = codec.sizes()
    longest = np.argsort(-sizes, kind="stable")[:MOST]
    splits = {name: _split(codec, documents, sizes) for name, documents in texts.items()}
    return Report(codec.vocabulary, [codec.decode(longest[i : i + 1]) for i in range(len(longest))], splits)


def _split(codec: Tokenizer, documents: Sequence[str], sizes: np.ndarray) -> Split:
    parts = [codec.encode(document) for document in documents]
    ids, fallback = np.concatenate(parts), codec.fallback()
    times = np.bincount(ids, minlength=codec.vocabulary)
    seen = np.flatnonzero(times)
    longest = seen[np.argsort(-sizes[seen], kind="stable")[:MOST]]
    characters = Counter("".join(documents))
    bare = {c: n for c, n in characters.most_common() if not (own := codec.encode(c)).size or fallback[own].any()}
    return Split(
        tokens=len(ids),
        characters=characters.total(),
        bytes=sum(len(document.encode()) for document in documents),
        round_trip=all(codec.decode(part) == document for part, document in zip(parts, documents, strict=True)),
        coverage=1 - sum(bare.values()) / characters.total(),
        uncovered=dict(list(bare.items())[:MOST]),
        fallback=float(fallback[ids].mean()),
        used=len(seen) / codec.vocabulary,
        longest={codec.decode(np.array([token])): int(times[token]) for token in longest},
    )
