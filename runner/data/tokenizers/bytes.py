"""A token for each byte of UTF-8."""

import numpy as np

from runner.data.tokenizers.tokenizer import Tokenizer


class Bytes(Tokenizer):
    """The bytes of the text, the same for every corpus."""

    vocabulary = 256

    def encode(self, text: str) -> np.ndarray:
        """uint8 [T]: the bytes of `text`."""
        return np.frombuffer(text.encode(), dtype=np.uint8)

    def decode(self, ids: np.ndarray) -> str:
        """The text of some bytes; those that are no whole character become U+FFFD."""
        return bytes(np.asarray(ids).tolist()).decode(errors="replace")

    def sizes(self) -> np.ndarray:
        """int64 [256]: ones."""
        return np.ones(self.vocabulary, dtype=np.int64)
