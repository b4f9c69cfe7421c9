"""Words where they lie in a plane, a colour a group, moved up or down where they would hide each other."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

import numpy as np
from matplotlib.axes import Axes

from analysis.study import style
from analysis.study.figures import Panel, Series

LETTER, LINE = 0.0175, 0.048  # the width of a letter and the height of a line, as shares of the axes
ROUNDS = 300


@dataclass(frozen=True)
class WordMap(Panel):
    """Group → word → place."""

    _: KW_ONLY
    groups: Mapping[str, Mapping[str, tuple[float, float]]]

    def series(self) -> list[Series]:
        return [
            Series(f"{group}: {', '.join(words)}", [x for x, _ in words.values()], [y for _, y in words.values()])
            for group, words in self.groups.items()
        ]

    def draw(self, ax: Axes) -> None:
        places = {word: place for words in self.groups.values() for word, place in words.items()}
        at = np.array(list(places.values()), dtype=float)
        low, high = at.min(axis=0), at.max(axis=0)
        room = 0.09 * (high - low)
        low, high = low - room, high + room
        shares = dict(zip(places, apart(list(places), (at - low) / (high - low)), strict=True))
        self._label(ax, xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        ax.set_title(self.title, pad=22)
        begin = 0.0
        for colour, (group, words) in zip(style.colours(len(self.groups)), self.groups.items(), strict=True):
            for word in words:
                place = low + shares[word] * (high - low)
                ax.annotate(word, place, color=colour, fontsize=8, ha="center", va="center")
            ax.annotate(
                group, (begin, 1), (0, 5), xycoords="axes fraction", textcoords="offset points", color=colour,
                fontsize=9, fontweight="bold", va="bottom",
            )  # fmt: skip
            begin += 0.021 * (len(group) + 1.2)


def apart(words: list[str], place_W2: np.ndarray) -> np.ndarray:
    """Places of words, as shares of the axes, moved up or down until none hides another."""
    found = place_W2.copy()
    half = np.array([LETTER * len(word) / 2 for word in words])
    for _ in range(ROUNDS):
        moved = False
        for i in range(len(words)):
            for j in range(i):
                if abs(found[i, 0] - found[j, 0]) >= half[i] + half[j]:
                    continue
                gap = found[i, 1] - found[j, 1]
                if abs(gap) < LINE - 1e-9:
                    push = (LINE - abs(gap)) / 2 * (1 if gap >= 0 else -1)
                    found[i, 1] += push
                    found[j, 1] -= push
                    moved = True
        if not moved:
            break
    return found
