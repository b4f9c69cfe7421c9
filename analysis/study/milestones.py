"""What happened when in a run: its best validation loss and the onset of overfitting, and when it reached a loss.

Frames and series are by (arm, seed), as `Arms.each` gives them.

The step of the lowest evaluation is a poor estimate of the onset: near its minimum a curve is flat, and the noise of
single evaluations decides which of them is the lowest. `fitted` reads it from a curve through the evaluations around
it, and says how well that curve knows it. `METHODS` are other ways to read it, to see what hangs on the choice.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.study import stats
from analysis.study.arms import Arms
from runner.evidence.log import Run


@dataclass(frozen=True)
class Onset:
    """The step at which a run's validation loss is lowest, and the standard error of its logarithm to base 2; that is
    not a number where nothing was fitted."""

    step: float
    error: float = math.nan


def lowest(losses: pd.Series) -> Onset:
    """The step of the lowest evaluation of losses [step]."""
    return Onset(float(losses.idxmin()))


def fitted(losses: pd.Series, degree: int = 3, window: float = 2.0) -> Onset:
    """The minimum of a polynomial in log2 of the step, by least squares through the evaluations from 1/`window` to
    `window` times the step of the lowest one.

    Its error is that of the residuals, carried to the minimum to first order, as if they were independent. Where too
    few evaluations lie there, or the polynomial has no minimum among them, it is the lowest evaluation.
    """
    best = float(losses.idxmin())
    near = losses[(losses.index >= best / window) & (losses.index <= best * window) & (losses.index > 0)]
    if len(near) < degree + 3:
        return lowest(losses)
    x = np.log2(near.index.to_numpy(dtype=float)) - math.log2(best)
    powers, covariance = np.polyfit(x, near.to_numpy(), degree, cov=True)
    slope, bend = np.polyder(powers), np.polyder(powers, 2)
    roots = np.roots(slope)
    inside = [float(root.real) for root in roots if abs(root.imag) < 1e-9 and x[0] < root.real < x[-1]]
    minima = [root for root in inside if np.polyval(bend, root) > 0]
    if not minima:
        return lowest(losses)
    at = min(minima, key=lambda root: float(np.polyval(powers, root)))
    gradient = np.array([k * at ** (k - 1) if k else 0.0 for k in range(degree, -1, -1)])  # of the slope, by power
    variance = float(gradient @ covariance @ gradient) / float(np.polyval(bend, at)) ** 2
    return Onset(best * 2**at, math.sqrt(variance))


def smoothed(losses: pd.Series, width: float = 0.35) -> Onset:
    """The lowest point of a local quadratic regression over log2 of the step, with a Gaussian kernel of `width`."""
    kept = losses[losses.index > 0]
    x, y = np.log2(kept.index.to_numpy(dtype=float)), kept.to_numpy()
    grid = np.linspace(x[0], x[-1], 512)
    values = []
    for place in grid:
        weight = np.exp(-0.25 * ((x - place) / width) ** 2)  # the root of the kernel
        design = np.vander(x - place, 3) * weight[:, None]
        values.append(float(np.linalg.lstsq(design, y * weight, rcond=None)[0][-1]))
    return Onset(float(2 ** grid[int(np.argmin(values))]))


METHODS: dict[str, Callable[[pd.Series], Onset]] = {
    "cubic, an octave each side": fitted,
    "cubic, 1.6 octaves each side": lambda losses: fitted(losses, window=3.0),
    "quadratic, an octave each side": lambda losses: fitted(losses, degree=2),
    "local regression": smoothed,
    "lowest evaluation": lowest,
}  # the first is the one that rules use


def onsets(arms: Arms, method: Callable[[pd.Series], Onset] = fitted) -> pd.DataFrame:
    """The onset of each run by a method: `step` and `error`."""

    def found(rows: pd.DataFrame) -> dict[str, float]:
        one = method(rows[rows.split == "val"].set_index("step").loss)
        return {"step": one.step, "error": one.error}

    return arms.each(found)


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


def spike(run: Run) -> float:
    """The largest logged gradient norm after a fifth of the steps, over their median."""
    rows = run.metrics().to_pandas()
    kept = rows[(rows.split == "batch") & (rows.step >= rows.step.max() / 5)].grad_norm
    return float(kept.max() / kept.median())


def largest_logit(run: Run) -> float:
    """The largest attention logit of a run's last evaluation."""
    seen = run.probes().to_pandas().query("probe == 'attention_logit' and split == 'val'")
    return float(seen[seen.step == seen.step.max()].value.max())
