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

    Bins of either end that hold less than a thousandth at every step are left out.
    """

    _: KW_ONLY
    shares: pd.DataFrame

    def _kept(self) -> pd.DataFrame:
        held = self.shares.index[self.shares.max(axis=1) >= 1e-3]
        return self.shares.loc[held.min() : held.max()]

    def series(self) -> list[Series]:
        kept = self._kept()
        return [Series(f"from {_edge(int(row))}", list(kept.columns), list(kept.loc[row])) for row in kept.index]

    def draw(self, ax: Axes) -> None:
        kept = self._kept()
        colours = LinearSegmentedColormap.from_list("shares", style.colours(5))
        ax.pcolormesh(
            kept.columns, range(len(kept)), kept.to_numpy(), cmap=colours, norm=PowerNorm(0.5), shading="nearest",
            rasterized=False,
        )  # fmt: skip
        ax.grid(False)
        every = max(1, round(len(kept) / 8))
        places = range(0, len(kept), every)
        ax.set_yticks([place - 0.5 for place in places], [_edge(int(kept.index[place])) for place in places])
        self._label(ax)


def _edge(row: int) -> str:
    """The lower edge of a bin, as text."""
    return f"{bin_edges()[row]:.1g}".replace("-", "−").replace("inf", "∞")
