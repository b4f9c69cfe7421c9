"""Where a loss is lowest over a setting that is swept, and which of its values cannot be told from the best.

    tuned = optimum.tuned(ends, held_out)            # each value at its best learning rate
    found = optimum.find(tuned.losses)               # losses: value → [seed]
    verdict = optimum.unneeded(tuned.losses)         # of the reference

Values are positive and lie on a logarithmic axis. Losses are paired by seed.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analysis.study import interest, stats, verdicts
from analysis.study.results import Results
from analysis.study.stats import Estimate
from analysis.study.verdicts import BELOW, Measure, Verdict

REFERENCE = 4.0  # the ratio that the others are compared with
MARGIN = interest.SMALLEST  # nats a character
POINTS = 2001  # at which the slope of the fitted curve is looked at
Losses = Mapping[float, Sequence[float]]  # value → losses [seed]


@dataclass(frozen=True)
class Tuned:
    """`losses` are those of each value at the rate in `rates`; `edge` the values whose rate is the lowest or the
    highest that was tried, so that another might be better."""

    losses: dict[float, np.ndarray]
    rates: dict[float, float]
    edge: list[float]


def tuned(
    chosen_on: Mapping[tuple[float, float], Sequence[float]], reported: Mapping[tuple[float, float], Sequence[float]]
) -> Tuned:
    """Each value at the rate whose mean loss is the lowest. Both arguments hold losses [seed] by (value, rate): the
    rate is chosen on the one split, and the loss is that of the other."""
    tried = {v: sorted(rate for value, rate in chosen_on if value == v) for v in sorted({v for v, _ in chosen_on})}
    best = {v: min(rates, key=lambda rate: float(np.mean(chosen_on[v, rate]))) for v, rates in tried.items()}
    losses = {v: np.asarray(reported[v, best[v]], dtype=float) for v in tried}
    edge = [v for v, rates in tried.items() if len(rates) > 1 and best[v] in (rates[0], rates[-1])]
    return Tuned(losses, best, edge)


@dataclass(frozen=True)
class Optimum:
    """What the losses say of the best value.

    best       the value whose mean is the lowest
    interval   where the lowest point of a parabola through the losses over log2 of the value may lie: the values at
               which the 95% interval of its slope, over seeds, contains zero; None for one seed
    ends       whether that interval reaches the lowest and the highest value that was tried: beyond them nothing is
               known
    differences  of each value from the best one, paired by seed
    level      the values that cannot be told from the best, by t tests with Holm's correction for all pairs of values:
               the best is chosen by these losses, and any pair could have been asked
    close      those known to lie less than the margin above the best, corrected in the same way
    """

    best: float
    interval: tuple[float, float] | None
    ends: tuple[bool, bool]
    differences: dict[float, Estimate]
    level: list[float]
    close: list[float]

    @property
    def from_best(self) -> dict[float, Estimate]:
        """`differences`, with intervals that are corrected as `level` is."""
        pairs = math.comb(len(self.differences), 2)
        return {value: one.among(pairs) for value, one in self.differences.items()}


def find(losses: Losses, margin: float = MARGIN) -> Optimum:
    """The optimum of losses [seed] by value."""
    values = sorted(losses)
    best = min(values, key=lambda v: float(np.mean(losses[v])))
    differences = {v: stats.estimate(np.asarray(losses[v]) - np.asarray(losses[best])) for v in values}
    others = [v for v in values if v != best]
    pairs = list(itertools.combinations(values, 2))
    apart = stats.holm(stats.p_values([np.asarray(losses[v]) - np.asarray(losses[w]) for v, w in pairs]))
    told = {v for pair, holds in zip(pairs, apart, strict=True) if holds and best in pair for v in pair}
    level = [v for v in values if v == best or v not in told]
    within = stats.holm(stats.p_values([[x - margin for x in differences[v].values] for v in others]))
    close = [v for v in values if v == best or (within[others.index(v)] and differences[v].mean < margin)]
    interval = lowest(losses)
    ends = (False, False) if interval is None else (interval[0] == values[0], interval[1] == values[-1])
    return Optimum(best, interval, ends, differences, level, close)


def lowest(losses: Losses) -> tuple[float, float] | None:
    """The values at which a parabola through the losses over log2 of the value may be lowest, see `Optimum`: where
    its slope cannot be told from zero, and the end towards which it falls where it can be told everywhere. None for
    fewer than two seeds or three values."""
    values = sorted(losses)
    x = np.log2(values)
    loss_VS = np.array([losses[v] for v in values], dtype=float)
    if loss_VS.shape[1] < 2 or len(values) < 3:
        return None
    centre = x.mean()
    square_S, straight_S, _ = np.polyfit(x - centre, loss_VS, 2)
    at = np.linspace(x[0], x[-1], POINTS)
    slopes = [stats.estimate(2 * square_S * (point - centre) + straight_S) for point in at]
    sides = np.array([one.side() for one in slopes])
    # The curve may be lowest where it does not fall any more, and does not rise yet; at an end also where it goes on.
    may = (sides == 0) | ((at == at[0]) & (sides == 1)) | ((at == at[-1]) & (sides == -1))
    if not may.any():  # it falls at one point of the grid and rises at the next
        may[int(np.argmax(sides == 1))] = True
    low, high = (int(i) for i in np.flatnonzero(may)[[0, -1]])
    at_value = {0: float(values[0]), POINTS - 1: float(values[-1])}  # exactly, as logarithms and back are not
    return at_value.get(low, float(2 ** at[low])), at_value.get(high, float(2 ** at[high]))


def report(results: Results, found: Optimum, prefix: str = "") -> None:
    """The numbers for a text: the best ratio, the interval of where the curve is lowest, the range of ratios that
    cannot be told from the best, and how many are known to be close to it."""
    low, high = found.interval or (None, None)
    why = "" if found.interval else "it takes two seeds and three ratios"
    numbers = {"best": found.best, "best-low": low, "best-high": high}
    numbers |= {"level-low": min(found.level), "level-high": max(found.level)}
    for name, value in numbers.items():
        digits = 0 if value is not None and float(value).is_integer() else 2
        results.number(f"{prefix}{name}", value, digits=digits, reason=why if value is None else "")
    results.number(f"{prefix}best-open", int(any(found.ends)))
    results.number(f"{prefix}level", len(found.level))
    results.number(f"{prefix}close", len(found.close))


RULE = (
    "Supported if on each of these axes some ratio at least a factor of {factor:g} away from {reference:g} has a loss "
    "less than {margin:g} nats above that of {reference:g}, paired by seed, by t tests with Holm's correction for all "
    "such ratios; refuted if on one of them every such ratio lies more than that above it, corrected for the axes, too."
)


def unneeded(
    losses: Losses,
    reference: float = REFERENCE,
    margin: float = MARGIN,
    factor: float = 2,
    axes: int = 1,
    looks: int = 1,
) -> Verdict:
    """Whether another value, at least a factor away, does as well as the reference, to within a margin. Supported if
    one does, refuted if every one is worse; "as well" is tested against the margin, with Holm's correction. `axes` is
    how many such questions are asked of which any may refute, `looks` how often seeds were added to decide it."""
    error = (1 - stats.CONFIDENCE) / looks
    far = [v for v in sorted(losses) if max(v / reference, reference / v) >= factor * (1 - 1e-9)]
    above = {v: np.asarray(losses[v]) - np.asarray(losses[reference]) for v in far}
    measures = tuple(
        Measure(f"r = {v:.3g} minus r = {reference:g}", stats.estimate(above[v]), BELOW, margin) for v in far
    )
    samples = [above[v] - margin for v in far]
    tested = verdicts.stepdown(samples, BELOW, error)
    measures = tested.tested(measures)
    word = verdicts.INCONCLUSIVE
    if tested.right:
        word = verdicts.SUPPORTED
    elif far and verdicts.stepdown(samples, BELOW, error / axes).wrong == len(far):
        word = verdicts.REFUTED
    if any(measure.single for measure in measures):
        word = verdicts.AGREES if any(measure.lean == 1 for measure in measures) else verdicts.DISAGREES
    again = f" What decides is corrected for {looks} looks; intervals shown without a word on it are not." * (looks > 1)
    return Verdict(word, RULE.format(factor=factor, reference=reference, margin=margin) + again, measures)


def on_every(axes: Mapping[str, Verdict]) -> Verdict:
    """One verdict of `unneeded` on several axes; a measure is named after its axis."""
    word = verdicts.joined({verdict.word for verdict in axes.values()})
    measures = [replace(m, name=f"{axis}, {m.name}") for axis, v in axes.items() for m in v.measures]
    return Verdict(word, next(iter(axes.values())).rule, tuple(measures))
