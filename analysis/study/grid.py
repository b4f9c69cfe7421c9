"""Ways to train over one grid of learning rates: where each is at its best, and how much the rate matters to it.

*Sensitivity* of a way to train, by seed: how far the final losses over the grid lie above its own best on average,
where no loss counts for more than the untrained model's (after Wortsman et al. 2023, see `Arms.capped`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from analysis.study.arms import Arms


@dataclass(frozen=True)
class Grid:
    """The final losses [seed, rate] in nats of each kind, at the learning rates `rates` in ascending order."""

    rates: list[float]
    final: dict[str, np.ndarray]

    @cached_property
    def best(self) -> dict[str, np.ndarray]:
        """The lowest loss over the grid, by seed."""
        return {kind: losses.min(axis=1) for kind, losses in self.final.items()}

    @cached_property
    def sensitivity(self) -> dict[str, np.ndarray]:
        """The sensitivity in nats, by seed."""
        return {kind: (losses - self.best[kind][:, None]).mean(axis=1) for kind, losses in self.final.items()}

    @cached_property
    def means(self) -> dict[str, np.ndarray]:
        """The mean loss over seeds, by rate."""
        return {kind: losses.mean(axis=0) for kind, losses in self.final.items()}

    @cached_property
    def at_best(self) -> dict[str, int]:
        """The position in `rates` of the rate with the lowest mean loss."""
        return {kind: int(mean.argmin()) for kind, mean in self.means.items()}

    @property
    def edge(self) -> list[str]:
        """The kinds whose best rate is the lowest or the highest that was tried, so that a better one may lie beyond
        it."""
        return [kind for kind, at in self.at_best.items() if at in (0, len(self.rates) - 1)]


def of(arms: Arms, kinds: Iterable[str]) -> Grid:
    """The grid of those kinds whose arms, "<kind>-lr<rate>", are there."""
    rates = sorted({run.manifest["spec"]["train"]["learning_rate"] for run in arms.runs})
    final = {
        kind: np.array([[arms.capped(f"{kind}-lr{rate:g}", seed) for rate in rates] for seed in arms.seeds])
        for kind in kinds
        if f"{kind}-lr{rates[0]:g}" in arms
    }
    return Grid(rates, final)
