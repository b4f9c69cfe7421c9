# %% [markdown]
# # Which width does a model choose? Nested widths, and hidden units with a price
#
# Two kinds of models that may use less than all of a wide MLP, on the text, the batches and the steps of the experiment
# `units`. *Nested*: every step trains the MLPs with all of their hidden units, with the first half, the first quarter
# and so on; one model gives the loss at each width. *Priced*: each hidden unit has a gate, and training pays for those
# that are open. Seeds are paired. All intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
experiments = ["learned-width", "units"]
logs = "logs"
profile = "laptop"
output = "build/analysis/learned-width"

# %%
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.study import arms, baselines, stats, style, units, verdicts, wording
from analysis.study.figures import Dots, Drawing, Series, Sweep
from analysis.study.optimum import MARGIN
from analysis.study.results import Results
from analysis.study.verdicts import BELOW, Measure

NESTED = "nested"
results = Results(output)

# %% [markdown]
# ## The evidence

# %%
sweep = arms.read(logs, "learned-width", profile, all_planned=True)
alone = arms.read(logs, "units", profile, arms.setting("model.mlp_ratio"), all_planned=True)
for one in (sweep, alone):
    results.provenance(one.runs)
seeds = [seed for seed in sweep.seeds if seed in alone.seeds]
if seeds != sweep.seeds:
    raise arms.Incomplete("the experiment units lacks seeds of learned-width: train it to its end")
models = {arm: next(iter(by_seed.values())).manifest["spec"]["model"] for arm, by_seed in sweep.kept.items()}
prices = dict(sorted((model["price"], arm) for arm, model in models.items() if arm != NESTED))
ends, widest = sweep.ends("val"), float(models[NESTED]["mlp_ratio"])
width = models[NESTED]["d_model"]
rises = units.removed(sweep, "narrowed", of=[NESTED])[NESTED]
nested = {widest: ends[NESTED].to_numpy()}
nested |= {widest / divisor: ends[NESTED].to_numpy() + rise for divisor, rise in rises.items()}
single = {r: losses.loc[seeds].to_numpy() for r, losses in alone.ends("val").items()}
shared = sorted(set(nested) & set(single))
open_SL = units.by_layer(sweep, "open_units", of=list(prices.values()))
ratios_SL = {price: np.maximum(open_SL[arm], 1) / width for price, arm in prices.items()}  # none counts as one
chosen = {price: ratio_SL.mean(1) for price, ratio_SL in ratios_SL.items()}
layers = range(next(iter(ratios_SL.values())).shape[1])
COUNT, counts = wording.seeds(seeds), baselines.read(logs, sweep)
NOTE = f"Mean over {COUNT}, with the 95% interval of that mean. Profile {profile}.{sweep.omitted}"
LOSS = "validation loss (nats per character)"
EQUAL = "Equal width, text, batches and steps"

# %% [markdown]
# ## One picture: loss against the ratio, whichever way it came about

# %%
lines = {
    "alone": {r: stats.estimate(single[r]) for r in sorted(single)},
    "nested": {r: stats.estimate(nested[r]) for r in sorted(nested)},
}
gates = {float(chosen[price].mean()): stats.estimate(ends[arm]) for price, arm in prices.items()}
every = {**lines, "gates": dict(sorted(gates.items()))}


def ratio_axis(ax: Axes) -> None:
    """Ratios on a logarithmic axis, with a tick for each that was trained."""
    ax.set_xscale("log")
    ax.set_xticks(sorted(single), [f"{r:g}" for r in sorted(single)])
    ax.minorticks_off()
    ax.margins(x=0.06)


def draw(ax: Axes) -> None:
    """A line for each way, its name at its right end."""
    labels = []
    for colour, (name, found) in zip(style.colours(len(every)), every.items(), strict=True):
        half = [one.half_width or 0.0 for one in found.values()]
        means = [one.mean for one in found.values()]
        ax.errorbar(list(found), means, yerr=half, color=colour, marker="o", markersize=4, capsize=3)
        labels.append((means[-1], name, colour))
    ax.set(title="Loss against the ratio", xlabel="MLP ratio r (log scale)", ylabel=LOSS)
    ratio_axis(ax)
    style.end_labels(ax, labels)


shown = [
    Series(name, list(found), [one.mean for one in found.values()],
           *([one.interval[end] for one in found.values()] if len(seeds) > 1 else None for end in (0, 1)))
    for name, found in every.items()
]  # fmt: skip
difference = {r: stats.estimate(nested[r] - single[r]).among(len(shared)) for r in shared}  # one question
results.figure(
    "losses",
    [
        Drawing("Loss against the ratio", "MLP ratio r (log scale)", LOSS, function=draw, shown=shown),
        Dots(
            "Nested minus trained alone", "MLP ratio r (log scale)", "nats per character", dots=difference,
            seeds="joined", named=seeds, zero=True, shape=ratio_axis,
        ),
    ],
    alt=[
        "Validation loss against the MLP ratio: models trained alone, one nested model at each width, and models with "
        "gates at the mean ratio that they chose.",
        "Difference of the nested model's validation loss from that of a model trained alone, by ratio, with intervals "
        "and a line a seed.",
    ],
    caption=f"{EQUAL}; a larger ratio is a larger model. *Alone*: a model for each ratio. *Nested*: one model at "
    f"several widths, whose training costs as much as all of them. *Gates*: at the mean of the layers' ratios. In "
    f"the second panel, intervals{wording.corrected(len(shared))}. {NOTE}{counts.beside}",
)  # fmt: skip

# %% [markdown]
# ## What a price chooses


# %%
def in_doublings(ratio_S: np.ndarray) -> stats.Estimate:
    """Of the logarithms to base 2, so that intervals fit a logarithmic axis."""
    return stats.estimate(np.log2(ratio_S))


def chosen_axis(ax: Axes) -> None:
    """Logarithms as the ratios that they stand for."""
    ax.margins(x=0.06)
    low, high = (round(end) for end in ax.get_ylim())
    ax.set_yticks(range(low, high + 1), [f"{2.0**place:.2g}" for place in range(low, high + 1)])


by_place = {f"layer {layer + 1}": [in_doublings(ratios_SL[p][:, layer]) for p in prices] for layer in layers}
results.figure(
    "chosen",
    [
        Sweep(
            "The ratio of each layer", "price (nats for one more of r, log scale)", "MLP ratio r (log scale)",
            shape=chosen_axis, at=list(prices), lines=by_place,
        ),
        Sweep(
            "In the mean, and what the sweep says", "price (nats for one more of r, log scale)",
            "MLP ratio r (log scale)", shape=chosen_axis, at=list(prices),
            lines={
                "gates": [in_doublings(chosen[p]) for p in prices],
                "alone": [in_doublings(units.cheapest(single, p)) for p in prices],
                "nested": [in_doublings(units.cheapest(nested, p)) for p in prices],
            },
        ),
    ],
    alt=[
        "MLP ratio that the gates leave open, a line for each layer, against the price.",
        "Mean of these ratios, and the ratio with the lowest sum of loss and price among models trained alone and "
        "among the widths of the nested model.",
    ],
    caption=f"{EQUAL}. In the second panel, *alone* and *nested*: the ratio whose loss plus price is lowest, seed by "
    f"seed, of those that were tried, one for all layers. Geometric means. {NOTE}",
)  # fmt: skip

# %% [markdown]
# ## Verdicts without a claim
# No source makes a claim here. The rules stand in the experiment's file, and were written down before the runs; the
# margin of the first, 0.01 nats until 2026-11-28, is since then the smallest difference of interest of all posts.

# %%
free = verdicts.every(
    *(
        Measure(f"r = {r:g}: nested minus alone", difference[r], BELOW, MARGIN)
        for r in shared
    )
)  # fmt: skip
by_price = units.per_doubling(chosen)
apart = {p: stats.estimate(np.log2(ratio_SL[:, 0] / ratio_SL[:, -1])) for p, ratio_SL in ratios_SL.items()}
sides = {one.side(level=0.05 / len(apart)) for one in apart.values()}
differ = sides.pop() if len(sides) == 1 else 0
rows = [
    {
        "price": f"{price:g}",
        "r, mean of the layers": wording.cell(stats.estimate(chosen[price]), 2),
        "r, layer by layer": ", ".join(f"{ratio:.2g}" for ratio in ratios_SL[price].mean(0)),
        "validation loss": wording.cell(stats.estimate(ends[arm]), 3),
        "best r, trained alone": f"{float(np.mean(units.cheapest(single, price))):.2g}",
    }
    for price, arm in prices.items()
]
results.table(
    "prices",
    pd.DataFrame(rows),
    caption="Ratios that the gates leave open at a price in nats for one more of the ratio, over "
    f"{COUNT}, ± half of the 95% interval. Profile {profile}.",
)
rows = [
    {
        "r": f"{r:g}",
        "trained alone": wording.cell(stats.estimate(single[r]), 3),
        "nested": wording.cell(stats.estimate(nested[r]), 3),
        "nested minus alone": difference[r].signed(),
    }
    for r in shared
]
results.table(
    "nested",
    pd.DataFrame(rows),
    caption=f"Validation loss in nats per character, mean over {COUNT} ± half of the 95% interval; differences paired "
    f"by seed, their intervals{wording.corrected(len(shared))}. Profile {profile}.{counts.beside}",
)

# %%
results.number("free", {verdicts.SUPPORTED: 1, verdicts.REFUTED: -1}.get(free.word, 0))
results.estimate("by-price", by_price, digits=2)
results.number("side-by-price", by_price.side())
results.number("side-layers", differ)
best = {
    name: min(found, key=lambda r: float(np.mean(found[r]))) for name, found in (("alone", single), ("nested", nested))
}
for place, price in (("low", min(prices)), ("high", max(prices))):
    results.number(f"price-{place}", price, "nats", digits=3)
    results.estimate(f"chosen-{place}", stats.estimate(chosen[price]), digits=1)
    for end, layer in (("first", 0), ("last", layers[-1])):
        results.estimate(f"{end}-{place}", stats.estimate(ratios_SL[price][:, layer]), digits=2)
    results.estimate(f"apart-{place}", apart[price], "doublings", digits=1)
for name, value, unit, digits in (
    ("seeds", len(seeds), "seeds", None),
    ("runs", len(sweep.runs), "runs", None),
    ("layers", len(layers), "", None),
    ("width", width, "", None),
    ("prices", len(prices), "", None),
    ("widest", widest, "", 0),
    ("narrowest", min(nested), "", 1),
    ("widths", len(nested), "", None),
    ("margin", MARGIN, "nats", 2),
    ("best-alone", best["alone"], "", None),
    ("best-nested", best["nested"], "", None),
    ("most-lost", max(one.mean for one in difference.values()), "nats", 3),
    ("least-lost", min(one.mean for one in difference.values()), "nats", 3),
    ("told-apart", sum(one.side() != 0 for one in difference.values()), "", None),
):
    results.number(name, value, unit, digits=digits)
clearest = max(difference, key=lambda r: abs(difference[r].mean) / (difference[r].half_width or np.inf))
results.number("clearest", clearest, digits=1)
results.estimate("clearest-lost", difference[clearest], "nats", digits=3)
results.save()
