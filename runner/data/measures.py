"""What is measured of texts: how much they repeat, which of their words exist, and whether their names come back."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ORDERS = (1, 2, 3, 4)
OPENING = 2  # sentences in which names are introduced
OFTEN = 3  # times that a name comes in a text to learn from, at least
CAPITAL = 0.9  # the share of these with a capital, at least
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
INSIDE = re.compile(r"(?<=[a-z,;] )[^\W\d_]{2,}")  # words inside a sentence, where a capital marks a name
END = re.compile(r"[.!?]+[\"”']*(?=\s|$)|\n+")  # of a sentence


def repeated(ids: Sequence[int], begin: int) -> list[float]:
    """rep-n (arXiv 1908.04319) for each n of `ORDERS`: of the n-grams that end at `begin` or later, the share that came
    before. Without any it is 0."""
    found = []
    for n in ORDERS:
        seen, again, ends = set(), 0, range(n - 1, len(ids))
        for gram, end in zip(_grams(ids, n), ends, strict=True):
            again += gram in seen and end >= begin
            seen.add(gram)
        found.append(again / max(1, len(ids) - max(begin, n - 1)))
    return found


def distinct(texts: Sequence[Sequence[int]], begin: int) -> list[list[float]]:
    """For each text and each n of `ORDERS`: of its n-grams that end at `begin` or later, the share that no other of the
    texts has there. Over all texts together it is distinct-n (arXiv 1510.03055), but for n-grams within one text."""
    by_order = []
    for n in ORDERS:
        grams = [_grams(ids, n)[max(0, begin - n + 1) :] for ids in texts]
        having = Counter(gram for each in grams for gram in set(each))  # by how many texts
        by_order.append([sum(having[gram] == 1 for gram in each) / max(1, len(each)) for each in grams])
    return [list(shares) for shares in zip(*by_order, strict=True)]


@dataclass(frozen=True)
class Lexicon:
    """The words of a text, in small letters, and its names: words that it writes with a capital inside sentences."""

    words: frozenset[str]
    names: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Lexicon":
        """That of all these texts."""
        words: set[str] = set()
        inside: Counter[str] = Counter()
        for text in texts:
            words.update(word.lower() for word in WORD.findall(text))
            inside.update(INSIDE.findall(text))
        capitals = {word: times for word, times in inside.items() if word.istitle() and times >= OFTEN}
        names = {
            word for word, times in capitals.items() if times >= CAPITAL * (times + inside[word.lower()])
        }  # "Bear" is none where "bear" is usual
        return cls(frozenset(words), frozenset(names))

    def unknown(self, text: str) -> tuple[int, int]:
        """How many words a text has, and how many of them are not among these."""
        found = WORD.findall(text)
        return len(found), sum(word.lower() not in self.words for word in found)

    def kept(self, text: str) -> tuple[int, int]:
        """How often a text names somebody after its first two sentences, and how often one whom it had named before."""
        ends = [match.end() for match in END.finditer(text)]
        later = ends[OPENING - 1] if len(ends) >= OPENING else len(text)
        seen: set[str] = set()
        mentions = again = 0
        for match in WORD.finditer(text):
            name = match[0].replace("’", "'").partition("'")[0]
            if name in self.names:
                if match.start() >= later:
                    mentions, again = mentions + 1, again + (name in seen)
                seen.add(name)
        return mentions, again


def _grams(ids: Sequence[int], n: int) -> list[tuple[int, ...]]:
    """All n-grams in order; the one that ends at token i is the (i - n + 1)th."""
    plain = np.asarray(ids).tolist()
    return list(zip(*(plain[k:] for k in range(n)), strict=False))
