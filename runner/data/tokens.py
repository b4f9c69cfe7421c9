"""The tokens of a corpus, with their tokenizer and splits."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from runner.data import shards
from runner.data.tokenizers.tokenizer import Tokenizer

Span = tuple[int, int]


@dataclass(frozen=True)
class Tokens:
    """The tokens of a corpus. `ids` is an array, or token shards on disk for a corpus that does not fit into memory."""

    ids: np.ndarray | shards.Stream  # uint8 or uint16 [N]
    codec: Tokenizer
    spans: dict[str, Span]  # the half-open range of each split in `ids`
    bytes: dict[str, int] | None = None  # UTF-8 bytes of each split, where splits are not ranges of tokens

    @property
    def vocabulary(self) -> int:
        """The size of the vocabulary."""
        return self.codec.vocabulary

    def windows(self, starts_B: np.ndarray, length: int) -> np.ndarray:
        """[B, length]: the `length` tokens from each of `starts_B`, int64 [B], on."""
        if isinstance(self.ids, shards.Stream):
            return self.ids.windows(starts_B, length)
        return self.ids[starts_B[:, None] + np.arange(length)]

    def bytes_per_token(self, names: Iterable[str]) -> dict[str, float]:
        """UTF-8 bytes per token of the named splits: a loss in nats per token, divided by this and ln 2, is in bits per
        byte. Empty where tokens are no text."""
        spans = {name: self.spans[name] for name in names}
        if self.bytes:
            return {name: self.bytes[name] / (b - a) for name, (a, b) in spans.items()}
        sizes = self.codec.sizes()
        if not sizes.any():
            return {}
        return {name: float(sizes[self.windows(np.array([a]), b - a)[0]].mean()) for name, (a, b) in spans.items()}
