"""A token for each character of a corpus."""

from typing import Self

import numpy as np

from runner.data.tokenizers.tokenizer import Source, Tokenizer
from runner.errors import UserError


class Characters(Tokenizer):
    """A token for each character, in the order of the sorted alphabet."""

    def __init__(self, alphabet: str) -> None:
        self.alphabet, self.vocabulary = "".join(sorted(alphabet)), len(alphabet)
        self._points = _points(self.alphabet)
        self._dtype = np.uint8 if len(alphabet) <= 256 else np.uint16

    @classmethod
    def of(cls, source: Source) -> Self:
        """The alphabet of the whole corpus, all splits."""
        return cls("".join(map(chr, np.unique(_points(source.text)))))

    def encode(self, text: str) -> np.ndarray:
        """Ids of `text`; a character outside the alphabet is a `UserError`."""
        points = _points(text)
        ids = np.searchsorted(self._points, points).clip(max=self.vocabulary - 1)
        strange = np.unique(points[self._points[ids] != points])
        if len(strange):
            raise UserError(
                f"the model does not know the characters {' '.join(repr(chr(c)) for c in strange)}: its alphabet is "
                f"{self.alphabet!r}"
            )
        return ids.astype(self._dtype)

    def decode(self, ids: np.ndarray) -> str:
        """The text of some ids."""
        return "".join(self.alphabet[i] for i in ids)

    def sizes(self) -> np.ndarray:
        """int64 [vocabulary]: the bytes of UTF-8 that each token stands for."""
        return np.array([len(c.encode()) for c in self.alphabet])


def _points(text: str) -> np.ndarray:
    """uint32 [T]: the code points of `text`, in order."""
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
