"""Standard figures, each once. A panel draws itself in either scheme, and says which numbers it shows.

    results.figure("loss", [Curves("Validation", "step", "loss (nats)", lines={"r = 1": losses, …})], alt=["…"])

A panel begins with its title and the labels of its axes. `Drawing` takes a function for what none of them can show.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import LogLocator, NullLocator

from analysis.study import style
from analysis.study.stats import Estimate, estimate

Shape = Callable[[Axes], Any]


@dataclass(frozen=True)
class Series:
    """The numbers of one plotted series: y over x, and the ends of the intervals of y where it has some."""

    name: str
    x: Sequence[Any]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As JSON; what is not finite is null."""
        entry = {"name": self.name, "x": [_plain(x) for x in self.x], "y": [_plain(y) for y in self.y]}
        if self.low is not None and self.high is not None:
            entry |= {"low": [_plain(v) for v in self.low], "high": [_plain(v) for v in self.high]}
        return entry


@dataclass(frozen=True)
class Panel(ABC):
    """One panel. `shape` sets what else the axes need, before any label is placed."""

    title: str
    x: str = ""
    y: str = ""
    _: KW_ONLY
    shape: Shape | None = None

    @abstractmethod
    def series(self) -> list[Series]:
        """What is shown."""

    @abstractmethod
    def draw(self, ax: Axes) -> None:
        """Draw it in the colours of the current scheme."""

    def values(self) -> dict[str, Any]:
        """What is shown, as JSON, for `results.json`."""
        shown = [series.as_dict() for series in self.series()]
        return {"title": self.title, "x": self.x, "y": self.y, "series": shown}

    def __call__(self, ax: Axes) -> None:
        self.draw(ax)

    def _label(self, ax: Axes, **more: Any) -> None:
        ax.set(title=self.title, xlabel=self.x, ylabel=self.y, **more)
        if self.shape:
            self.shape(ax)


@dataclass(frozen=True)
class Drawing(Panel):
    """A function that draws, and the numbers that it shows. It sets title and labels itself."""

    _: KW_ONLY
    function: Shape
    shown: Sequence[Series]

    def series(self) -> list[Series]:
        return list(self.shown)

    def draw(self, ax: Axes) -> None:
        self.function(ax)


@dataclass(frozen=True)
class Curves(Panel):
    """A line an arm, the mean of its losses [x, seed] over seeds, in the band of its interval, its name at its end.

    `log` makes both axes logarithmic. `levels` are numbers to compare with, such as the losses of baselines.
    """

    _: KW_ONLY
    lines: Mapping[str, pd.DataFrame]
    log: bool = False
    levels: Mapping[str, float] = field(default_factory=dict)

    def series(self) -> list[Series]:
        found = []
        for name, losses in self.lines.items():
            mean, half = _band(losses)
            found.append(Series(name, list(losses.index), list(mean), list(mean - half), list(mean + half)))
        first, last = (next(iter(self.lines.values())).index[end] for end in (0, -1))
        return found + [Series(name, [first, last], [y, y]) for name, y in self._levels().items()]

    def _levels(self) -> dict[str, float]:
        return _passed(self.levels, max(float(losses.mean(axis=1).max()) for losses in self.lines.values()))

    def draw(self, ax: Axes) -> None:
        ends = []
        for colour, (name, losses) in zip(style.colours(len(self.lines)), self.lines.items(), strict=True):
            mean, half = _band(losses)
            ax.plot(losses.index, mean, color=colour)
            ax.fill_between(losses.index, mean - half, mean + half, color=colour, alpha=0.18, linewidth=0)
            ends.append((float(mean.iloc[-1]), name, colour))
        ends += _draw_levels(ax, self._levels())
        self._label(ax)
        if self.log:
            ax.set(xscale="log", yscale="log")
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # the labels of other steps would overlap
            ax.xaxis.set_minor_locator(NullLocator())
            ax.xaxis.set_major_formatter("{x:,g}")
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter("{x:g}")
        style.end_labels(ax, ends)


@dataclass(frozen=True)
class Smoothed(Panel):
    """One run an arm the way TensorBoard shows it: raw values faint, over them an exponential moving average."""

    _: KW_ONLY
    lines: Mapping[str, pd.Series]
    weight: float = 0.6

    def series(self) -> list[Series]:
        found = []
        for name, raw in self.lines.items():
            found.append(Series(f"{name}, raw", list(raw.index), list(raw)))
            found.append(Series(f"{name}, smoothed", list(raw.index), list(smoothed(raw, self.weight))))
        return found

    def draw(self, ax: Axes) -> None:
        ends = []
        for colour, (name, raw) in zip(style.colours(len(self.lines)), self.lines.items(), strict=True):
            ax.plot(raw.index, raw, color=colour, alpha=0.25, linewidth=0.9)
            line = smoothed(raw, self.weight)
            ax.plot(raw.index, line, color=colour, linewidth=1.5)
            ends.append((float(line[-1]), name, colour))
        self._label(ax)
        style.end_labels(ax, ends)


@dataclass(frozen=True)
class Traces(Panel):
    """Every run by itself: a thin line a seed, a colour an arm, its name at the centre of their ends.

    `log` makes the y axis logarithmic; `start` is a dotted line where all begin; `levels` are numbers to compare with.
    What is not finite is left out.
    """

    _: KW_ONLY
    lines: Mapping[str, Mapping[Any, pd.Series]]
    log: bool = False
    start: float | None = None
    centre: Callable[[Sequence[float]], float] = np.mean
    width: float = 1.1
    alpha: float = 0.8
    levels: Mapping[str, float] = field(default_factory=dict)

    def series(self) -> list[Series]:
        found = [
            Series(f"{name}, {seed}", list(path.index), list(path))
            for name, by_seed in self.lines.items()
            for seed, path in by_seed.items()
        ]
        first, last = (found[0].x[end] for end in (0, -1))
        return found + [Series(name, [first, last], [y, y]) for name, y in self.levels.items()]

    def draw(self, ax: Axes) -> None:
        labels = []
        for colour, (name, by_seed) in zip(style.colours(len(self.lines)), self.lines.items(), strict=True):
            kept = [path[np.isfinite(path)] for path in by_seed.values()]
            for path in kept:
                ax.plot(path.index, path, color=colour, linewidth=self.width, alpha=self.alpha)
            labels.append((float(self.centre([path.iloc[-1] for path in kept])), name, colour))
        if self.start is not None:
            ax.axhline(self.start, color=style.muted(), linewidth=0.8, linestyle=":")
        labels += _draw_levels(ax, self.levels)
        self._label(ax, **({"yscale": "log"} if self.log else {}))
        style.end_labels(ax, labels)


@dataclass(frozen=True)
class Dots(Panel):
    """An estimate an arm with its interval, against a number in colours of their order, or by name in one colour.

    `seeds` shows the seeds too: "joined" by a faint line each, or "beside" the estimate; `named` says which they are,
    where not 0, 1, …. `zero` draws the line of none.
    """

    _: KW_ONLY
    dots: Mapping[Any, Estimate]
    seeds: str = ""
    named: Sequence[int] | None = None
    zero: bool = False

    @property
    def numeric(self) -> bool:
        """Whether the arms are numbers."""
        return not any(isinstance(arm, str) for arm in self.dots)

    def series(self) -> list[Series]:
        arms = list(self.dots)
        found = [estimates("mean", arms, list(self.dots.values()))]
        if self.seeds:
            rows = list(zip(*(one.values for one in self.dots.values()), strict=True))
            named = range(len(rows)) if self.named is None else self.named
            found += [Series(f"seed {k}", arms, list(values)) for k, values in zip(named, rows, strict=True)]
        return found

    def draw(self, ax: Axes) -> None:
        arms, dots = list(self.dots), list(self.dots.values())
        places = arms if self.numeric else list(range(len(arms)))
        colours = style.colours(len(arms)) if self.numeric else [style.ink()] * len(arms)
        if self.zero:
            ax.axhline(0, color=style.muted(), linewidth=0.8)
        if self.seeds == "joined":
            for values in zip(*(one.values for one in dots), strict=True):
                ax.plot(places, values, color=style.muted(), alpha=0.35, linewidth=0.8)
        for colour, x, one in zip(colours, places, dots, strict=True):
            if self.seeds == "beside":
                beside = np.full(one.n, x) + 0.14
                ax.plot(beside, one.values, linestyle="none", marker="o", markersize=4, color=style.muted())
            ax.errorbar(x, one.mean, yerr=one.half_width or 0.0, color=colour, marker="o", capsize=4)
        self._label(ax, xticks=places)
        if self.numeric:
            ax.margins(x=0.08)
        else:
            ax.set_xticklabels(arms)
            ax.set_xlim(-0.5, len(arms) - 0.5)


@dataclass(frozen=True)
class Groups(Panel):
    """Estimates of several kinds for each arm, side by side. `joined` puts a line through those of a kind; `levels`
    are numbers to compare with."""

    _: KW_ONLY
    groups: Mapping[str, Mapping[str, Estimate]]  # kind → arm → estimate
    joined: bool = False
    zero: bool = False
    levels: Mapping[str, float] = field(default_factory=dict)

    def series(self) -> list[Series]:
        found = [estimates(kind, list(dots), list(dots.values())) for kind, dots in self.groups.items()]
        arms = list(next(iter(self.groups.values())))
        return found + [Series(name, [arms[0], arms[-1]], [y, y]) for name, y in self._levels().items()]

    def _levels(self) -> dict[str, float]:
        return _passed(self.levels, max(one.mean for dots in self.groups.values() for one in dots.values()))

    def draw(self, ax: Axes) -> None:
        arms = list(next(iter(self.groups.values())))
        many, width = len(self.groups), 0.16 if self.joined else 0.24
        colours = [style.ink(), style.muted()] if many == 2 and not self.joined else style.colours(many)
        if self.zero:
            ax.axhline(0, color=style.muted(), linewidth=0.8)
        kinds = [
            (kind, dots, colour, width * (k / (many - 1) - 0.5) if many > 1 else 0.0)
            for k, (colour, (kind, dots)) in enumerate(zip(colours, self.groups.items(), strict=True))
        ]
        if self.joined:
            for _, dots, colour, shift in kinds:
                means = [one.mean for one in dots.values()]
                half = [one.half_width or 0.0 for one in dots.values()]
                ax.errorbar(np.arange(len(arms)) + shift, means, yerr=half, color=colour, marker="o", capsize=4)
        else:
            for x, arm in enumerate(arms):
                for _, dots, colour, shift in kinds:
                    one = dots[arm]
                    ax.errorbar(x + shift, one.mean, yerr=one.half_width or 0.0, color=colour, marker="o", capsize=4)
        for kind, dots, colour, shift in kinds:
            self._name(ax, kind, (shift, dots[arms[0]].mean), colour, left=shift < 0)
        labels = _draw_levels(ax, self._levels())
        self._label(ax, xticks=range(len(arms)))
        ax.set_xticklabels(arms)
        before = max(0.75, 0.19 * len(arms))  # room for names, which have one width however many arms there are
        ax.set_xlim(*((-1.0, len(arms) - 0.7) if self.joined else (-before, len(arms) - 0.25)))
        if labels:
            style.end_labels(ax, labels)

    def _name(self, ax: Axes, kind: str, place: tuple[float, float], colour: str, left: bool) -> None:
        """Write the name of a kind beside its first estimate."""
        if self.joined:
            where = {"xytext": (-8, 0), "ha": "right", "va": "center"}
        else:
            where = {"xytext": (-6 if left else 6, 4), "ha": "right" if left else "left", "fontsize": 8}
        ax.annotate(kind, place, textcoords="offset points", color=colour, **where)


@dataclass(frozen=True)
class Sweep(Panel):
    """Estimates against the values of a setting, joined, a line an arm, its name at its end. The axis of the setting is
    logarithmic, unless `log` is off; `levels` are numbers to compare with."""

    _: KW_ONLY
    at: Sequence[float]
    lines: Mapping[str, Sequence[Estimate]]
    log: bool = True
    levels: Mapping[str, float] = field(default_factory=dict)

    def series(self) -> list[Series]:
        found = [estimates(name, self.at, points) for name, points in self.lines.items()]
        return found + [Series(name, [self.at[0], self.at[-1]], [y, y]) for name, y in self._levels().items()]

    def _levels(self) -> dict[str, float]:
        return _passed(self.levels, max(one.mean for points in self.lines.values() for one in points))

    def draw(self, ax: Axes) -> None:
        labels = []
        for colour, (name, points) in zip(style.colours(len(self.lines)), self.lines.items(), strict=True):
            half = [p.half_width or 0.0 for p in points]
            means = [p.mean for p in points]
            ax.errorbar(self.at, means, yerr=half, color=colour, marker="o", markersize=4, capsize=3)
            labels.append((points[-1].mean, name, colour))
        labels += _draw_levels(ax, self._levels())
        self._label(ax, **({"xscale": "log"} if self.log else {}))
        ax.set_xticks(self.at, [f"{value:,g}" for value in self.at])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.margins(x=0.04)
        style.end_labels(ax, labels)


@dataclass(frozen=True)
class Mark:
    """A number beside the estimate of some rows of `Rows`, with the sign that it is drawn as: | or ◇."""

    name: str
    sign: str
    at: Mapping[str, float]


@dataclass(frozen=True)
class Rows(Panel):
    """An estimate a row with its interval, the first on top. Shares are shown in percent.

    `spread` shows the lowest and the highest value instead of the interval, where that would promise too much. `bars`
    are dotted lines with their numbers; `marks` stand beside the estimates, with a line that says what is what.
    """

    _: KW_ONLY
    rows: Mapping[str, Estimate]
    bars: Sequence[float] = ()
    marks: Sequence[Mark] = ()
    name: str = "measured"
    spread: bool = False

    def _ends(self, one: Estimate) -> tuple[float, float]:
        low, high = (min(one.values), max(one.values)) if self.spread else one.interval or (one.mean, one.mean)
        return 100 * low, 100 * high

    def series(self) -> list[Series]:
        found = [estimates(self.name, list(self.rows), list(self.rows.values()), scale=100)]
        if self.spread:
            ends = [self._ends(one) for one in self.rows.values()]
            found = [replace(found[0], low=[low for low, _ in ends], high=[high for _, high in ends])]
        return found + [Series(m.name, list(m.at), [100 * value for value in m.at.values()]) for m in self.marks]

    def draw(self, ax: Axes) -> None:
        labels = list(self.rows)[::-1]
        colours = style.colours(max(2, len(self.marks)))
        ax.axvline(0, color=style.muted(), linewidth=0.8)
        for bar in self.bars:
            ax.axvline(bar, color=style.muted(), linewidth=0.8, linestyle=":")
            _above(ax, f"{bar:g}%", (bar, 1), (0, 2), ("data", "axes fraction"), style.muted(), ha="center")
        for y, label in enumerate(labels):
            one = self.rows[label]
            low, high = self._ends(one)
            arms = [[100 * one.mean - low], [high - 100 * one.mean]]
            ax.errorbar(100 * one.mean, y, xerr=arms, color=style.ink(), marker="o", capsize=4)
            for colour, mark in zip(colours, self.marks, strict=False):
                if label in mark.at:
                    _draw_mark(ax, mark.sign, 100 * mark.at[label], y, colour)
        if self.marks:
            legend = [(c, f"{m.sign} {m.name}") for c, m in zip(colours, self.marks, strict=False)][::-1]
            for k, (colour, text) in enumerate([*legend, (style.ink(), f"● {self.name}")]):
                _above(ax, text, (0.02 + 0.33 * k, 1.0), (0, 3), "axes fraction", colour)
        ax.set_yticks(range(len(labels)), labels)
        ax.set_ylim(*((-0.6, len(labels) - 0.3) if self.marks else (-0.5, len(labels) - 0.5)))
        ax.set_xlabel(self.x)
        ax.margins(x=0.06)
        ax.set_title(self.title, pad=20 if self.marks else 18)
        if self.shape:
            self.shape(ax)


@dataclass(frozen=True)
class Heat(Panel):
    """A number a cell [row, column], dark to light in the order of their size, written into it, with a note below it if
    there are `notes`. `ends` are the numbers that are darkest and lightest; those of the cells if there are none."""

    _: KW_ONLY
    cells: pd.DataFrame
    form: str = ".2f"
    notes: pd.DataFrame | None = None
    ends: tuple[float, float] | None = None

    def series(self) -> list[Series]:
        return [Series(str(row), list(self.cells.columns), list(self.cells.loc[row])) for row in self.cells.index]

    def draw(self, ax: Axes) -> None:
        cells = self.cells.to_numpy(dtype=float)
        colours = LinearSegmentedColormap.from_list("heat", style.colours(5))
        low, high = self.ends or (None, None)
        ax.imshow(cells, cmap=colours, aspect="auto", interpolation="nearest", vmin=low, vmax=high)
        for (row, column), value in np.ndenumerate(cells):
            if np.isfinite(value):
                shown = f"{value:{self.form}}".replace("-", "−")
                note = "" if self.notes is None else self.notes.iat[row, column]
                middle = row - 0.14 if note else row
                ax.annotate(shown, (column, middle), ha="center", va="center", color=style.page(), fontsize=9)
                ax.annotate(note, (column, row + 0.22), ha="center", va="center", color=style.page(), fontsize=7.5)
        ax.grid(False)
        ax.set_xticks(range(cells.shape[1]), [_name(label) for label in self.cells.columns])
        ax.set_yticks(range(cells.shape[0]), [_name(label) for label in self.cells.index])
        self._label(ax)


@dataclass(frozen=True)
class Bars(Panel):
    """A bar an arm from zero, with the interval of its estimate."""

    _: KW_ONLY
    bars: Mapping[str, Estimate] = field(default_factory=dict)

    def series(self) -> list[Series]:
        return [estimates("mean", list(self.bars), list(self.bars.values()))]

    def draw(self, ax: Axes) -> None:
        places = range(len(self.bars))
        for colour, x, one in zip(style.colours(len(self.bars)), places, self.bars.values(), strict=True):
            ax.bar(x, one.mean, width=0.6, color=colour)
            if one.half_width is not None:
                ax.errorbar(x, one.mean, yerr=one.half_width, color=style.ink(), capsize=4)
        self._label(ax, xticks=places)
        ax.set_xticklabels(self.bars)
        ax.set_xlim(-0.6, len(self.bars) - 0.4)


@dataclass(frozen=True)
class Span:
    """A row of `Spans`: the value that was found best, an interval for it, and the range that is level with it."""

    best: float | None
    interval: tuple[float, float] | None
    level: tuple[float, float]


@dataclass(frozen=True)
class Spans(Panel):
    """A row each, the first on top, over a logarithmic axis: a broad bar for the values that cannot be told from the
    best, a line with ends for the interval of the best, and a dot for the best that was tried.

    `at` are the values that were tried, and `mark` one of them, with a dotted line.
    """

    _: KW_ONLY
    rows: Mapping[str, Span]
    at: Sequence[float]
    mark: float | None = None

    def series(self) -> list[Series]:
        names, spans = list(self.rows), list(self.rows.values())
        lows, highs = zip(*(one.interval or (math.nan, math.nan) for one in spans), strict=True)
        level = [one.level for one in spans]
        best = [math.nan if one.best is None else one.best for one in spans]
        return [
            Series("best that was tried, interval of the best", names, best, lows, highs),
            Series("level with the best", names, best, [low for low, _ in level], [high for _, high in level]),
        ]

    def draw(self, ax: Axes) -> None:
        ax.set_xscale("log")
        names = list(self.rows)[::-1]
        if self.mark is not None:
            ax.axvline(self.mark, color=style.muted(), linewidth=0.9, linestyle=":")
        for y, name in enumerate(names):
            one = self.rows[name]
            low, high = (end * spread for end, spread in zip(one.level, (0.97, 1.03), strict=True))
            ax.plot([low, high], [y, y], color=style.colours(5)[3], alpha=0.35, linewidth=11, solid_capstyle="butt")
            if one.interval:
                ax.plot(one.interval, [y, y], color=style.ink(), marker="|", markersize=10, linewidth=1.6)
            if one.best is not None:
                ax.plot(one.best, y, color=style.ink(), marker="o", markersize=6, linestyle="none")
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(-0.6, len(names) - 0.4)
        ax.set_xlim(min(self.at) / 1.25, max(self.at) * 1.25)
        ax.set_xticks(self.at, [_name(float(f"{value:.2g}")) for value in self.at])
        ax.minorticks_off()
        self._label(ax)


def smoothed(values: Iterable[float], weight: float) -> np.ndarray:
    """TensorBoard's moving average, corrected for its start from nothing."""
    return pd.Series(values).ewm(alpha=1 - weight).mean().to_numpy()


def _band(losses: pd.DataFrame) -> tuple[pd.Series, np.ndarray]:
    """Mean and half-width of the interval of [x, seed], over seeds."""
    half = np.array([estimate(row).half_width or 0.0 for row in losses.to_numpy()])
    return losses.mean(axis=1), half


def _passed(levels: Mapping[str, float], top: float) -> dict[str, float]:
    """The levels that are not above everything that is shown: those would press it together, and tell nothing."""
    return {name: y for name, y in levels.items() if y <= top}


def _draw_levels(ax: Axes, levels: Mapping[str, float]) -> list[tuple[float, str, str]]:
    """A dashed line each; returns their labels for the right end."""
    for y in levels.values():
        ax.axhline(y, color=style.muted(), linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    return [(y, name, style.muted()) for name, y in levels.items()]


def estimates(name: str, x: Sequence[Any], found: Sequence[Estimate], scale: float = 1.0) -> Series:
    """A series of means, with the ends of their intervals where all have one."""
    means = [scale * one.mean for one in found]
    if any(one.interval is None for one in found):
        return Series(name, x, means)
    ends = [one.interval or (math.nan, math.nan) for one in found]
    return Series(name, x, means, [scale * low for low, _ in ends], [scale * high for _, high in ends])


def _draw_mark(ax: Axes, sign: str, x: float, y: float, colour: str) -> None:
    if sign == "|":
        ax.plot(x, y + 0.27, marker="|", markersize=11, markeredgewidth=2, color=colour)
    else:
        ax.plot(x, y, marker="D", markersize=7, color=colour, markerfacecolor="none", linestyle="none")


def _above(ax: Axes, text: str, at: Any, shift: tuple[int, int], coordinates: Any, colour: str, **more: Any) -> None:
    """A small note above the axes."""
    ax.annotate(
        text, at, shift, xycoords=coordinates, textcoords="offset points", color=colour, fontsize=9, **more
    )  # fmt: skip


def _name(label: Any) -> str:
    return label if isinstance(label, str) else f"{label:g}"


def _plain(value: Any) -> Any:
    """A number or a text as JSON has it."""
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
