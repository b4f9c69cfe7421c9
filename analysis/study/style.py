"""How figures look, in the light and in the dark.

A figure is drawn by one function `draw(ax)` and shown in two schemes. Colours are asked for while drawing
(`colours(5)`, `muted()`), never named in a notebook, so that each scheme has its own. Sizes assume a panel 4.8 inches
wide: its letters are then about 10 pixels high on a phone, and a pair of panels fills a wide page.
"""

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.ticker import LogFormatter

from analysis.study.text import SUPERSCRIPTS

PANEL = (4.8, 3.5)
FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Arial, sans-serif"


@dataclass(frozen=True)
class Scheme:
    """The colours of one page background. `ordered` runs from the smallest to the largest value."""

    page: str
    ink: str
    muted: str
    grid: str
    ordered: tuple[str, ...]


# Ordered by lightness as well as hue. Each keeps a contrast of 3:1 or more with its page, and any two of the five
# stay apart under simulated protanopia, deuteranopia and tritanopia (tests/analysis/study/test_style.py).
SCHEMES = {
    "light": Scheme(
        "#fdfcfa", "#23262b", "#5d636c", "#dddbd5", ("#0c236a", "#5526a6", "#96326a", "#c43a1c", "#ba8114")
    ),
    "dark": Scheme("#17191e", "#dfe1e5", "#a3a9b3", "#363b44", ("#5068e0", "#956eba", "#d27bac", "#ffb0a1", "#ffd962")),
}
_current = SCHEMES["light"]
_counts: set[int] = set()  # of colours that were asked for


@contextlib.contextmanager
def scheme(name: str) -> Iterator[Scheme]:
    """Draw in the colours of `name`: light or dark."""
    global _current
    before, _current = _current, SCHEMES[name]
    try:
        with matplotlib.rc_context(_settings(_current)):
            yield _current
    finally:
        _current = before


def colours(count: int) -> list[str]:
    """`count` colours in order, for values in order."""
    _counts.add(count)
    return _ordered(_current, count)


def _ordered(colours: Scheme, count: int) -> list[str]:
    if count <= 1:
        return [colours.ordered[1]][:count]
    blend = LinearSegmentedColormap.from_list("ordered", [to_rgb(c) for c in colours.ordered])
    return [to_hex(blend(i / (count - 1))) for i in range(count)]


def ink() -> str:
    """The colour of text and of a single line."""
    return _current.ink


def muted() -> str:
    """For what should stand back: reference lines, notes."""
    return _current.muted


def page() -> str:
    """The colour of the page, for what is written on a coloured ground."""
    return _current.page


def whole(ax: Axes) -> None:
    """No ticks between two whole numbers of the horizontal axis."""
    ax.xaxis.get_major_locator().set_params(integer=True)


def end_labels(ax: Axes, labels: Sequence[tuple[float, str, str]]) -> None:
    """Write `(y, text, colour)` beside the right end of each line, pushed apart where they would collide.

    Call it last, when the limits of the axes stand. It takes the place of a legend. What is muted is not bold either.
    """
    ax.autoscale_view()
    low, high = ax.get_ylim()
    up = ax.transAxes.inverted().transform(ax.transData.transform([(ax.get_xlim()[1], y) for y, *_ in labels]))
    order = sorted(range(len(labels)), key=lambda i: up[i][1])
    width, height = (inches * 72 * 0.78 for inches in ax.figure.get_size_inches())  # of the axes, near enough
    gap = min(1.25 * matplotlib.rcParams["font.size"] / height, 1 / max(1, len(labels)))
    places = _spread([min(1.0, max(0.0, up[i][1])) for i in order], gap)
    for i, place in zip(order, places, strict=True):
        _, text, colour = labels[i]
        # A hair leads from the line's end to its label, which may have been pushed away from it.
        ax.annotate(
            "",
            (1, up[i][1]),
            (16 / width + 1, place),
            xycoords="axes fraction",
            textcoords="axes fraction",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.7, "shrinkA": 2, "shrinkB": 0, "alpha": 0.7},
        )
        ax.annotate(
            text,
            (1, place),
            (16, 0),
            xycoords="axes fraction",
            textcoords="offset points",
            color=colour,
            va="center",
            ha="left",
            fontweight="normal" if colour == muted() else "bold",
            annotation_clip=False,
        )
    ax.set_ylim(low, high)


def _spread(wanted: list[float], gap: float) -> list[float]:
    """Sorted positions at least `gap` apart, within 0 and 1, as near as can be to those wanted."""
    groups: list[list[float]] = []  # [first wanted centre summed, members]
    for value in wanted:
        groups.append([value, 1])
        while len(groups) > 1 and _top(groups[-2], gap) > _bottom(groups[-1], gap) - gap + 1e-12:
            centre, members = groups.pop()
            before, count = groups.pop()
            groups.append([(before * count + centre * members) / (count + members), count + members])
    places = [_bottom(group, gap) + k * gap for group in groups for k in range(int(group[1]))]
    for k in range(len(places)):  # from below, then from above: nothing may leave the axes
        places[k] = max(places[k], k * gap)
    for k in reversed(range(len(places))):
        places[k] = min(places[k], 1 - (len(places) - 1 - k) * gap)
    return places


def _bottom(group: list[float], gap: float) -> float:
    return group[0] - gap * (group[1] - 1) / 2


def _top(group: list[float], gap: float) -> float:
    return group[0] + gap * (group[1] - 1) / 2


def save(draw: Callable[[Axes], Any], folder: Path, name: str, size: tuple[float, float] = PANEL) -> None:
    """Draw one panel in every scheme, into `name`-light.svg and `name`-dark.svg, whose bytes depend on the drawing
    alone."""
    folder.mkdir(parents=True, exist_ok=True)
    _counts.clear()
    light = _drawn(draw, "light", size)
    dark = _recoloured(light, SCHEMES["light"], SCHEMES["dark"]) or _drawn(draw, "dark", size)
    for one, text in (("light", light), ("dark", dark)):
        (folder / f"{name}-{one}.svg").write_text(text, encoding="utf-8", newline="\n")


def _recoloured(text: str, before: Scheme, after: Scheme) -> str | None:
    """An SVG in the colours of another scheme, in half the time that it takes to draw it again. None where it has an
    image, whose colours are in its pixels, or where one colour would become two."""
    pairs = {*zip(astuple(before)[:-1], astuple(after)[:-1], strict=True)}
    pairs |= {pair for count in _counts for pair in zip(_ordered(before, count), _ordered(after, count), strict=True)}
    told = dict(pairs)
    if "<image" in text or len(told) < len(pairs):
        return None
    return re.sub("#[0-9a-f]{6}", lambda found: told.get(found[0], found[0]), text)


def _drawn(draw: Callable[[Axes], Any], name: str, size: tuple[float, float]) -> str:
    """The SVG in one scheme."""
    with scheme(name):
        figure, ax = plt.subplots(figsize=size, layout="constrained")
        try:
            draw(ax)
            for axis in (ax.xaxis, ax.yaxis):
                if isinstance(axis.get_major_formatter(), LogFormatter):
                    axis.set_major_formatter(_Plain())
                if isinstance(axis.get_minor_formatter(), LogFormatter):
                    axis.set_minor_formatter(_Plain())
            sink = io.StringIO()
            # `savefig` draws the whole figure once more beforehand, to lay it out.
            FigureCanvasSVG(figure).print_svg(sink, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
        finally:
            plt.close(figure)
    # Text stays text, so that it can be searched and read aloud. It is set out with the measures of DejaVu, which
    # comes with matplotlib and is wide: the reader's own sans takes less room, never more.
    return re.sub(r"'DejaVu Sans'(, [^;\"]*)?", lambda _: FONTS, sink.getvalue())


class _Plain(LogFormatter):
    """Writes 20, 0.5 and 10⁶ on logarithmic axes, where the default writes powers of ten in TeX."""

    def _num_to_string(self, x: float, vmin: float, vmax: float) -> str:
        if x < 1e6:
            return f"{x:,g}"
        mantissa, exponent = f"{x:.0e}".split("e")
        return f"{'' if mantissa == '1' else f'{mantissa} × '}10{str(int(exponent)).translate(SUPERSCRIPTS)}"


def _settings(colours: Scheme) -> dict[str, Any]:
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "magic-number",
        "svg.id": "figure",
        "font.family": ["DejaVu Sans"],
        "font.size": 10.5,
        "text.color": colours.ink,
        "text.parse_math": False,
        "figure.facecolor": "none",
        "figure.edgecolor": "none",
        "figure.constrained_layout.w_pad": 0.03,
        "figure.constrained_layout.h_pad": 0.03,
        "axes.facecolor": "none",
        "axes.edgecolor": colours.muted,
        "axes.labelcolor": colours.ink,
        "axes.labelsize": 10.5,
        "axes.linewidth": 0.8,
        "axes.titlesize": 11.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 9,
        "axes.titlecolor": colours.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.xmargin": 0.0,
        "axes.ymargin": 0.04,
        "grid.color": colours.grid,
        "grid.linewidth": 0.7,
        "xtick.color": colours.muted,
        "ytick.color": colours.muted,
        "xtick.labelcolor": colours.muted,
        "ytick.labelcolor": colours.muted,
        "xtick.labelsize": 10.5,
        "ytick.labelsize": 10.5,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "xtick.major.width": 0.8,
        "ytick.minor.size": 0,
        "lines.linewidth": 1.8,
        "lines.solid_capstyle": "round",
        "legend.frameon": False,
    }
