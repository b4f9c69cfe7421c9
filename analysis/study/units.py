"""What the hidden units of trained models do, from what probes saw after the last step."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from analysis.study import stats
from analysis.study.arms import Arm, Arms, Incomplete
from analysis.study.stats import Estimate


def last(sweep: Arms, probe: str, of: Sequence[Arm] | None = None) -> dict[Arm, pd.DataFrame]:
    """Arm → the rows of a probe at the last step that it saw, with the seed; of some arms, or of all."""
    found = {}
    for arm in sweep.kept if of is None else of:
        frames = []
        for seed, run in sweep.kept[arm].items():
            rows = run.probes().to_pandas()
            rows = rows[rows.probe == probe]
            if rows.empty:
                raise Incomplete(f"{run.name}: nothing of the probe {probe}: train it again with eval.probes")
            frames.append(rows[rows.step == rows.step.max()].assign(seed=seed))
        found[arm] = pd.concat(frames, ignore_index=True)
    return found


def by_layer(sweep: Arms, probe: str, of: Sequence[Arm] | None = None) -> dict[Arm, np.ndarray]:
    """Arm → what a probe saw of each layer at the end, [seed, layer]."""
    return {
        arm: rows.pivot(index="seed", columns="layer", values="value").loc[sweep.seeds].to_numpy()
        for arm, rows in last(sweep, probe, of).items()
    }


def removed(sweep: Arms, probe: str, of: Sequence[Arm] | None = None) -> dict[Arm, dict[int, np.ndarray]]:
    """Arm → index of a share → how much the validation loss rises when that share of the units is removed, [seed]."""
    ends, found = sweep.ends("val"), {}
    for arm, rows in last(sweep, probe, of).items():
        losses = rows[rows.split == "val"].pivot(index="seed", columns="index", values="value").loc[sweep.seeds]
        found[arm] = {int(index): (losses[index] - ends[arm]).to_numpy() for index in losses}
    return found


def mean_of_layers(values: Mapping[Arm, np.ndarray]) -> dict[Arm, Estimate]:
    """The mean over layers of values [seed, layer], as an estimate over seeds."""
    return {arm: stats.estimate(value_SL.mean(1)) for arm, value_SL in values.items()}


def per_doubling(values: Mapping[float, np.ndarray]) -> Estimate:
    """Doublings of a positive value [seed] for each doubling of the setting that it is given by: the slope of a line
    through the logarithms, seed by seed."""
    x = np.log2(list(values))
    return stats.estimate([stats.slope(x, row) for row in np.log2(np.array(list(values.values()))).T])


def cheapest(losses: Mapping[float, np.ndarray], price: float) -> np.ndarray:
    """The ratio [seed] at which a loss [seed] plus a price for one of the ratio is lowest, of those that were tried."""
    ratios = sorted(losses)
    sum_RS = np.array([losses[r] + price * r for r in ratios])
    return np.array(ratios)[sum_RS.argmin(0)]
