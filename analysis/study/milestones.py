"""What happened when in a run: its best validation loss and the onset of overfitting, and when it reached a loss.

Frames and series are by (arm, seed), as `Arms.each` gives them.
"""

import numpy as np
import pandas as pd

from analysis.study import stats
from analysis.study.arms import Arms


def of(arms: Arms, held_out: str = "test") -> pd.DataFrame:
    """What each run says in one number each.

    `best` is its lowest validation loss, `onset` the step of that, `final` the loss after the last step, `gap` how far
    it lies above the best; `held_out` the loss of that split at the onset, `train_end` the training split's at the end;
    `last` the step of the last evaluation.
    """

    def summary(rows: pd.DataFrame) -> dict[str, float]:
        splits = {name: part.set_index("step").loss for name, part in rows.groupby("split")}
        val, best = splits["val"], splits["val"].idxmin()
        return {
            "train_end": splits["train"].iloc[-1],
            "best": val[best],
            "onset": float(best),
            "final": val.iloc[-1],
            "gap": val.iloc[-1] - val[best],
            "held_out": splits[held_out][best],
            "last": float(val.index[-1]),
        }

    return arms.each(summary)


def reachable(arms: Arms, split: str = "train") -> float:
    """The lowest loss of a split that every run reaches."""
    return float(arms.split(split).groupby(["arm", "seed"]).loss.min().max())


def reached(arms: Arms, level: float, split: str = "train") -> pd.Series:
    """The step at which each run's loss reaches a level, between evaluations by a straight line."""
    groups = arms.split(split).groupby(["arm", "seed"])
    return pd.Series({key: stats.crossing(list(g.step), list(g.loss), level) for key, g in groups})


def doublings(steps: pd.Series, every: int) -> pd.Series:
    """Steps as logarithms to base 2; step 0 counts as half of the interval between evaluations, `every`."""
    return np.log2(steps.clip(lower=every / 2))
