"""A power law: estimates over a setting on logarithmic axes, with the line of best fit and its exponent."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator, StrMethodFormatter

from analysis.study import style, wording
from analysis.study.figures import Panel, Series, estimates
from analysis.study.stats import Estimate, estimate, slope


def exponents(at: Sequence[float], values: Sequence[Sequence[float]]) -> Estimate:
    """The power of `at` by which values [arm, seed] fall: each seed's least-squares slope on logarithmic axes, with its
    sign turned."""
    return estimate([-slope(np.log(at), np.log(one)) for one in np.asarray(values, dtype=float).T])


@dataclass(frozen=True)
class Law(Panel):
    """Estimates with their intervals against a setting, a colour an arm; a line of best fit through the means, and the
    exponent by which it falls."""

    _: KW_ONLY
    at: Sequence[float]
    lines: Mapping[str, Sequence[Estimate]]
    falls: Mapping[str, Estimate]

    def series(self) -> list[Series]:
        found = []
        for name, points in self.lines.items():
            found.append(estimates(name, self.at, points))
            found.append(Series(f"{name}, fitted: {self._told(name)}", self.at, list(self._fitted(points))))
        return found

    def _told(self, name: str) -> str:
        return f"exponent {wording.cell(self.falls[name])}"

    def _fitted(self, points: Sequence[Estimate]) -> np.ndarray:
        x, y = np.log(self.at), np.log([one.mean for one in points])
        return np.exp(np.polyval(np.polyfit(x, y, 1), x))

    def draw(self, ax: Axes) -> None:
        labels = []
        for colour, (name, points) in zip(style.colours(len(self.lines)), self.lines.items(), strict=True):
            means, half = [one.mean for one in points], [one.half_width or 0.0 for one in points]
            fitted = self._fitted(points)
            ax.errorbar(self.at, means, yerr=half, color=colour, marker="o", markersize=5, linestyle="none", capsize=4)
            ax.plot(self.at, fitted, color=colour, linewidth=1.2)
            middle = math.sqrt(self.at[0] * self.at[-1])
            height = math.exp(np.interp(math.log(middle), np.log(self.at), np.log(fitted)))
            ax.annotate(
                self._told(name), (middle, height), (6, 7), textcoords="offset points", color=colour, fontsize=9
            )
            labels.append((float(fitted[-1]), name, colour))
        ax.set(xscale="log", yscale="log")
        self._label(ax)
        ax.set_xticks(self.at, [f"{value:g}" for value in self.at])
        low, high = ax.get_ylim()
        ticks = [tick for tick in np.arange(0.25, 20, 0.25 if high - low < 2.5 else 0.5) if low <= tick <= high]
        ax.set_yticks(ticks)
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_minor_locator(NullLocator())
        ax.margins(x=0.06)
        style.end_labels(ax, labels)
