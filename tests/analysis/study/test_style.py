import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from analysis.study import style

PAGES = {"light": "#fdfcfa", "dark": "#17191e"}
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour):
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    light = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (light[1] + 0.05) / (light[0] + 0.05)


def oklab(rgb):
    lms = np.cbrt(np.array([[0.41222, 0.53633, 0.05145], [0.2119, 0.6807, 0.10740], [0.0883, 0.28172, 0.62998]]) @ rgb)
    return np.array([[0.21045, 0.79362, -0.00407], [1.978, -2.42859, 0.45059], [0.0259, 0.78277, -0.80868]]) @ lms


@pytest.mark.parametrize("name", PAGES)
def test_colours_can_be_seen_on_their_page(name):
    scheme = style.SCHEMES[name]
    assert min(contrast(c, PAGES[name]) for c in scheme.ordered) >= 3
    assert min(contrast(c, PAGES[name]) for c in (scheme.ink, scheme.muted)) >= 4.5


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_any_two_colours_stay_apart(name, deficiency):
    matrix = np.array(DEFICIENCIES[deficiency])
    seen = [oklab(np.clip(matrix @ linear(c), 0, 1)) for c in style.SCHEMES[name].ordered]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.06


@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_there_are_as_many_colours_as_asked_for(count):
    assert len(set(style.colours(count))) == count


def draw(ax):
    x = np.linspace(0, 100, 50)
    for k, colour in enumerate(style.colours(5)):
        ax.plot(x, np.exp(-x / 20) + 0.01 * k, color=colour)
    ax.set(title="Loss", xlabel="step")
    style.end_labels(ax, [(0.01 * k, f"r = {k}", c) for k, c in enumerate(style.colours(5))])


def test_the_same_drawing_gives_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        style.save(draw, tmp_path, name)
    for scheme in style.SCHEMES:
        assert (tmp_path / f"one-{scheme}.svg").read_bytes() == (tmp_path / f"two-{scheme}.svg").read_bytes()


def test_schemes_differ_in_colours_alone(tmp_path):
    """Axes stand in the same places, also those of a bar of colours."""

    def heat(ax):
        ax.figure.colorbar(ax.imshow([[1, 2], [3, 4]]), ax=ax, label="colours")
        ax.set(title="Heat", xlabel="step")

    for drawn in (draw, heat):
        style.save(drawn, tmp_path, "x")
        texts = [(tmp_path / f"x-{scheme}.svg").read_text() for scheme in style.SCHEMES]
        assert texts[0] != texts[1]
        ids = r"#?[a-z][0-9a-f]{10}(?=[\")])"  # they are hashes, of colours too
        bare = [re.sub(rf"#[0-9a-f]{{6}}|{ids}|base64[^\"]*", "", text) for text in texts]
        assert bare[0] == bare[1]


def test_another_scheme_has_the_colours_that_are_drawn_in_it(tmp_path):
    style.save(draw, tmp_path, "x")
    ids = r"#?[a-z][0-9a-f]{10}(?=[\")])"
    told, drawn = (tmp_path / "x-dark.svg").read_text(), style._drawn(draw, "dark", style.PANEL)
    assert re.sub(ids, "", told) == re.sub(ids, "", drawn)


def test_two_colours_that_are_one_in_another_scheme_are_drawn(tmp_path, monkeypatch):
    light = replace(style.SCHEMES["light"], muted=style.SCHEMES["light"].ink)
    monkeypatch.setitem(style.SCHEMES, "light", light)
    style.save(draw, tmp_path, "x")
    dark = style.SCHEMES["dark"]
    assert all(colour in (tmp_path / "x-dark.svg").read_text() for colour in (dark.ink, dark.muted))


def test_text_stays_text_in_a_system_font(tmp_path):
    style.save(draw, tmp_path, "x")
    svg = (tmp_path / "x-light.svg").read_text()
    assert ">Loss</text>" in svg
    assert "DejaVu" not in svg
    assert "system-ui" in svg
    assert not re.search(r"<dc:date>|http://(?!www\.w3\.org|purl\.org|creativecommons\.org)", svg)


def test_logarithmic_axes_have_plain_numbers(tmp_path):
    def logs(ax):
        ax.plot([1, 10, 100], [1, 2, 4])
        ax.set(xscale="log", yscale="log")

    style.save(logs, tmp_path, "x")
    svg = (tmp_path / "x-light.svg").read_text()
    assert ">100</text>" in svg
    assert "mathdefault" not in svg


@pytest.mark.parametrize("wanted", [[0.1, 0.1, 0.1], [0, 0, 0.02], [0.97, 0.99, 1.0], [0.2, 0.5, 0.52]])
def test_labels_are_pushed_apart_and_stay_inside(wanted):
    places = style._spread(wanted, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(places))
    assert places[0] >= -1e-9
    assert places[-1] <= 1 + 1e-9


def test_labels_that_have_room_stay_where_they_are():
    assert style._spread([0.1, 0.5, 0.9], 0.1) == pytest.approx([0.1, 0.5, 0.9])
