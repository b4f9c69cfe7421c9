# %% [markdown]
# # What softmax assumes, and what it does not
#
# A study lists what stands behind softmax: the outcome is one of several classes, classes are independent, scores have
# Gumbel noise, it is *scale invariant*, and a temperature adjusts it. Each is a short calculation, and one is a draw of
# random numbers.

# %% tags=["parameters"]
experiments = []
logs = "logs"
profile = "laptop"
output = "build/analysis/softmax-notes"

# %%
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.study import verdicts
from analysis.study.figures import Curves, Groups
from analysis.study.results import Results
from analysis.study.softmax import gumbel_shares, softmax
from analysis.study.stats import estimate
from analysis.study.verdicts import ABOVE, BELOW, Measure

NAMES, SCORES = ["a", "b", "c", "d"], np.array([2.0, 1.0, 0.0, -1.0])
DRAWS, SAMPLES = 10_000, 20
NEAR, EXACT = 0.005, 1e-12
results = Results(output)
usual = softmax(SCORES)

# %% [markdown]
# ## Scores with Gumbel noise
# Add independent Gumbel noise to each score and take the largest: each class then wins with the probability that
# softmax gives it. Twenty samples of 10,000 draws each, and the 95% interval over the samples of how far the share of a
# class lies from its probability. The identity holds here if every interval lies within 0.005 of zero.

# %%
shares = np.array([gumbel_shares(SCORES, DRAWS, seed) for seed in range(SAMPLES)])  # [sample, class]
apart = {name: estimate(shares[:, k] - usual[k]) for k, name in enumerate(NAMES)}
gumbel = [
    Measure(f"share of {name} minus its probability", found, side, -side * NEAR)
    for name, found in apart.items()
    for side in (ABOVE, BELOW)
]
results.table(
    "gumbel",
    pd.DataFrame(
        [
            {
                "class": name,
                "score": SCORES[k],
                "softmax": f"{usual[k]:.4f}",
                "share of the draws": f"{shares[:, k].mean():.4f}",
                "difference": apart[name].signed(),
            }
            for k, name in enumerate(NAMES)
        ]
    ),
    caption=f"The largest of scores with Gumbel noise: {SAMPLES} samples of {DRAWS:,} draws, with 95% intervals over "
    "the samples. No run is needed.",
    formats={"score": "g"},
)

# %% [markdown]
# ## Shifts, scales, temperatures, other classes
# What changes when all scores are shifted by the same amount, when they are multiplied by a factor, when they are
# divided by a temperature, and when a class is added.

# %%
amounts = np.linspace(1, 8, 57)
top = {
    "plus x": [softmax(SCORES + x).max() for x in amounts],
    "times x": [softmax(SCORES * x).max() for x in amounts],
}
shifted = max(np.abs(softmax(SCORES + x) - usual).max() for x in amounts)
scaled = float(np.abs(softmax(2 * SCORES) - usual).max())
temperatures = np.geomspace(0.1, 50, 80)
heated = np.array([softmax(SCORES, t) for t in temperatures])  # [temperature, class]
uniform = 1 / len(SCORES)
cold, hot = float(heated[0].max()), float(np.abs(heated[-1] - uniform).max())
added = softmax(np.append(SCORES, 3.0))
ratios = added[0] / added[1], usual[0] / usual[1]

# %% [markdown]
# S4-21: the list holds if each of its parts does:
#
# - *categorical*: probabilities are not negative and add up to 1;
# - *independence*: the ratio of two classes does not change when a third one is added;
# - *Gumbel*: as above;
# - *scale invariance*: doubling all scores changes no probability;
# - *temperature*: at 0.1 the largest class has more than 99%, at 50 all are within 0.02 of each other's share.

# %%
parts = {
    "categorical": bool((usual >= 0).all() and abs(usual.sum() - 1) < EXACT),
    "independence": bool(abs(ratios[0] - ratios[1]) < EXACT * ratios[1]),
    "Gumbel scores": all(measure.side == 1 for measure in gumbel),
    "scale invariance": bool(scaled < EXACT),
    "temperature": bool(cold > 0.99 and hot < 0.02),
}
holding, failing = ([name for name, holds in parts.items() if holds is wanted] for wanted in (True, False))
why = (
    f"doubling the scores moves a probability by {scaled:.2f}; adding the same to all of them moves none, so it is "
    "shifts that change nothing. What the source says under that heading is about scales, and is right"
    if failing == ["scale invariance"] and shifted < EXACT
    else ""
)
results.claim(
    "S4-21",
    verdicts.fact(
        all(parts.values()),
        "Supported if all five parts of the list hold.",
        Measure("change of a probability when scores are doubled", scaled, BELOW, EXACT),
        Measure("change of a probability when scores are shifted", float(shifted), BELOW, EXACT),
        Measure("probability of the largest class at a temperature of 0.1", cold, ABOVE, 0.99),
        Measure("distance from uniform at a temperature of 50", hot, BELOW, 0.02),
        *gumbel,
    ),
    reason="; ".join(filter(None, (f"hold: {', '.join(holding)}", failing and f"not: {', '.join(failing)}", why))),
)


# %%
def logarithmic(ax: Axes) -> None:
    """Temperatures with plain numbers."""
    ax.set_xscale("log")
    ax.set_xticks([0.1, 1, 10, 50], ["0.1", "1", "10", "50"])
    ax.minorticks_off()


def lines(values: dict[str, object], at: np.ndarray) -> dict[str, pd.DataFrame]:
    """Curves without an interval."""
    return {name: pd.DataFrame({0: one}, index=at) for name, one in values.items()}


results.figure(
    "gumbel",
    [
        Groups(
            "The largest of noisy scores",
            "class (scores 2, 1, 0, −1)",
            "probability",
            groups={
                "softmax": {name: estimate([usual[k]]) for k, name in enumerate(NAMES)},
                "drawn": {name: estimate(shares[:, k]) for k, name in enumerate(NAMES)},
            },
        ),
        Curves("Probability of the first class", "x", "probability", lines=lines(top, amounts)),
    ],
    alt=[
        "Softmax of four scores, beside how often each is the largest after Gumbel noise: the same.",
        "The largest probability when x is added to all scores, a flat line, and when they are multiplied by x, which "
        "rises to 1.",
    ],
    caption=f"First, {SAMPLES} samples of {DRAWS:,} draws, with 95% intervals. Second, scores 2, 1, 0, −1, plus or "
    "times x. No run is needed.",
)
# %%
results.figure(
    "temperature",
    [
        Curves(
            "Softmax at a temperature",
            "temperature (log scale)",
            "probability",
            lines=lines({name: heated[:, k] for k, name in enumerate(NAMES)}, temperatures),
            shape=logarithmic,
        )
    ],
    alt=["The probabilities of four classes against the temperature: a step at low ones, all alike at high ones."],
    caption="Scores 2, 1, 0, −1, divided by the temperature. No run is needed.",
)
for name, value, unit, digits in (
    ("softmax-doubled", 100 * scaled, "percentage points", 0),
    ("softmax-draws", DRAWS * SAMPLES, "draws", 0),
    ("softmax-furthest", 100 * max(abs(one.mean) for one in apart.values()), "percentage points", 2),
    ("softmax-cold", 100 * cold, "%", 1),
):
    results.number(name, value, unit, digits)
results.save()
