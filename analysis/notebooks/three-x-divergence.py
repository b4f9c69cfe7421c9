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
ill = arms.read(logs, "divergence", profile, diverged=True)
combined = arms.read(logs, "combinations", profile, diverged=True, all_planned=True)
for one in (ill, combined):
    results.provenance(one.runs)
counted = baselines.read(logs, ill)

# %% [markdown]
# ## A divergence, forced, and its cures
# A run has *diverged* if it ends above where it began, or not finite. It is *cured* if it ends within 0.25 nats of the
# run of its seed with a thousandth of the learning rate. Between the two it stays finite and learns less than it could.
#
# S1-21 is advice: try these three. A cure *works* if it cures more often than not, so a verdict needs an interval of
# its rate of success (exact, binomial) on one side of a half. It is advice for any divergence, so it is asked at each
# of several rates, of the seeds that diverge there: supported if at each rate one cure's interval lies above a half,
# refuted if at each rate all lie below. Half of a rate may be another rate, whose run then stands for both. (Until
# 2026-11-24 none cured in three seeds refuted it. That it takes several rates was added on 2026-11-29, when six seeds
# of one rate were known, of which no cure cured any; runs at the other rates came after that.)

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
if missing := [cure for cure in CURES if cure not in ill]:
    raise arms.Incomplete(f"nothing has ended of {', '.join(missing)}")
rate_of = {arm: run.manifest["spec"]["train"]["learning_rate"] for arm in ill for run in ill.kept[arm].values()}
constant = {rate: arm for arm, rate in rate_of.items() if arm.startswith(("half", "none"))}
ill_rate = rate_of["none"]
at_rate = {  # rate → cure → arm, of the rates that were tried with each cure
    rate: {"none": arm, "half": constant[rate / 2], **{c: c + arm.removeprefix("none") for c in ("bf16", "clip")}}
    for arm, rate in sorted(rate_of.items(), key=lambda one: one[1])
    if arm.startswith("none") and rate / 2 in constant
}
paths = {arm: {s: ill.losses(arm, s) for s in ill.seeds} for arm in ill}


def diverged(arm: str, seed: int) -> bool:
    """Whether a run ended above where it began."""
    return bool(paths[arm][seed].iloc[-1] > paths[arm][seed].iloc[0])


def cured(arm: str, seed: int) -> bool:
    """Whether a run ended near the one of its seed that learns."""
    return bool(paths[arm][seed].iloc[-1] <= paths["thousandth"][seed].iloc[-1] + WITHIN)


# %%
patients = {rate: [s for s in ill.seeds if diverged(by_cure["none"], s)] for rate, by_cure in at_rate.items()}
healed = {
    rate: {cure: sum(cured(by_cure[cure], s) for s in patients[rate]) for cure in THEIRS}
    for rate, by_cure in at_rate.items()
}
ENOUGH = next(n for n in range(1, 100) if stats.success(n, n)[0] > 0.5)  # patients before any outcome decides
shares = {
    rate: {cure: stats.success(found, len(patients[rate])) for cure, found in by_cure.items()}
    for rate, by_cure in healed.items()
    if len(patients[rate]) >= ENOUGH
}


def proven(rate: float, cure: str) -> bool:
    """Whether a cure works more often than not, as one of the note's, of which any may."""
    return stats.success(healed[rate][cure], len(patients[rate]), len(THEIRS))[0] > 0.5


few = ", ".join(f"{len(patients[rate])} at {rate:g}" for rate in at_rate if rate not in shares)
in_the_way = [
    f"it takes {ENOUGH} patients before any outcome could decide it, and there are {few}" if few else "",
    f"all are ill by one learning rate, {ill_rate:g}, and the advice is for any" if len(at_rate) == 1 else "",
]
word = (
    verdicts.SUPPORTED
    if all(any(proven(rate, cure) for cure in THEIRS) for rate in shares)
    else verdicts.REFUTED
    if all(high < 0.5 for by_cure in shares.values() for _, high in by_cure.values())
    else verdicts.INCONCLUSIVE
)
spared = {
    rate: {cure: sum(not diverged(by_cure[cure], s) for s in patients[rate]) for cure in THEIRS}
    for rate, by_cure in at_rate.items()
}

# %%
told = {
    rate: ", ".join(
        f"{CURES[cure]} {found} of {len(patients[rate])}"
        + (f" ({spared[rate][cure]} diverge no more)" if spared[rate][cure] > found else "")
        for cure, found in by_cure.items()
    )
    for rate, by_cure in healed.items()
}
all_spared = {spared[rate]["half"] == len(patients[rate]) for rate in at_rate}
most = max(high for by_cure in shares.values() for _, high in by_cure.values()) if shares else math.nan
results.claim(
    "S1-21",
    verdicts.Verdict(
        word,
        "Asked at each rate, of the seeds that diverge there: supported if at each the share of runs that one of the "
        "three cures lies above a half, the whole interval, corrected for three; refuted if at each those of all lie "
        f"below. Cured is a run that ends within {WITHIN:g} nats of one at {rate_of['thousandth']:g}.",
        tuple(
            Measure(f"patients cured at {rate:g}, {CURES[cure]}", found, ABOVE, len(patients[rate]) / 2)
            for rate, by_cure in healed.items()
            for cure, found in by_cure.items()
        ),
    ).unless("; ".join(filter(None, in_the_way))),
    n=min(map(len, patients.values())),
    reason="cured "
    + "; ".join(f"at {rate:g}: {each}" for rate, each in told.items())
    + (f". No interval of a share reaches above {most:.0%}" if shares else "")
    + f". All rates are at least {min(at_rate) / rate_of['thousandth']:,.0f} times one that learns. A run that "
    "diverges no more is not cured, as it may learn little"
    + ("; by that alone the rates do not agree" if len(all_spared) > 1 else ""),
)


# %%
def shown_before(rate: float) -> set[str]:
    """The arms that stand in the table at lower rates: half of a rate may be one of these."""
    return {arm for lower, by_cure in at_rate.items() if lower < rate for arm in by_cure.values()}


rows = [
    {
        "change": f"{CURES[cure]}, {rate:g}" + (" (the runs above)" if arm in shown_before(rate) else ""),
        "diverged": f"{sum(diverged(arm, s) for s in ill.seeds)} of {len(ill.seeds)}",
        "cured": f"{sum(cured(arm, s) for s in ill.seeds)} of {len(ill.seeds)}",
        "loss at the end": " / ".join(
            "not finite" if math.isinf(path.iloc[-1]) else f"{path.iloc[-1]:.2f}" for path in paths[arm].values()
        ),
    }
    for rate, by_cure in at_rate.items()
    for cure, arm in (by_cure | ({c: c for c in CURES} if rate == ill_rate else {})).items()
]
results.table(
    "cures",
    counted.below(pd.DataFrame(rows), "loss at the end", digits=2),
    caption="A constant learning rate, float32, no clipping, and one change at a time. Validation loss in nats per "
    f"character, seed by seed. Cured is what ends within {WITHIN:g} nats of a thousandth of {ill_rate:g}, so that one "
    f"cures by definition. Profile {profile}.{counted.note}",
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
    caption=f"Every run of {ill.count} at a rate of {ill_rate:g}; the dotted line is where all begin. Profile "
    f"{profile}.{counted.note}",
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
results.number("ill-spared", spared[min(at_rate)]["half"])
results.number("ill-spared-most", spared[max(at_rate)]["half"])
results.number("ill-most", len(patients[max(at_rate)]))
halved = at_rate[min(at_rate)]["half"]
for name, ends in (
    ("start", [paths[halved][s].iloc[0] for s in patients[min(at_rate)]]),
    ("spared", [paths[halved][s].iloc[-1] for s in patients[min(at_rate)]]),
    ("learnt", [paths["thousandth"][s].iloc[-1] for s in patients[min(at_rate)]]),
):
    results.number(f"ill-{name}-loss", float(np.mean(ends)), "nats", digits=2)
results.number("ill-patients", len(patients[min(at_rate)]))
results.number("ill-rates", len(at_rate))
results.number("ill-lowest", min(at_rate))
results.number("ill-highest", max(at_rate))
results.save()
