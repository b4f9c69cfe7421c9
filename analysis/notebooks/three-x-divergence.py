# %% [markdown]
# # Does a 3× MLP buy 15%? A divergence and every combination
#
# The rest of what the note on a 3× MLP says about training: that a divergence has three cures, and that everything in
# it combines. Seeds are paired. All intervals are 95% intervals over seeds.

# %% tags=["parameters"]
experiments = ["divergence", "combinations"]
logs = "logs"
profile = "laptop"
output = "build/analysis/three-x-divergence"

# %%
import math

import numpy as np
import pandas as pd

from analysis.study import arms, baselines, stats, verdicts
from analysis.study.figures import Traces
from analysis.study.results import Results
from analysis.study.verdicts import ABOVE, Measure
from runner.plan.spec import identity

WITHIN = 0.25  # nats: a loss this near to that of a run which learns counts as cured
results = Results(output)
ill, combined = (arms.read(logs, name, profile, diverged=True, all_planned=True) for name in experiments)
for one in (ill, combined):
    results.provenance(one.runs)
counted = baselines.read(logs, ill)

# %% [markdown]
# ## A divergence, forced, and its cures
# A run has *diverged* if it ends above where it began, or not finite. It is *cured* if it ends within 0.25 nats of the
# run of its seed with a thousandth of the learning rate. Between the two it stays finite and learns next to nothing.
#
# S1-21 is advice: try these three. A cure *works* if it cures more often than not, so a verdict needs an interval of
# its rate of success (exact, binomial) on one side of a half: supported if one cure's lies above, refuted if all lie
# below. It is advice for any divergence, so it takes patients made ill by more than one learning rate. (Until
# 2026-11-24 none cured in three seeds refuted it. That it takes several rates was added on 2026-11-29, when six seeds
# of one rate were known, of which no remedy cured any.)

# %%
CURES = {
    "none": "forced",
    "half": "half the rate",
    "bf16": "bf16",
    "clip": "clipping at 1",
    "decay": "decay to zero",
    "thousandth": "a thousandth",
}
THEIRS = ("half", "bf16", "clip")
many = len(ill.seeds)
paths = {cure: {s: ill.losses(cure, s) for s in ill.seeds} for cure in CURES}
diverged = {cure: sum(path.iloc[-1] > path.iloc[0] for path in by_seed.values()) for cure, by_seed in paths.items()}
cured = {
    cure: sum(by_seed[s].iloc[-1] <= paths["thousandth"][s].iloc[-1] + WITHIN for s in ill.seeds)
    for cure, by_seed in paths.items()
}
ill_rates = {run.manifest["spec"]["train"]["learning_rate"] for run in ill.kept["none"].values()}
ill_rate = max(ill_rates)
one_rate = "" if len(ill_rates) > 1 else f"all are ill by one learning rate, {ill_rate:g}, and the advice is for any"
forced = "" if diverged["none"] == many else f"Only {diverged['none']} of {many} diverged to begin with"
told = {c: " (95% interval of the share: {:.0%} to {:.0%})".format(*stats.success(int(cured[c]), many)) for c in THEIRS}
rates = {cure: stats.success(int(cured[cure]), many) for cure in THEIRS}
ENOUGH = next(n for n in range(1, 100) if stats.success(n, n)[0] > 0.5)  # seeds before any outcome decides
too_few = f"it takes {ENOUGH} seeds before any outcome could decide it, and there are {many}" if many < ENOUGH else ""
word = (
    verdicts.SUPPORTED
    if any(low > 0.5 for low, _ in rates.values())
    else verdicts.REFUTED
    if all(high < 0.5 for _, high in rates.values())
    else verdicts.INCONCLUSIVE
)
results.claim(
    "S1-21",
    verdicts.Verdict(
        word,
        "Supported if the share of runs that one of the three cures lies above a half, the whole interval; refuted if "
        f"those of all lie below. Cured is a run that ends within {WITHIN:g} nats of one at a thousandth of the rate.",
        tuple(Measure(f"seeds cured, {CURES[c]}", int(cured[c]), ABOVE, many / 2) for c in THEIRS),
    ).unless(forced or too_few or one_rate),
    n=many,
    reason="; ".join(f"{CURES[c]}: {diverged[c]} of {many} still diverge, {cured[c]} cured{told[c]}" for c in THEIRS)
    + (f". {forced}" if forced else ""),
)

# %%
results.table(
    "cures",
    counted.below(
        pd.DataFrame(
            [
                {
                    "change": label,
                    "diverged": f"{diverged[cure]} of {many}",
                    "cured": f"{cured[cure]} of {many}",
                    "loss at the end": " / ".join(
                        "not finite" if math.isinf(path.iloc[-1]) else f"{path.iloc[-1]:.2f}"
                        for path in paths[cure].values()
                    ),
                }
                for cure, label in CURES.items()
            ]
        ),
        "loss at the end",
        digits=2,
    ),
    caption=f"A constant learning rate of {ill_rate:g}, float32, no clipping, and one change at a time. Validation "
    f"loss in nats per character, seed by seed. Profile {profile}.{counted.note}",
)
results.figure(
    "divergence",
    Traces(
        "A divergence and its cures",
        "step",
        "loss (nats per character, log scale)",
        lines={label: {f"seed {s}": path for s, path in paths[cure].items()} for cure, label in CURES.items()},
        log=True,
        start=float(np.mean([path.iloc[0] for path in paths["none"].values()])),
        centre=stats.geometric,
        width=1.2,
        alpha=0.9,
        levels=counted.levels(),
    ),
    alt="Validation loss against step of a run that is forced to diverge and of five changes to it.",
    caption=f"Every run of {ill.count}; the dotted line is where all begin. Profile {profile}." + counted.note,
    experiment="divergence",
)

# %% [markdown]
# ## Every combination
# S1-24: a combination *trains* if it finishes and ends at least half a nat below where it began. S1-23: a model whose
# factor is left out has the metrics of one with factor 4, to the last digit, and the same identity.

# %%
FALL = 0.5
short = combined.spec
drops = {arm: float(path.iloc[0] - path.iloc[-1]) for arm in combined for path in [combined.losses(arm, 0)]}
training, lowest = sum(drop >= FALL for drop in drops.values()), min(drops.values())
results.claim(
    "S1-24",
    verdicts.fact(
        training == len(drops),
        "Supported if in every combination the loss falls by at least half a nat.",
        Measure("smallest fall of the loss", lowest, ABOVE, FALL),
    ),
    n=1,
    reason=f"{training} of {len(drops)} combinations train for {short['train']['steps']} steps, with "
    f"{short['model']['n_layer']} layers; the smallest fall of the loss is {lowest:.2f} nats",
)


def same(one: str, other: str) -> bool:
    """Whether two arms are the same run by identity, and left the same metrics."""
    runs = combined.kept[one][0], combined.kept[other][0]
    identities = {identity(run.manifest["spec"], "") for run in runs}
    return len(identities) == 1 and runs[0].metrics().equals(runs[1].metrics())


twins = [same(arm, arm.replace("default-", "r4-", 1)) for arm in combined if arm.startswith("default-")]
results.claim(
    "S1-23",
    verdicts.fact(
        all(twins),
        "Supported if every model without a factor has the identity and the metrics of its twin with a factor of 4.",
        Measure("pairs that are the same run", sum(twins), 0, len(twins)),
    ),
    n=1,
    reason=f"{sum(twins)} of {len(twins)} pairs are the same run, to the last digit of every logged loss and gradient "
    "norm",
)

# %%
results.number("combinations", len(drops))
results.number("ill-rate", ill_rate)
results.save()
