"""Ways to train over a grid of learning rates."""

from types import SimpleNamespace

import numpy as np
import pytest

from analysis.study import grid
from analysis.study.grid import Grid

LOSSES = {"plain": [[3.0, 1.0, 2.0], [3.0, 2.0, 2.5]], "steady": [[1.5, 1.6, 1.7], [1.5, 1.4, 1.9]]}


@pytest.fixture
def tried() -> Grid:
    return Grid([0.1, 0.2, 0.4], {kind: np.array(losses) for kind, losses in LOSSES.items()})


def test_how_much_the_rate_matters(tried):
    assert tried.best["plain"].tolist() == [1.0, 2.0]
    assert tried.sensitivity["plain"] == pytest.approx([1.0, 0.5])
    assert tried.sensitivity["steady"] == pytest.approx([0.1, 0.2])


def test_the_best_rate_of_the_mean_may_lie_at_the_edge(tried):
    assert tried.at_best == {"plain": 1, "steady": 0}
    assert tried.means["plain"].tolist() == [3.0, 1.5, 2.25]
    assert tried.edge == ["steady"]


def test_it_has_the_kinds_that_are_there():
    class Runs(dict):
        seeds = (0, 1)
        runs = tuple(
            SimpleNamespace(manifest={"spec": {"train": {"learning_rate": rate}}}) for rate in (0.4, 0.1, 0.2, 0.1)
        )

        def capped(self, arm: str, seed: int) -> float:
            return LOSSES["plain"][seed][["plain-lr0.1", "plain-lr0.2", "plain-lr0.4"].index(arm)]

    found = grid.of(Runs({"plain-lr0.1": {}}), ["other", "plain"])
    assert found.rates == [0.1, 0.2, 0.4]
    assert {kind: losses.tolist() for kind, losses in found.final.items()} == {"plain": LOSSES["plain"]}
