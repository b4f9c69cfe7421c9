"""What probes saw: their rows by seed, step and layer, and a heat map of histograms over steps."""

from dataclasses import KW_ONLY, dataclass

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm

from analysis.study import style
from analysis.study.arms import Arm, Arms
from analysis.study.figures import Panel, Series
from runner.errors import UserError
from runner.evidence.log import bin_edges

SMALL = 2.0**-10  # what is smaller counts as near 0


def layered(sweep: Arms, arm: Arm, probe: str, split: str = "batch") -> pd.DataFrame:
    """The rows of a probe of one arm, with `seed`, `step`, `layer`, `index` and `value`; layers from 0, and no rows of
    what belongs to no layer. Raises a `UserError` where its runs have no such probe."""
    frames = [run.probes().to_pandas().assign(seed=seed) for seed, run in sweep.kept[arm].items()]
    rows = pd.concat(frames).query("probe == @probe and split == @split and layer.notna()")
    if rows.empty:
        raise UserError(f"{sweep.experiment}: the runs of {arm} have no probe {probe!r}: name it in eval.probes")
    return rows.astype({"layer": int})[["seed", "step", "layer", "index", "value"]].reset_index(drop=True)


@dataclass(frozen=True)
class Histogram(Panel):
    """Histograms over steps: `shares` [bin, step] of the bins of `runner.evidence.log.bin_edges`, from dark to light.

    Bins of either end that hold less than a thousandth at every step are left out, and those near 0 stand as one.
    """

    _: KW_ONLY
    shares: pd.DataFrame

    def _kept(self) -> pd.DataFrame:
        edges = bin_edges()
        small = [row for row in self.shares.index if max(abs(edges[int(row)]), abs(edges[int(row) + 1])) <= SMALL]
        middle = small[len(small) // 2]
        merged = self.shares.drop(index=[row for row in small if row != middle])
        merged.loc[middle] = self.shares.loc[small].sum()
        held = merged.index[merged.max(axis=1) >= 1e-3]
        return merged.loc[held.min() : held.max()]

    def series(self) -> list[Series]:
        kept = self._kept()
        return [Series(_bin(int(row)), list(kept.columns), list(kept.loc[row])) for row in kept.index]

    def draw(self, ax: Axes) -> None:
        kept = self._kept()
        colours = LinearSegmentedColormap.from_list("shares", style.colours(5))
        half = (kept.columns[-1] - kept.columns[0]) / (2 * max(1, kept.shape[1] - 1))
        extent = (kept.columns[0] - half, kept.columns[-1] + half, -0.5, len(kept) - 0.5)
        ax.imshow(
            kept.to_numpy(), cmap=colours, norm=PowerNorm(0.5), aspect="auto", interpolation="nearest", origin="lower",
            extent=extent,
        )  # fmt: skip
        ax.grid(False)
        places = range(0, len(kept), max(1, round(len(kept) / 10)))
        ax.set_yticks(places, [_bin(int(kept.index[place])) for place in places], fontsize=8)
        self._label(ax)


def _bin(row: int) -> str:
    """What a bin holds, by its edges."""
    low, high = bin_edges()[row : row + 2]
    if max(abs(low), abs(high)) <= SMALL:
        return f"within {SMALL:.1g}"
    return " to ".join(f"{edge:.1g}" for edge in (low, high)).replace("-", "−").replace("inf", "∞")
