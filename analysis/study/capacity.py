"""How many tasks a model can do: the smallest value of a setting at which it reaches a bar, as a function of the tasks.

Accuracies are arrays [seed] by (tasks, value); values are positive, and lie on a logarithmic axis.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis.study import stats
from analysis.study.arms import Arms
from analysis.study.stats import Estimate

Accuracies = Mapping[tuple[int, float], Sequence[float]]


def accuracies(sweep: Arms, split: str) -> dict[str, np.ndarray]:
    """Arm → the share of right answers [seed] at the last evaluation of a split, as the runs' probes saw it."""
    found = {}
    for arm, by_seed in sweep.kept.items():
        each = []
        for run in by_seed.values():
            seen = run.probes().to_pandas().query("probe == 'accuracy' and split == @split")
            each.append(float(seen.sort_values("step").value.iloc[-1]))
        found[arm] = np.array(each)
    return found


@dataclass(frozen=True)
class Smallest:
    """`at` holds the smallest values [seed], as logarithms to base 2, by number of tasks; where no value reaches the
    bar it counts as one doubling above the largest that was tried. `missed` says in how many seeds that was so.
    `crossed` holds [seed] whether at some number of tasks the smallest that was tried misses the bar and a larger one
    reaches it: without, all that is known of the values are the ends of what was tried."""

    at: dict[int, np.ndarray]
    missed: dict[int, int]
    crossed: np.ndarray

    @property
    def slope(self) -> Estimate:
        """How many doublings of the value each doubling of the tasks takes, a least-squares line a seed."""
        x = np.log2(list(self.at))
        values_TS = np.array(list(self.at.values()))
        return stats.estimate([stats.slope(x, values) if np.ptp(values) else 0.0 for values in values_TS.T])


def smallest(found: Accuracies, bar: float) -> Smallest:
    """The smallest value that reaches the bar, for each number of tasks and each seed. A value counts if it and every
    larger one reach the bar, but for the largest that is tried: a lucky run in between is none."""
    tasks, values = (sorted({key[i] for key in found}) for i in (0, 1))
    at, missed = {}, {}
    crossed = np.zeros(len(next(iter(found.values()))), dtype=bool)
    for count in tasks:
        reached_VS = np.array([found[count, value] for value in values]) >= bar
        kept_VS = np.logical_and.accumulate(reached_VS[::-1], axis=0)[::-1]
        first = np.where(kept_VS.any(axis=0), kept_VS.argmax(axis=0), len(values))
        at[count] = np.log2(np.append(values, 2 * values[-1]))[first]
        missed[count] = int((first == len(values)).sum())
        crossed |= (first > 0) & (first < len(values))
    return Smallest(at, missed, crossed)
