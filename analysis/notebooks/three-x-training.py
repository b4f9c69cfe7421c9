# %% [markdown]
# # Does a 3× MLP buy 15%? Norms, a divergence and every combination
#
# What else the note on a 3× MLP says about training: that its norms make it steadier, that a divergence has three
# cures, and that everything in it combines. Seeds are paired. All intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
experiments = ["stability", "divergence", "combinations"]
logs = "logs"
profile = "laptop"
output = "build/analysis/three-x-training"

# %%
import math
from itertools import product

import numpy as np
import pandas as pd

from analysis.study import arms, stats, verdicts
from analysis.study.figures import Dots, Sweep, Traces
from analysis.study.results import Results
from analysis.study.verdicts import ABOVE, BELOW, Measure
from runner.evidence.log import Run
from runner.plan.spec import identity

WITHIN = 0.25  # nats: a loss this near to the best one still counts as good
results = Results(output)
stability, ill, combined = (arms.read(logs, name, profile, diverged=True, all_planned=True) for name in experiments)
for one in (stability, ill, combined):
    results.provenance(one.runs)

# %% [markdown]
# ## Which learning rates still work
# *Sensitivity* of a kind of model, by seed: how far the final losses over the grid of learning rates lie above its own
# best on average, where no loss counts for more than the untrained model's. *Largest that works*: the largest rate up
# to which every final loss is within a quarter of a nat of its own best.
#
# S1-19: the hybrid post-norm *stabilises* if sensitivity is lower with it, on average over QK norm off and on. S1-20:
# QK norm *improves training* if sensitivity or the best loss is lower with it and neither is higher.

# %%
KINDS = {"none": "neither", "qk": "QK norm", "post": "post-norm", "both": "both"}
grid = sorted({run.manifest["spec"]["train"]["learning_rate"] for run in stability.runs})


def capped(kind: str, rate: float, seed: int) -> float:
    """The final loss of a run, or its first where that is lower."""
    path = stability.losses(f"{kind}-lr{rate:g}", seed)
    return min(path.iloc[-1], path.iloc[0])


def largest(ok: np.ndarray) -> float:
    """The largest rate up to which all are good, by the rates that are."""
    return grid[max(0, int(np.argmin([*ok, False])) - 1)] if ok[0] else math.nan


final = {
    kind: np.array([[capped(kind, lr, s) for lr in grid] for s in stability.seeds]) for kind in KINDS
}  # [seed, rate]
best = {kind: values.min(axis=1) for kind, values in final.items()}
sensitivity = {kind: (values - best[kind][:, None]).mean(axis=1) for kind, values in final.items()}
works = {kind: [largest(ok) for ok in values <= best[kind][:, None] + WITHIN] for kind, values in final.items()}
POST, QK = [("post", "none"), ("both", "qk")], [("qk", "none"), ("both", "post")]


def effect(values: dict[str, np.ndarray], pairs: list[tuple[str, str]]) -> stats.Estimate:
    """With minus without, averaged over the pairs, by seed."""
    return stats.estimate(np.mean([values[on] - values[off] for on, off in pairs], axis=0))


def spike(run: Run) -> float:
    """The largest logged gradient norm after a fifth of the steps, over their median."""
    rows = run.metrics().to_pandas()
    kept = rows[(rows.split == "batch") & (rows.step >= rows.step.max() / 5)].grad_norm
    return float(kept.max() / kept.median())


def largest_logit(run: Run) -> float:
    """The largest attention logit of a run's last evaluation."""
    seen = run.probes().to_pandas().query("probe == 'attention_logit' and split == 'val'")
    return float(seen[seen.step == seen.step.max()].value.max())


swept = {kind: [stability.kept[f"{kind}-lr{lr:g}"][s] for lr, s in product(grid, stability.seeds)] for kind in KINDS}
logits = {kind: [largest_logit(run) for run in runs] for kind, runs in swept.items()}
spikes = {kind: float(np.median([spike(run) for run in runs])) for kind, runs in swept.items()}
logit = {"without": [*logits["none"], *logits["post"]], "with": [*logits["qk"], *logits["both"]]}

# %%
GRID = f"{len(grid)} learning rates from {grid[0]:g} to {grid[-1]:g}, {stability.count}, profile {profile}"
steadier, post_best = effect(sensitivity, POST), effect(best, POST)
verdict = verdicts.every(Measure("sensitivity to the learning rate, with minus without", steadier, BELOW))
results.claim(
    "S1-19",
    verdict,
    **verdict.leading(),
    unit="nats of sensitivity to the learning rate, with minus without",
    reason=f"{GRID}. Its best loss changes by {post_best.signed(3)} nats",
    seeds=stability.seeds,
)
alone, beside = (effect(best, [pair]) for pair in QK)
verdict = verdicts.some(
    Measure("best loss, with minus without", effect(best, QK), BELOW),
    Measure("sensitivity to the learning rate, with minus without", effect(sensitivity, QK), BELOW),
)
results.claim(
    "S1-20",
    verdict,
    **verdict.leading(),
    unit="nats of its best loss, with minus without",
    reason=f"{GRID}. {alone.signed(3)} by itself and {beside.signed(3)} beside post-norm. "
    f"Sensitivity changes by {effect(sensitivity, QK).signed(3)} nats. The largest "
    f"attention logit at the end is {np.median(logit['without']):.1f} without and {np.median(logit['with']):.1f} with "
    "it, in the median over runs",
    seeds=stability.seeds,
)

# %%
results.table(
    "stability",
    pd.DataFrame(
        [
            {
                "norms": label,
                "best loss": f"{best[kind].mean():.3f}",
                "sensitivity": str(stats.estimate(sensitivity[kind])),
                "largest rate that works": " / ".join(
                    "none" if math.isnan(rate) else f"{rate:g}" for rate in works[kind]
                ),
                "gradient spikes": f"{spikes[kind]:.1f}",
                "attention logit": f"{np.median(logits[kind]):.1f}, up to {max(logits[kind]):.1f}",
            }
            for kind, label in KINDS.items()
        ]
    ),
    caption="Losses in nats per character. Sensitivity with its 95% interval. Largest rate up to which the final loss "
    f"stays within {WITHIN} nats of its own best, seed by seed. Spikes: largest gradient norm over the median, after "
    "a fifth of the steps, median over runs. Attention logit: the largest of the evaluation at the end, by size, "
    f"median over runs, and the largest of them. {GRID}.",
)
results.figure(
    "stability",
    [
        Sweep(
            "Loss against learning rate",
            "largest learning rate (log scale)",
            "final loss (nats per character)",
            at=grid,
            lines={label: [stats.estimate(column) for column in final[kind].T] for kind, label in KINDS.items()},
        ),
        Dots(
            "Sensitivity to it",
            y="mean loss above its best (nats)",
            dots={label: stats.estimate(sensitivity[kind]) for kind, label in KINDS.items()},
            seeds="beside",
            named=stability.seeds,
        ),
    ],
    alt=[
        "Final validation loss against the largest learning rate, with neither norm, with each, and with both.",
        "Sensitivity to the learning rate of the four kinds, each seed and the mean.",
    ],
    caption=f"Mean and 95% interval; small dots are seeds. {GRID}.",
    experiment="stability",
)

# %% [markdown]
# ## A divergence, forced, and its cures
# A run has *diverged* if it ends above where it began, or not finite. It is *cured* if it ends within 0.25 nats of the
# run of its seed with a thousandth of the learning rate. Between the two it stays finite and learns next to nothing.
#
# S1-21: holds if one of the note's three cures (half the rate, bf16, clipping) cures every seed; does not if none of
# them cures any.

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
ill_rate = ill.kept["none"][ill.seeds[0]].manifest["spec"]["train"]["learning_rate"]
forced = "" if diverged["none"] == many else f"Only {diverged['none']} of {many} diverged to begin with"
word = (
    "supported"
    if any(cured[c] == many for c in THEIRS)
    else "refuted"
    if not any(cured[c] for c in THEIRS)
    else "inconclusive"
)
results.claim(
    "S1-21",
    verdicts.Verdict(
        word,
        "Supported if one of the three cures cures every seed, refuted if none of them cures any.",
        tuple(Measure(f"seeds cured, {CURES[c]}", int(cured[c]), ABOVE, many) for c in THEIRS),
    ).unless(forced),
    n=many,
    reason="; ".join(f"{CURES[c]}: {diverged[c]} of {many} still diverge, {cured[c]} cured" for c in THEIRS)
    + (f". {forced}" if forced else ""),
)

# %%
results.table(
    "cures",
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
    caption=f"A constant learning rate of {ill_rate:g}, float32, no clipping, and one change at a time. Validation "
    f"loss in nats per character, seed by seed. Profile {profile}.",
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
    ),
    alt="Validation loss against step of a run that is forced to diverge and of five changes to it.",
    caption=f"Every run of {ill.count}; the dotted line is where all begin. Profile {profile}.",
    experiment="divergence",
)

# %% [markdown]
# ## Every combination
# S1-24: a combination *trains* if it finishes and ends at least half a nat below where it began. S1-23: a model whose
# factor is left out has the metrics of one with factor 4, to the last digit, and the same identity.

# %%
FALL = 0.5
drops = {arm: float(path.iloc[0] - path.iloc[-1]) for arm in combined for path in [combined.losses(arm, 0)]}
training = sum(drop >= FALL for drop in drops.values())
lowest = min(drops.values())
results.claim(
    "S1-24",
    verdicts.fact(
        training == len(drops),
        "Supported if in every combination the loss falls by at least half a nat.",
        Measure("smallest fall of the loss", lowest, ABOVE, FALL),
    ),
    n=1,
    reason=f"{training} of {len(drops)} combinations train; the smallest fall of the loss is {lowest:.2f} nats",
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
results.number("rates", len(grid))
results.estimate("post-best", post_best, "nats", digits=2)
results.estimate("qk-best-alone", alone, "nats", digits=3)
for kind, found in logit.items():
    results.number(f"logit-{kind}", float(np.median(found)), digits=1)
    results.number(f"logit-{kind}-most", max(found), digits=1)
results.number("combinations", len(drops))
results.number("ill-rate", ill_rate)
results.save()
