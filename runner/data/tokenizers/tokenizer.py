"""What a tokenizer is."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np


@dataclass(frozen=True)
class Source:
    """What a tokenizer may be made from: the corpus' text, that of the training split alone, and its settings."""

    text: str
    train: str
    settings: Any = None


class Tokenizer(Protocol):
    """Turns text into token ids and back.

    Where it is `trained`, or is not `lossless`, a run's splits are ranges of characters or documents, not of tokens.
    """

    trained: ClassVar[bool]  # on the training split
    lossless: ClassVar[bool]  # whether all text comes back, and `sizes` add up to it
    vocabulary: int  # ids are 0 to vocabulary - 1
    end: int | None  # the id that ends a document, of no text; None where there is none
    prompt: str  # what a sample begins with where no prompt is given: at least one token

    @classmethod
    def of(cls, source: Source) -> Self:
        """The tokenizer for a corpus; most are the same for all of them."""
        ...

    def encode(self, text: str) -> np.ndarray:
        """uint8 or uint16 [T]: the ids of `text`, without an end. A `UserError` where it has none."""
        ...

    def decode(self, ids: np.ndarray) -> str:
        """The text of some ids."""
        ...

    def sizes(self) -> np.ndarray:
        """int64 [vocabulary]: the bytes of UTF-8 that each token stands for. Of a lossless tokenizer they add up to
        those of the text, so that losses of different tokenizers are compared in bits a byte: nats / ln 2 / the mean
        bytes of a token."""
        ...

    def fallback(self) -> np.ndarray:
        """bool [vocabulary]: the tokens that spell what has no token of its own: parts of a character, or unknown."""
        ...
