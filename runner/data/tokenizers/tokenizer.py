"""What a tokenizer is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from runner.errors import UserError


@dataclass(frozen=True)
class Source:
    """What a tokenizer may be made from: the corpus' text, that of the training split alone, and its settings."""

    text: str
    train: str
    settings: Any = None


class Tokenizer(ABC):
    """Turns text into token ids and back.

    Where it is `trained`, or is not `lossless`, a run's splits are ranges of characters or documents, not of tokens.
    """

    trained: ClassVar[bool] = False  # on the training split
    lossless: ClassVar[bool] = True  # whether all text comes back, and `sizes` add up to it
    vocabulary: int  # ids are 0 to vocabulary - 1
    end: int | None = None  # the id that ends a document, of no text; None where there is none
    fingerprint: str | None = None  # the checksum of one that is trained
    prompt: str = "\n"  # what a sample begins with where no prompt is given: at least one token

    @classmethod
    def of(cls, source: Source) -> Self:
        """The tokenizer for a corpus: the same for all of them, unless a kind says otherwise."""
        return cls()

    @abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """uint8 or uint16 [T]: the ids of `text`, without an end. A `UserError` where it has none."""

    @abstractmethod
    def decode(self, ids: np.ndarray) -> str:
        """The text of some ids; bytes that are no whole character become U+FFFD."""

    @abstractmethod
    def sizes(self) -> np.ndarray:
        """int64 [vocabulary]: the bytes of UTF-8 that each token stands for, 0 for those that are no text.

        Of a lossless tokenizer they add up to those of the text, so that losses of different tokenizers are compared
        in bits a byte: nats / ln 2 / the mean bytes of a token.
        """

    def fallback(self) -> np.ndarray:
        """bool [vocabulary]: the tokens that spell what has no token of its own, by parts of a character or by a mark
        of the unknown. None, unless a kind says otherwise."""
        return np.zeros(self.vocabulary, dtype=bool)

    def check(self, known: dict[str, Any], where: str) -> None:
        """Raise a `UserError` where this is not the tokenizer that a manifest's "corpus" describes: a model that was
        trained on other tokens would read nonsense."""
        for key, now in (("vocabulary", self.vocabulary), ("tokenizer_sha256", self.fingerprint)):
            if known.get(key) != now:
                raise UserError(
                    f"{where} was trained on tokens with {key} {known.get(key)}, and here they have {now}: use the "
                    "versions of packages that it was trained with, or train it anew"
                )
