"""Honest small-sample statistics: paired by seed, intervals by Student's t, and "inconclusive" where it is.

Everything here takes one value a seed, so n is the number of seeds and never the number of evaluations.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import pandas as pd
from scipy import optimize, stats

from analysis.study import text

CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its interval, which is None below two seeds. `values` are the seeds' own, in order.
    `level` is how often the interval may err: one time in twenty, unless it is one of several (`among`). `of` is what a
    value belongs to, in the singular, where that is no seed."""

    mean: float
    sd: float
    n: int
    values: tuple[float, ...] = field(default=(), repr=False)
    level: float = field(default=1 - CONFIDENCE, repr=False)
    of: str = field(default="seed", repr=False)

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval."""
        return None if self.n < 2 else float(_t(self.n, self.level) * self.sd / np.sqrt(self.n))

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high) of the interval of the mean."""
        half = self.half_width
        return None if half is None else (self.mean - half, self.mean + half)

    def at(self, level: float) -> "Estimate":
        """The same with an interval that errs at `level`; a smaller one asks for a wider interval."""
        return replace(self, level=level)

    def among(self, many: int) -> "Estimate":
        """The same as one of `many` comparisons on one question: its interval is corrected for their number, so that
        all together err once in twenty."""
        return self.at((1 - CONFIDENCE) / max(1, many))

    @property
    def tied(self) -> bool:
        """Whether several values are one but for rounding, as values of a coarse grid can be: they have an interval
        without width, and say nothing of their scatter."""
        return self.n > 1 and self.sd <= 1e-9 * max(map(abs, self.values), default=0.0) + 1e-12

    def side(self, bar: float = 0.0, level: float | None = None) -> int:
        """+1 or -1 where the whole interval lies above or below `bar`, 0 where it does not decide. `level` is how often
        it may err, the estimate's own if left out."""
        interval = self.at(self.level if level is None else level).interval
        return 0 if interval is None or self.tied else int(interval[0] > bar) - int(interval[1] < bar)

    def findable(self, level: float | None = None) -> float | None:
        """The smallest distance from a bar at which as many fresh seeds, with the scatter of these, would decide four
        times out of five; None below two seeds. The power of the one-sample t test, by the noncentral t. It looks at
        the scatter alone and not at the mean, so that it says the same of a design whatever came out."""
        if self.n < 2:
            return None
        return float(_shift(self.n, self.level if level is None else level) * self.sd / np.sqrt(self.n))

    def signed(self, digits: int = 4) -> str:
        """As a difference, with its sign; what rounds to zero has none."""
        half = self.half_width
        mean = text.plain_nought(f"{self.mean:+.{digits}f}")
        return (mean + ("" if half is None else f" ± {half:.{digits}f}")).replace("-", "−")

    def __str__(self) -> str:
        half = self.half_width
        mean = text.plain_nought(f"{self.mean:.3f}")
        return mean if half is None else f"{mean} ± {half:.3f}"


def estimate(values: Sequence[float], of: str = "seed") -> Estimate:
    """The mean of one value a seed, or of whatever a value belongs to, [n]."""
    array = np.asarray(values, dtype=float)
    sd = float(array.std(ddof=1)) if len(array) > 1 else 0.0
    return Estimate(float(array.mean()), sd, len(array), tuple(array.tolist()), of=of)


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The least-squares slope of y over x."""
    return float(np.polyfit(x, y, 1)[0])


def trend(x: Sequence[float], values: pd.DataFrame) -> Estimate:
    """Each seed's slope of its values [arm, seed] over x, a number for each arm; over log2 of a setting it is the
    change for each doubling."""
    return estimate([slope(x, values[seed]) for seed in values])


def trend_above(x: Sequence[float], values: pd.DataFrame) -> Estimate | None:
    """The same without the first arm, which may carry a trend by itself; None where that leaves fewer than three."""
    return trend(x[1:], values.iloc[1:]) if len(x) > 3 else None


def geometric(values: Sequence[float]) -> float:
    """The geometric mean of positive values."""
    return float(np.exp(np.mean([np.log(value) for value in values])))


def p_values(samples: Sequence[Sequence[float]]) -> list[float]:
    """Two-sided p of each sample's mean against 0, by the one-sample t test; 1 where it cannot be tested."""
    found = []
    for values in samples:
        sample = estimate(values)
        if sample.n < 2 or sample.tied:
            found.append(1.0)
        else:
            found.append(float(2 * stats.t.sf(abs(sample.mean) / (sample.sd / np.sqrt(sample.n)), sample.n - 1)))
    return found


def holm(p: Sequence[float]) -> list[bool]:
    """Which of several tests stand when together they may err once in twenty (Holm's step-down)."""
    return [one <= at for one, at in zip(p, holm_levels(p), strict=True)]


def holm_levels(p: Sequence[float], level: float = 1 - CONFIDENCE) -> list[float]:
    """The level at which Holm's step-down tests each of several; from the first that fails on it stays what it is."""
    levels = [0.0] * len(p)
    left = len(p)
    for index in sorted(range(len(p)), key=lambda i: p[i]):
        levels[index] = level / left
        left -= p[index] <= levels[index]
    return levels


def success(found: int, n: int, many: int = 1) -> tuple[float, float]:
    """The 95% interval of a rate of success, from `found` of `n`, by Clopper and Pearson, corrected for `many` rates of
    which any may decide."""
    interval = stats.binomtest(found, n).proportion_ci(1 - (1 - CONFIDENCE) / many, method="exact")
    return float(interval.low), float(interval.high)


def crossing(steps: Sequence[float], losses: Sequence[float], bar: float) -> float | None:
    """The first step at which a falling loss reaches `bar`, between evaluations by a straight line; None if never."""
    for i, loss in enumerate(losses):
        if loss <= bar:
            if i == 0 or losses[i - 1] == loss:
                return float(steps[i])
            share = (losses[i - 1] - bar) / (losses[i - 1] - loss)
            return float(steps[i - 1] + share * (steps[i] - steps[i - 1]))
    return None


@cache
def _t(n: int, level: float = 1 - CONFIDENCE) -> float:
    return float(stats.t.ppf(1 - level / 2, n - 1))


@cache
def _shift(n: int, level: float) -> float:
    """The noncentrality at which a t test over n seeds decides with a probability of `POWER`."""
    edge = _t(n, level)
    return float(optimize.brentq(lambda shift: stats.nct.sf(edge, n - 1, shift) - POWER, 0.1, 100 * edge))
