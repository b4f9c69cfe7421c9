"""How long a run's training steps took, from its log of the wall clock."""

from collections.abc import Mapping

import pandas as pd

from analysis.study import stats
from analysis.study.arms import Arm, Arms
from runner.evidence.log import Run


def steps(run: Run) -> pd.Series:
    """Seconds a step of each logged stretch of training, by the step at which it ended. The first one compiles."""
    timing = run.timing().to_pandas()
    trained = timing[timing.phase == "train"]
    taken = trained.step.diff().fillna(trained.step)
    return pd.Series((trained.seconds / taken).to_numpy(), index=trained.step.to_numpy())


def usual(run: Run) -> float:
    """The median of the stretches after the first, so that compiling, and a neighbour's burst, count for nothing."""
    return float(steps(run).iloc[1:].median())


def spent(run: Run) -> float:
    """Seconds that the run took in all, evaluation and saving included."""
    return float(run.timing().to_pandas().seconds.sum())


def each(arms: Arms) -> dict[Arm, dict[int, float]]:
    """Arm → seed → the usual seconds a step."""
    return {arm: {seed: usual(run) for seed, run in by_seed.items()} for arm, by_seed in arms.kept.items()}


def faster(paces: Mapping[Arm, Mapping[int, float]], arm: Arm, than: Arm) -> stats.Estimate:
    """How many more steps a second an arm takes than another, as a share, paired by seed."""
    return stats.estimate([paces[than][seed] / paces[arm][seed] - 1 for seed in paces[arm]])
