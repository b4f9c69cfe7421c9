# %% [markdown]
# # Does a 3× MLP buy 15%? What its norms do
#
# The note on a 3× MLP says that its norms make training steadier. Seeds are paired. All intervals are 95% Student's t
# intervals over seeds.

# %% tags=["parameters"]
experiments = ["stability"]
logs = "logs"
profile = "laptop"
output = "build/analysis/three-x-norms"

# %%
import math
from itertools import product

import numpy as np
import pandas as pd

from analysis.study import arms, baselines, grid, interest, milestones, stats, verdicts, wording
from analysis.study.figures import Dots, Sweep
from analysis.study.results import Results
from analysis.study.verdicts import BELOW, Measure

WITHIN = 0.25  # nats: a loss this near to the best one still counts as good
results = Results(output)
stability = arms.read(logs, "stability", profile, diverged=True, all_planned=True)
results.provenance(stability.runs)
counted = baselines.read(logs, stability)

# %% [markdown]
# ## Which learning rates still work
# *Sensitivity* of a kind of model: how far its final losses over the learning rates lie above its own best on average
# (`analysis.study.grid`). *Largest that works*: the largest rate up to which every final loss is within a quarter of a
# nat of its own best.
#
# The note has both norms on, and each may do something else beside the other than alone. So a norm's effect is taken
# twice: in the note's own configuration, with the other norm on, where the verdict is taken, and alone.
#
# S1-19: the hybrid post-norm *stabilises* if sensitivity is lower with it, and the loss, too, at the rates that are
# higher than the best one of the model without it: sensitivity alone is also lower where the best loss is worse. S1-20:
# QK norm *improves training* if sensitivity or the best loss is lower with it and neither is higher. Neither is decided
# by runs that are about nothing yet: where the loss still falls by more than the smallest difference of interest in the
# last part of a run, where a kind has its best loss at an end of the grid of learning rates, or where its best model is
# worse than counting single characters. (Until 2026-11-24 both effects were averages over the other norm, and nothing
# stood in their way; until 2026-11-29 sensitivity alone decided S1-19. All of this was changed with the results known.)

# %%
KINDS = {"none": "neither", "qk": "QK norm", "post": "post-norm", "both": "both"}
tried = grid.of(stability, KINDS)
rates, final, best, sensitivity = tried.rates, tried.final, tried.best, tried.sensitivity


def largest(ok: np.ndarray) -> float:
    """The largest rate up to which all are good, by the rates that are."""
    return rates[max(0, int(np.argmin([*ok, False])) - 1)] if ok[0] else math.nan


works = {kind: [largest(ok) for ok in values <= best[kind][:, None] + WITHIN] for kind, values in final.items()}
PAIRS = {"post": (("both", "qk"), ("post", "none")), "qk": (("both", "post"), ("qk", "none"))}  # beside, alone


def effect(values: dict[str, np.ndarray], norm: str, alone: bool = False) -> stats.Estimate:
    """With the norm minus without it, by seed: beside the other one, as in the note, or alone."""
    on, off = PAIRS[norm][alone]
    return stats.estimate(values[on] - values[off])


def obstacles() -> list[str]:
    """What keeps these runs from being about anything yet."""
    paths = {
        kind: pd.DataFrame({s: stability.losses(f"{kind}-lr{rates[at]:g}", s) for s in stability.seeds}).mean(axis=1)
        for kind, at in tried.at_best.items()
    }
    fall = min(float(path.iloc[-2] - path.iloc[-1]) for path in paths.values())
    step = next(iter(paths.values())).index
    unigram = counted.levels().get("unigram", math.inf)
    found = []
    if fall > interest.smallest(stability):
        found.append(f"every kind's loss still falls by at least {fall:.2f} nats from step {step[-2]} to {step[-1]}")
    if tried.edge:
        kinds = ", ".join(KINDS[kind] for kind in tried.edge)
        found.append(f"the grid of learning rates does not bracket the best one ({kinds})")
    nothing = [KINDS[kind] for kind, mean in tried.means.items() if mean.min() > unigram]
    if nothing:
        found.append(f"the best model is worse than counting single characters ({', '.join(nothing)})")
    return found


swept = {kind: [stability.kept[f"{kind}-lr{lr:g}"][s] for lr, s in product(rates, stability.seeds)] for kind in KINDS}
logits = {kind: [milestones.largest_logit(run) for run in runs] for kind, runs in swept.items()}
spikes = {kind: float(np.median([milestones.spike(run) for run in runs])) for kind, runs in swept.items()}
logit = {"without": [*logits["none"], *logits["post"]], "with": [*logits["qk"], *logits["both"]]}

# %%
GRID = f"{len(rates)} learning rates from {rates[0]:g} to {rates[-1]:g}, {stability.count}, profile {profile}"
in_the_way = "; ".join(obstacles())
RUNS = f"{in_the_way}. {GRID}" if in_the_way else GRID
BESIDE = {"post": "beside QK norm, as in the note", "qk": "beside post-norm, as in the note"}


def sensitivities(norm: str) -> Measure:
    """What the norm does to sensitivity, in the note's configuration."""
    return Measure(f"sensitivity {BESIDE[norm]}, with minus without", effect(sensitivity, norm), BELOW)


def both_ways(norm: str) -> str:
    """The effects of a norm on sensitivity and best loss, alone."""
    alone = [effect(values, norm, alone=True).signed(3) for values in (sensitivity, best)]
    return f"Alone it changes sensitivity by {alone[0]} and the best loss by {alone[1]} nats"


off = PAIRS["post"][False][1]
high = {kind: values[:, min(tried.at_best[off] + 1, len(rates) - 1) :].mean(axis=1) for kind, values in final.items()}
too_high = f"mean loss at rates above {rates[tried.at_best[off]]:g}, the best one without it, with minus without"
verdict = verdicts.every(sensitivities("post"), Measure(too_high, effect(high, "post"), BELOW)).unless(in_the_way)
results.claim(
    "S1-19",
    verdict,
    **verdict.leading(),
    unit="nats of sensitivity to the learning rate, with minus without",
    reason=f"{RUNS}; {verdict.told()}. Beside QK norm its best loss changes by {effect(best, 'post').signed(3)} nats. "
    f"{both_ways('post')}",
    seeds=stability.seeds,
)
verdict = verdicts.some(
    Measure(f"best loss {BESIDE['qk']}, with minus without", effect(best, "qk"), BELOW), sensitivities("qk")
).unless(in_the_way)
results.claim(
    "S1-20",
    verdict,
    **verdict.leading(),
    unit="nats of its best loss, with minus without",
    reason=f"{RUNS}. Sensitivity changes by {effect(sensitivity, 'qk').signed(3)} nats. "
    f"{both_ways('qk')}. The largest attention logit at the end is {np.median(logit['without']):.1f} without and "
    f"{np.median(logit['with']):.1f} with it, in the median over runs",
    seeds=stability.seeds,
)
results.table(
    "norms",
    pd.DataFrame(
        [
            {
                "what is switched on": {"post": "post-norm", "qk": "QK norm"}[norm],
                "where": "alone" if alone else BESIDE[norm],
                "best loss": effect(best, norm, alone).among(4).signed(3),
                "sensitivity": effect(sensitivity, norm, alone).among(4).signed(3),
            }
            for norm in PAIRS
            for alone in (False, True)
        ]
    ),
    caption=f"With minus without, in nats per character, paired by seed, 95% intervals"
    f"{wording.corrected(4)} a column; negative is better. {GRID}.",
)

# %%
results.table(
    "stability",
    counted.below(
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
        "best loss",
    ),
    caption="Losses in nats per character. Sensitivity with its 95% interval. Largest rate up to which the final loss "
    f"stays within {WITHIN} nats of its own best, seed by seed. Spikes: largest gradient norm over the median, after "
    "a fifth of the steps, median over runs. Attention logit: the largest of the evaluation at the end, by size, "
    f"median over runs, and the largest of them. {GRID}.{counted.note}",
)
results.figure(
    "stability",
    [
        Sweep(
            "Loss against learning rate",
            "largest learning rate (log scale)",
            "final loss (nats per character)",
            at=rates,
            lines={label: [stats.estimate(column) for column in final[kind].T] for kind, label in KINDS.items()},
            levels=counted.levels(),
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
    caption=f"Mean and 95% interval; small dots are seeds. {GRID}.{counted.note}",
    experiment="stability",
)

# %%
results.number("rates", len(rates))
results.number("swept", len(KINDS) * len(rates))
results.number("too-high", sum(len(rates) - 1 - tried.at_best[kind] for kind in KINDS))
results.number("stability-steps", stability.spec["train"]["steps"], "steps")
for norm in PAIRS:
    for name, alone in (("beside", False), ("alone", True)):
        results.estimate(f"{norm}-best-{name}", effect(best, norm, alone), "nats", digits=3)
        results.estimate(f"{norm}-sensitivity-{name}", effect(sensitivity, norm, alone), "nats", digits=3)
results.estimate("both-best", stats.estimate(best["both"] - best["none"]), "nats", digits=3)
results.number("obstacles", len(obstacles()))
best_of_all = min(KINDS, key=lambda kind: float(tried.means[kind].min()))
rate = rates[tried.at_best[best_of_all]]
counted.report(results, stability.ends()[f"{best_of_all}-lr{rate:g}"].to_numpy(), "nats", prefix="norms-")
for kind, found in logit.items():
    results.number(f"logit-{kind}", float(np.median(found)), digits=1)
    results.number(f"logit-{kind}-most", max(found), digits=1)
for kind, those in (("without", ("none", "post")), ("with", ("qk", "both"))):
    at_best = [np.reshape(logits[one], (len(rates), -1))[tried.at_best[one]] for one in those]
    results.number(f"logit-{kind}-best", float(np.median(at_best)), digits=1)
results.save()
