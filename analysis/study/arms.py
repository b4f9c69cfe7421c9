"""Paired arms: the runs of an experiment's profile by arm and seed, as frames.

    arms = arms.read(logs, "mlp-ratio", profile, setting("model.mlp_ratio"))
    arms.curves("val")            # arm → losses [step, seed]

A seed gives every arm the same batches in the same order, so arms are compared seed by seed, and only on the seeds that
every arm has. Runs that the experiment does not plan, or plans otherwise by now, are not read.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.study import stats, wording
from runner.errors import UserError
from runner.evidence import log
from runner.plan import experiment
from runner.plan.plan import Plan
from runner.plan.spec import as_dict

Arm = Any  # a text or a number
Key = Callable[[str, dict[str, Any]], Arm]  # a run's name and spec → its arm; None leaves the run out


class Incomplete(UserError):
    """There is not enough evidence yet: an arm or every seed is missing."""


def by_name(name: str, spec: dict[str, Any]) -> Arm:
    """The arm in a run's name: `d12-norms` of `d12-norms-s3`."""
    return name.rpartition("-s")[0]


def setting(path: str, default: Any = None) -> Key:
    """The arm is the value of a setting, `default` where the spec leaves it out."""

    def value(name: str, spec: dict[str, Any]) -> Arm:
        *sections, last = path.split(".")
        for section in sections:
            spec = spec[section]
        return spec.get(last, default)

    return value


@dataclass(frozen=True)
class Arms:
    """The evidence of one experiment and profile.

    `runs` are all that ended of those planned, `kept` the ones that are compared: arm → seed → run, for complete seeds.
    """

    experiment: str
    profile: str
    runs: list[log.Run]
    kept: dict[Arm, dict[int, log.Run]]
    lost: list[Arm]  # planned, and without a run that can be compared
    dropped: list[int]  # seeds that not every arm has
    whole: list[log.Run]  # runs that can be compared, those of dropped seeds too

    def __iter__(self) -> Any:
        return iter(self.kept)

    def __len__(self) -> int:
        return len(self.kept)

    def __contains__(self, arm: Arm) -> bool:
        return arm in self.kept

    @property
    def seeds(self) -> list[int]:
        """The seeds that every arm has."""
        return list(next(iter(self.kept.values())))

    @property
    def count(self) -> str:
        """`5 seeds`."""
        return wording.seeds(self.seeds)

    @property
    def manifest(self) -> dict[str, Any]:
        """What the first of the runs says of itself, for what all of them share."""
        return self.whole[0].manifest

    @property
    def spec(self) -> dict[str, Any]:
        """The settings of the first of the runs, for those that all of them share."""
        return self.manifest["spec"]

    @property
    def diverged(self) -> list[str]:
        """The names of the runs whose loss was not finite any more."""
        return [run.name for run in self.runs if run.manifest["status"] == "diverged"]

    @property
    def omitted(self) -> str:
        """What was left out, as sentences to follow others; empty where nothing was."""
        lost = f" Their loss was not finite: {', '.join(self.diverged)}." if self.diverged else ""
        seeds = ", ".join(map(str, self.dropped))
        return lost + (f" Seeds left out, as not every arm finished them: {seeds}." if seeds else "")

    @property
    def parameters(self) -> dict[Arm, int]:
        """How many parameters each arm has."""
        return {arm: next(iter(runs.values())).manifest["parameters"]["total"] for arm, runs in self.kept.items()}

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The metrics of the compared runs, with arm and seed."""
        frames = [
            run.metrics().to_pandas().assign(arm=arm, seed=seed)
            for arm, by_seed in self.kept.items()
            for seed, run in by_seed.items()
        ]
        return pd.concat(frames, ignore_index=True)

    def split(self, split: str) -> pd.DataFrame:
        """The rows of one split."""
        return self.rows[self.rows.split == split]

    def bits(self, split: str) -> pd.DataFrame:
        """The rows of one split, with the loss in bits a byte."""
        rows = self.split(split)
        return rows.assign(bits=rows.loss / (math.log(2) * self.manifest["corpus"]["bytes_per_token"][split]))

    def curves(self, split: str = "val", bits: bool = False) -> dict[Arm, pd.DataFrame]:
        """Arm → losses [step, seed], in nats a token or in bits a byte."""
        rows = self.bits(split) if bits else self.split(split)
        found = dict(list(rows.groupby("arm")))
        column = "bits" if bits else "loss"
        return {arm: found[arm].pivot(index="step", columns="seed", values=column) for arm in self.kept}

    def ends(self, split: str = "val", bits: bool = False) -> dict[Arm, pd.Series]:
        """Arm → losses [seed] at the last evaluation."""
        return {arm: losses.iloc[-1] for arm, losses in self.curves(split, bits).items()}

    def losses(self, arm: Arm, seed: int, split: str = "val") -> pd.Series:
        """The losses of one run by step; infinite where they were not finite any more."""
        rows = self.split(split)
        kept = rows[(rows.arm == arm) & (rows.seed == seed)]
        return pd.Series(kept.loss.to_numpy(), index=kept.step.to_numpy()).fillna(math.inf)

    def capped(self, arm: Arm, seed: int) -> float:
        """The final loss of a run, or its first where that is lower: no loss counts for more than the untrained
        model's."""
        path = self.losses(arm, seed)
        return float(min(path.iloc[-1], path.iloc[0]))

    def each(self, function: Callable[[pd.DataFrame], Mapping[str, float]]) -> pd.DataFrame:
        """What a function makes of the rows of each run: its values by (arm, seed)."""
        groups = self.rows.groupby(["arm", "seed"])[["step", "split", "loss"]]
        return groups.apply(lambda rows: pd.Series(function(rows)))


def read(
    logs: str | Path,
    name: str,
    profile: str,
    arm: Key = by_name,
    *,
    more: Sequence[Plan] = (),
    order: Sequence[Arm] = (),
    diverged: bool = False,
    all_planned: bool = False,
) -> Arms:
    """Read an experiment. `more` are plans beside its own, such as those of its rule; `order` is the order of the arms
    where they are not numbers. Diverged runs are left out unless `diverged`; `all_planned` refuses a missing arm."""
    loaded = experiment.load(name)
    # The text of runs may be the preferred one or its stand-in, whichever would be read here.
    ignored = {"data"} if loaded.preferred(profile) else set()

    def settings(spec: Mapping[str, Any]) -> dict[str, Any]:
        return {part: value for part, value in spec.items() if part not in ignored}

    asked = [(plan, arm(plan.name, as_dict(plan.spec))) for plan in loaded.plans(profile)]
    own = {plan.name: its for plan, its in asked if its is not None}
    wanted = [*(plan for plan, its in asked if its is not None), *more]
    planned = {plan.name: settings(as_dict(plan.spec)) for plan in wanted}
    ended = log.read_runs(Path(logs), name, profile, list(planned))
    runs = [run for run in ended if settings(run.manifest["spec"]) == planned[run.name]]
    whole = [run for run in runs if diverged or run.manifest["status"] == "finished"]
    if not whole:
        others = len(ended) - len(runs)
        raise Incomplete(
            f"no run of {name} in profile {profile} has {'ended' if diverged else 'finished'}"
            + (f" with the settings that its file has now, and {others} with other ones" if others else "")
        )
    found: dict[Arm, dict[int, log.Run]] = {}
    for run in whole:
        spec = run.manifest["spec"]
        by_seed = found.setdefault(arm(run.name, spec), {})
        if other := by_seed.get(spec["seed"]):
            raise UserError(f"{name}, profile {profile}: {other.name} and {run.name} are the same arm and seed")
        by_seed[spec["seed"]] = run
    rank = {name: place for place, name in enumerate(order)}
    arms = sorted(found, key=lambda a: (rank.get(a, len(rank)), a))
    lost = sorted(set(own.values()) - found.keys())
    if lost and all_planned:
        raise Incomplete(f"{name}, profile {profile}: nothing has ended of {', '.join(map(str, lost))}")
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in found.values())))
    if not seeds:
        raise Incomplete(f"{name}, profile {profile}: no seed has ended in every arm: train the sweep to its end")
    dropped = sorted({seed for by_seed in found.values() for seed in by_seed} - set(seeds))
    kept = {name: {seed: found[name][seed] for seed in seeds} for name in arms}
    return Arms(name, profile, runs, kept, lost, dropped, whole)


def difference(values: Mapping[Arm, Any], arm: Arm, base: Arm, among: int = 1) -> stats.Estimate:
    """One arm minus another, seed by seed; `values` holds a row [seed] for each arm. It is one of `among` comparisons
    on one question, for which its interval is corrected."""
    return stats.estimate(np.asarray(values[arm]) - np.asarray(values[base])).among(among)


def pairing(values: Mapping[Arm, Any], arm: Arm, base: Arm) -> float | None:
    """How many times smaller the scatter of a difference is for being taken seed by seed: the standard deviation that
    it would have if the two arms had nothing in common, over the one that it has; None where it cannot be told."""
    mine, other = np.asarray(values[arm], dtype=float), np.asarray(values[base], dtype=float)
    paired = float((mine - other).std(ddof=1)) if len(mine) > 1 else 0.0
    return float(np.sqrt(mine.var(ddof=1) + other.var(ddof=1))) / paired if paired else None
