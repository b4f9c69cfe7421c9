"""How long a run's training steps took, from its log of the wall clock.

Repetitions of one sitting share what else the machine was doing, its clock and its warmth, so an interval over them is
about that sitting. Seconds decide a claim only where they were measured in several sittings, hours apart: then a
sitting counts as one observation.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import pandas as pd

from analysis.study import stats
from analysis.study.arms import Arm, Arms
from runner.evidence.log import Run
from runner.plan.experiment import APART

ENOUGH = 3  # sittings, before their scatter says anything


def _stretches(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The steps at which the logged stretches of training ended, and the seconds a step of each."""
    timing = run.timing()
    trained = timing["phase"].to_numpy() == "train"
    ends, seconds = (timing[name].to_numpy()[trained] for name in ("step", "seconds"))
    return ends, seconds / np.diff(ends, prepend=0)


def steps(run: Run) -> pd.Series:
    """Seconds a step of each logged stretch of training, by the step at which it ended. The first one compiles."""
    ends, each = _stretches(run)
    return pd.Series(each, index=ends)


def usual(run: Run) -> float:
    """The median of the stretches after the first, if there are others, so that compiling, and a neighbour's burst,
    count for nothing."""
    _, each = _stretches(run)
    return float(np.median(each[1:] if len(each) > 1 else each))


def spent(run: Run) -> float:
    """Seconds that the run took in all, evaluation and saving included."""
    return float(run.timing().to_pandas().seconds.sum())


def each(arms: Arms) -> dict[Arm, dict[int, float]]:
    """Arm → seed → the usual seconds a step."""
    return {arm: {seed: usual(run) for seed, run in by_seed.items()} for arm, by_seed in arms.kept.items()}


def sittings(arms: Arms) -> list[list[int]]:
    """The seeds by sitting: a new one begins where nothing was started for `APART`."""
    began = {
        seed: min(datetime.fromisoformat(by_seed[seed].manifest["started"]) for by_seed in arms.kept.values())
        for seed in arms.seeds
    }
    found: list[list[int]] = []
    for seed in sorted(arms.seeds, key=lambda s: began[s]):
        if not found or began[seed] - began[found[-1][-1]] > APART:
            found.append([])
        found[-1].append(seed)
    return found


def obstacle(arms: Arms) -> str:
    """Why seconds of these runs decide nothing; empty where there are sittings enough."""
    there = len(sittings(arms))
    if there >= ENOUGH:
        return ""
    return (
        f"all {len(arms.seeds)} repetitions come from {there} sitting{'s' if there > 1 else ''}, and it takes {ENOUGH} "
        "to see by how much sittings differ"
    )


def where(arms: Arms, profile: str) -> str:
    """What was timed, for captions: layers, tokens a step, kind of device, profile."""
    model, sessions = arms.spec["model"], [session for run in arms.runs for session in run.manifest["sessions"]]
    on_cpu = all(session["environment"]["device"] == "cpu" for session in sessions)
    return (
        f"{model['n_layer']} layers, {arms.spec['train']['batch_size']} × {model['block_size']} tokens a step, on "
        f"{'a processor' if on_cpu else 'an accelerator'}, profile {profile}"
    )


def taken(arms: Arms) -> str:
    """How the seconds were taken, for captions: over repetitions or over sittings."""
    there = len(sittings(arms))
    if there >= ENOUGH:
        return f"Mean over {there} sittings with its 95% interval."
    many = "one sitting" if there == 1 else f"{there} sittings"
    return f"Mean, lowest and highest of {len(arms.seeds)} repetitions in turn, in {many}: no interval."


def faster(
    paces: Mapping[Arm, Mapping[int, float]], arm: Arm, than: Arm, sittings: Sequence[Sequence[int]] = ()
) -> stats.Estimate:
    """How many more steps a second an arm takes than another, as a share, paired by seed; over the means of sittings
    where there are enough of them, else over seeds."""
    gains = {seed: paces[than][seed] / paces[arm][seed] - 1 for seed in paces[arm]}
    if len(sittings) < ENOUGH:
        return stats.estimate(list(gains.values()))
    return stats.estimate([float(np.mean([gains[seed] for seed in seeds])) for seeds in sittings], of="sitting")
