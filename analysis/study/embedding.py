"""What the embedding of a trained model knows: nearest tokens, analogies, clusters, and a map, all by cosine.

A word is the token that stands for it after a space, as most words of a text are; the token without one is another.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from runner.evidence.log import Run

# Words to ask about, chosen before any model of the stories was trained.
FAMILY = (
    "mom", "dad", "mommy", "daddy", "mother", "father", "parents", "parent", "brother", "sister", "grandma", "grandpa",
    "grandmother", "grandfather", "son", "daughter", "family", "uncle", "aunt", "cousin",
)  # fmt: skip
PAIRS = (
    ("boy", "girl"), ("dad", "mom"), ("daddy", "mommy"), ("father", "mother"), ("prince", "princess"),
    ("king", "queen"), ("man", "woman"), ("brother", "sister"), ("grandpa", "grandma"), ("he", "she"), ("his", "her"),
)  # fmt: skip
GROUPS = {
    "family": ("mom", "dad", "mommy", "daddy", "brother", "sister", "grandma", "mother", "father"),
    "animals": ("cat", "dog", "bird", "bear", "fish", "rabbit", "mouse", "lion", "frog"),
    "colours": ("red", "blue", "green", "yellow", "pink", "white", "black"),
    "feelings": ("happy", "sad", "scared", "angry", "proud", "excited", "brave"),
    "names": ("Tim", "Lily", "Tom", "Mia", "Sue", "Max", "Ben", "Sam"),
    "deeds": ("run", "jump", "eat", "sleep", "play", "walk", "fly", "swim"),
}


@dataclass(frozen=True)
class Embedding:
    """The tokens of a run, how often it read each, and their vectors, [V, D]."""

    texts: Sequence[str]
    times: np.ndarray
    vectors: np.ndarray

    @classmethod
    def of(cls, run: Run) -> "Embedding":
        """That which a run left; no tokens where it left none."""
        frame = run.embedding().to_pandas()
        vectors = np.stack(frame.vector).astype(float) if len(frame) else np.empty((0, 0))
        return cls(list(frame.text), frame.times.to_numpy(), vectors)

    @cached_property
    def units(self) -> np.ndarray:
        """The vectors at length 1."""
        return self.vectors / np.maximum(np.linalg.norm(self.vectors, axis=1, keepdims=True), 1e-12)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Token by text."""
        return {text: token for token, text in reversed(list(enumerate(self.texts)))}

    def __contains__(self, word: str) -> bool:
        return f" {word}" in self.ids and self.times[self.ids[f" {word}"]] > 0

    def known(self, words: Iterable[str]) -> list[str]:
        """Those of the words that are tokens, and that the run read."""
        return [word for word in words if word in self]

    def token(self, word: str) -> int:
        """The token of a word."""
        return self.ids[f" {word}"]

    def nearest(self, word: str, count: int = 5) -> list[tuple[str, float]]:
        """The nearest tokens that the run read, with their cosines; the word itself is left out."""
        near = self._ranked(self.units[self.token(word)], [self.token(word)])[:count]
        return [(self.texts[token], float(self.units[token] @ self.units[self.token(word)])) for token in near]

    def analogy(self, plus: Sequence[int], minus: Sequence[int], wanted: int) -> tuple[int, float]:
        """The rank of a token, from 1, among those nearest to a sum of some unit vectors less some others, which are
        left out; and its cosine."""
        sum_D = self.units[list(plus)].sum(axis=0) - self.units[list(minus)].sum(axis=0)
        score_V = self.units @ sum_D
        ahead_V = (score_V > score_V[wanted]) & (self.times > 0)  # of equals the first token is ahead
        ahead_V[:wanted] |= (score_V[:wanted] == score_V[wanted]) & (self.times[:wanted] > 0)
        ahead_V[[*plus, *minus]] = False
        cosine = float(self.units[wanted] @ sum_D / max(float(np.linalg.norm(sum_D)), 1e-12))
        return int(ahead_V.sum()) + 1, cosine

    def closeness(self, words: Sequence[str]) -> tuple[float, float]:
        """The mean cosine of two of the words, and of one of them with one of as many other tokens, which are read
        about as often."""
        mine = [self.token(word) for word in words]
        among = self.units[mine] @ self.units[mine].T
        others = np.array([self._twin(token, mine) for token in mine])
        between = self.units[mine] @ self.units[others].T
        return float(among[~np.eye(len(mine), dtype=bool)].mean()), float(between.mean())

    def plane(self, words: Sequence[str]) -> np.ndarray:
        """Where the words lie in the plane of their two largest principal components, [words, 2]."""
        unit_WD = self.units[[self.token(word) for word in words]]
        centred_WD = unit_WD - unit_WD.mean(axis=0)
        left, size, _ = np.linalg.svd(centred_WD, full_matrices=False)
        signs = np.sign(left[0, :2])  # a component has no direction of its own: the first word lies up and right
        return left[:, :2] * size[:2] * np.where(signs == 0, 1, signs)

    def _ranked(self, vector_D: np.ndarray, without: Sequence[int]) -> np.ndarray:
        """Tokens that the run read, the nearest first."""
        order = np.argsort(-(self.units @ vector_D), kind="stable")
        return order[~np.isin(order, list(without)) & (self.times[order] > 0)]

    def _twin(self, token: int, without: Sequence[int]) -> int:
        """The token that is read most nearly as often, of those that are words of letters."""
        words = [i for i, text in enumerate(self.texts) if text[:1] == " " and text[1:].isalpha() and i not in without]
        return min(words, key=lambda i: (abs(int(self.times[i]) - int(self.times[token])), i))
