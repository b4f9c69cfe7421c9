from pathlib import Path

from analysis.study import style
from analysis.study.architecture import Part, Tower

PARTS = [
    Part("embedding", 3000),
    Part("attention", 500, repeated=True),
    Part("MLP", 700, repeated=True),
    Part("out", 0),
]


def test_a_tower_shows_its_parts_and_says_their_numbers(tmp_path: Path):
    tower = Tower("A model", parts=PARTS, times=4)
    assert tower.values()["series"] == [
        {"name": "parameters", "x": ["embedding", "attention", "MLP", "out"], "y": [3000, 500, 700, 0]}
    ]
    texts = {}
    style.save(tower, tmp_path, "tower")
    for scheme in style.SCHEMES:
        texts[scheme] = (tmp_path / f"tower-{scheme}.svg").read_text()
        for shown in ("embedding", "3,000", "700", "4 × 1,200", "–", "A model"):
            assert f">{shown}<" in texts[scheme]
    assert texts["light"] != texts["dark"]
