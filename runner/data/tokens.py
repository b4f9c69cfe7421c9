"""A corpus as numbers."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from runner.data import shards
from runner.data.tokenizers.tokenizer import Tokenizer

Span = tuple[int, int]


@dataclass(frozen=True)
class Tokens:
    """A corpus as numbers, and what they stand for. `ids` is an array, or token shards that do not fit into memory."""

    ids: np.ndarray | shards.Stream  # uint8 or uint16 [N]
    codec: Tokenizer
    spans: dict[str, Span]  # where each split lies in `ids`: half-open
    bytes: dict[str, int] | None = None  # of UTF-8 in each split, where splits are not ranges of tokens

    @property
    def vocabulary(self) -> int:
        """How many different tokens there can be."""
        return self.codec.vocabulary

    def windows(self, starts_B: np.ndarray, length: int) -> np.ndarray:
        """[B, length]: the tokens from each start on."""
        if isinstance(self.ids, shards.Stream):
            return self.ids.windows(starts_B, length)
        return self.ids[starts_B[:, None] + np.arange(length)]

    def bytes_per_token(self, names: Iterable[str]) -> dict[str, float]:
        """Bytes of UTF-8 over tokens of some splits: a loss in nats over this and ln 2 is in bits a byte. Empty where
        tokens are no text."""
        spans = {name: self.spans[name] for name in names}
        if self.bytes:
            return {name: self.bytes[name] / (b - a) for name, (a, b) in spans.items()}
        sizes = self.codec.sizes()
        if not sizes.any():
            return {}
        return {name: float(sizes[self.windows(np.array([a]), b - a)[0]].mean()) for name, (a, b) in spans.items()}
