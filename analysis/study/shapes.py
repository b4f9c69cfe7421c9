"""Models of one family that share a budget between their width and their MLPs: what each is and what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.study.arms import Arm, Arms
from analysis.study.optimum import Tuned, tuned
from runner.evidence.log import Run
from runner.models.cost import Description, describe
from runner.plan.spec import from_dict


@dataclass(frozen=True)
class Shape:
    """The model of a run, with what it costs at the run's own vocabulary and block. `rate` is its learning rate, and
    `steps` how many it was trained for."""

    model: Any  # a spec of the GPT family
    cost: Description
    rate: float
    steps: int

    @property
    def d_ff(self) -> int:
        """Hidden width of a layer, in units; the mean where layers differ."""
        return round(sum(self.model.d_ffs) / self.model.n_layer)

    @property
    def ratio(self) -> float:
        """d_ff / d_model of the whole model."""
        return float(sum(self.model.d_ffs) / (self.model.n_layer * self.model.d_model))

    @property
    def matrices(self) -> int:
        """Parameters of the matrices of the blocks: neither embeddings nor norms."""
        return self.cost.parameters["attention"] + self.cost.parameters["mlp"]


def of(run: Run) -> Shape:
    """The shape of a run."""
    spec = from_dict(run.manifest["spec"], run.name)
    cost = describe(spec.model, run.manifest["corpus"]["vocabulary"], spec.model.block_size)
    return Shape(spec.model, cost, spec.train.learning_rate, spec.train.steps)


@dataclass(frozen=True)
class Shapes:
    """An experiment whose arms are shapes, each at one or several learning rates."""

    arms: Arms

    @cached_property
    def each(self) -> dict[Arm, Shape]:
        """The shape of each arm."""
        return {arm: of(next(iter(by_seed.values()))) for arm, by_seed in self.arms.kept.items()}

    @cached_property
    def by_ratio(self) -> dict[float, Shape]:
        """One arm's shape for each ratio, in ascending order."""
        found = {shape.ratio: shape for shape in self.each.values()}
        return dict(sorted(found.items()))

    @property
    def rates(self) -> list[float]:
        """The learning rates that were tried."""
        return sorted({shape.rate for shape in self.each.values()})

    def ends(self, split: str) -> dict[tuple[float, float], pd.Series]:
        """Losses [seed] at the last evaluation, by (ratio, learning rate)."""
        return {(self.each[arm].ratio, self.each[arm].rate): losses for arm, losses in self.arms.ends(split).items()}

    def tuned(self, held_out: str) -> Tuned:
        """Each ratio at the learning rate that is best on validation, its losses those of another split."""
        return tuned(self.ends("val"), self.ends(held_out))


def name(ratio: float) -> str:
    """A ratio as it is written: `0.67`, `4`."""
    return f"{ratio:.2g}" if ratio < 1 else f"{ratio:.3g}"


def shown(ratio: float) -> float:
    """The number that `name` writes, for the ticks of an axis."""
    return float(name(ratio))


def named(values: Mapping[float, object] | Sequence[float]) -> str:
    """Several ratios in a sentence."""
    return ", ".join(map(name, values))
