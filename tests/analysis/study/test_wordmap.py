from itertools import combinations
from pathlib import Path

import numpy as np

from analysis.study import style
from analysis.study.wordmap import LETTER, LINE, WordMap, apart

GROUPS = {"animals": {"cat": (0.1, 0.1), "dog": (0.11, 0.1), "frog": (0.1, 0.11)}, "names": {"Tim": (0.9, 0.8)}}


def test_words_that_would_hide_each_other_are_moved_up_or_down():
    words = [word for group in GROUPS.values() for word in group]
    places = np.array([place for group in GROUPS.values() for place in group.values()])
    found = apart(words, places)
    assert (found[:, 0] == places[:, 0]).all()
    assert (found[3] == places[3]).all(), "one that hides none stays"
    for i, j in combinations(range(4), 2):
        beside = abs(found[i, 0] - found[j, 0]) >= LETTER * (len(words[i]) + len(words[j])) / 2
        assert beside or abs(found[i, 1] - found[j, 1]) >= LINE - 1e-6


def test_a_map_names_words_and_groups_and_says_where_they_lie(tmp_path: Path):
    panel = WordMap("A map", "first", "second", groups=GROUPS)
    assert panel.values()["series"][0] == {
        "name": "animals: cat, dog, frog", "x": [0.1, 0.11, 0.1], "y": [0.1, 0.1, 0.11],
    }  # fmt: skip
    style.save(panel, tmp_path, "map")
    text = (tmp_path / "map-dark.svg").read_text()
    assert all(f">{shown}<" in text for shown in ("cat", "frog", "Tim", "animals", "names", "A map", "second"))
