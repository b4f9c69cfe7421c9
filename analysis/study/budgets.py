"""Losses at a budget of FLOPs or of seconds, from runs of several lengths, and how long steps of several models take.

A schedule of the learning rate belongs to its number of steps, so a curve read half-way is not a run of half the
length. Each shape is therefore trained to several lengths, each with its whole schedule, and a budget lies between.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.study import pace, stats
from analysis.study.arms import Incomplete
from analysis.study.stats import Estimate

CALM = 1.25  # a round counts as disturbed where a model's step takes so many times as long as in its fastest round
FEWEST = 3  # rounds of a sitting that are kept at least


def at(losses: Mapping[int, Sequence[float]], steps: float) -> np.ndarray:
    """Losses [seed] of a run of `steps` steps, from those of runs of other lengths: each seed's parabola through its
    losses over the logarithm of the steps, or the line where there are two lengths. Not beyond the lengths."""
    lengths = sorted(losses)
    if not lengths[0] <= steps <= lengths[-1]:
        raise Incomplete(
            f"a budget of {steps:.0f} steps lies outside of the runs, which have {lengths[0]} to {lengths[-1]}: train "
            "a shorter or a longer one"
        )
    found = []
    for values in zip(*(losses[length] for length in lengths), strict=True):
        curve = np.polyfit(np.log(lengths), values, min(2, len(lengths) - 1))
        found.append(float(np.polyval(curve, np.log(steps))))
    return np.array(found)


@dataclass(frozen=True)
class Paces:
    """How long a step of each model takes, as a multiple of the reference's: the median over rounds, `spread` the
    lowest and the highest round, `calm` the rounds that it stands on, of `rounds` in all, and `sittings` the medians of
    each sitting. The estimates are over the means of sittings where there are enough of them, else over rounds."""

    times: dict[float, float]
    spread: dict[float, tuple[float, float]]
    estimates: dict[float, Estimate]
    calm: list[int]
    rounds: int
    sittings: list[dict[float, float]]


def paces(
    seconds: Mapping[float, Mapping[int, float]], reference: float, sittings: Sequence[Sequence[int]] = ()
) -> Paces:
    """Compare seconds a step, by model and round, and by the rounds of each sitting."""
    rounds = sorted(seconds[reference])
    calm = [_calm(seconds, sitting) for sitting in sittings or [rounds]]
    ratios = {
        model: [[by_round[k] / seconds[reference][k] for k in sitting] for sitting in calm]
        for model, by_round in seconds.items()
    }
    each = {model: list(itertools.chain(*by_sitting)) for model, by_sitting in ratios.items()}
    enough = len(calm) >= pace.ENOUGH
    return Paces(
        {model: float(np.median(found)) for model, found in each.items()},
        {model: (min(found), max(found)) for model, found in each.items()},
        {
            model: stats.estimate([float(np.mean(found)) for found in ratios[model]], of="sitting")
            if enough
            else stats.estimate(each[model])
            for model in ratios
        },
        sorted(itertools.chain(*calm)),
        len(rounds),
        [{model: float(np.median(ratios[model][i])) for model in ratios} for i in range(len(calm))],
    )


def _calm(seconds: Mapping[float, Mapping[int, float]], rounds: Sequence[int]) -> list[int]:
    """The rounds of a sitting that count. One in which any model was much slower than in its own fastest round was
    disturbed by others, and is left out, unless too few would stay: then the calmest are kept."""
    fastest = {model: min(by_round[k] for k in rounds) for model, by_round in seconds.items()}
    slowed = {k: max(seconds[model][k] / fastest[model] for model in seconds) for k in rounds}
    calm = [k for k in rounds if slowed[k] <= CALM]
    return calm if len(calm) >= FEWEST else sorted(sorted(rounds, key=lambda k: slowed[k])[:FEWEST])
