# %% [markdown]
# # Where the norms of a transformer sit
#
# A note of the study, made into an experiment. Seeds are paired: every arm sees the same batches in the same order. All
# intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
experiments = ["norm-place"]
logs = "logs"
profile = "laptop"
output = "build/analysis/study-norms"

# %%
import numpy as np
import pandas as pd

from analysis.study import arms, baselines, stats, verdicts
from analysis.study.figures import Curves, Sweep, Traces
from analysis.study.probed import Histogram, layered
from analysis.study.results import Results
from analysis.study.verdicts import BELOW, Measure

results = Results(output)

# %% [markdown]
# ## Where the norms sit
# A deep, narrow transformer without warm-up, with its norms before each branch or after it. The probe gives the norm of
# each layer's gradient every few steps. *Unevenness*, by seed: the standard deviation over layers of the logarithm to
# base 2 of the gradient norm, in the mean over the first quarter of the steps.
#
# S4-16: norms before the branches *help with gradients* if gradients are less uneven with them.

# %%
place = arms.read(logs, "norm-place", profile, all_planned=True, diverged=True, order=["before", "after"])
results.provenance(place.runs)
counts = baselines.read(logs, place)
first = place.spec["train"]["steps"] / 4
norms = {arm: layered(place, arm, "gradient_norm") for arm in place}  # [seed, step, layer] frames
early = {arm: found[found.step <= first] for arm, found in norms.items()}


def uneven(found: pd.DataFrame) -> np.ndarray:
    """The unevenness of the gradients, by seed."""
    steps = found.assign(bits=np.log2(found.value)).groupby(["seed", "step"]).bits.std(ddof=0)
    return steps.groupby("seed").mean().to_numpy()


unevenness = {arm: uneven(found) for arm, found in early.items()}
verdict = verdicts.every(
    Measure("unevenness of gradients, norms before minus after", arms.difference(unevenness, *place), BELOW)
)
results.claim(
    "S4-16",
    verdict,
    **verdict.leading(),
    unit="doublings of the gradient norm, standard deviation over layers, norms before minus after",
    reason=verdict.told(),
    seeds=place.seeds,
)
# %%
layers = sorted(early["before"].layer.unique())


def profile_of(found: pd.DataFrame) -> list[stats.Estimate]:
    """The gradient norm of each layer, a mean over the steps by seed."""
    means = found.groupby(["layer", "seed"]).value.mean().unstack()
    return [stats.estimate(means.loc[layer].to_numpy()) for layer in layers]


results.figure(
    "gradients",
    [
        Sweep(
            "Gradient norm by layer",
            "layer, from the input",
            "norm (log scale)",
            at=[layer + 1 for layer in layers],
            lines={f"norms {arm}": profile_of(found) for arm, found in early.items()},
            log=False,
            shape=lambda ax: ax.set_yscale("log"),
        ),
        Curves("Validation loss", "step", "loss (nats per character)", lines=place.curves(), levels=counts.levels()),
    ],
    alt=[
        "Gradient norm of each layer over the first quarter of training, norms before or after each branch.",
        "Validation loss against step, norms before or after each branch.",
    ],
    caption=f"In the first, the first {first:.0f} steps. Mean over {place.count}, with 95% intervals. Profile "
    f"{profile}.{place.omitted}{counts.note}",
    experiment="norm-place",
)
ends = place.ends()
results.estimate("place-difference", arms.difference(ends, *place), "nats per character", digits=3)
apart = arms.difference(ends, *place).values
results.number("place-nearest", max(apart), "nats", digits=3)
results.number("place-farthest", min(apart), "nats", digits=3)
results.number("place-layers", len(layers), "layers")

# %% [markdown]
# ## What probes show of these runs
# Shares of hidden units by value, over steps, and what each step changes of the weights: about a thousandth of them, by
# a rule of thumb.

# %%
middle = layers[len(layers) // 2]
seed = place.seeds[0]
results.figure(
    "hidden-units",
    [
        Histogram(
            f"Norms {arm}",
            "step",
            "hidden unit (by powers of two)",
            shares=layered(place, arm, "hidden_histogram")
            .query("layer == @middle and seed == @seed")
            .pivot(index="index", columns="step", values="value"),
        )
        for arm in place
    ],
    alt=[f"Shares of hidden units by value over steps, norms {arm} the branches." for arm in place],
    caption=f"The hidden units of layer {middle + 1} of {len(layers)} on a training batch, a column for each "
    f"observation: the lighter, the larger the share. Bins grow by a factor of two from 0. Seed {seed}, profile "
    f"{profile}.",
    experiment="norm-place",
)
updates = {arm: layered(place, arm, "update_ratio") for arm in place}
shown = dict.fromkeys((layers[0], middle, layers[-1]))
results.figure(
    "updates",
    [
        Traces(
            f"Norms {arm}",
            "step",
            "update over weights (log scale)",
            lines={
                f"layer {layer + 1}": {
                    s: found[(found.layer == layer) & (found.seed == s) & (found.step > 0)].set_index("step").value
                    for s in place.seeds
                }
                for layer in shown
            },
            log=True,
            levels={"1e-3": 1e-3},
        )
        for arm, found in updates.items()
    ],
    alt=[f"Norm of a step over the norm of the weights by layer, norms {arm} the branches." for arm in place],
    caption=f"The dashed line is the rule of thumb, a thousandth. A line a seed, {place.count}. Profile {profile}.",
    experiment="norm-place",
)
over = pd.concat(updates.values()).query("step > 0 and layer >= 0")
results.number("updates-median", 1000 * float(over.value.median()), "thousandths", digits=1)
results.number("place-runs", len(place.runs), "runs")
results.save()
