# %% [markdown]
# # A WaveNet against an MLP, where the norms sit, and bytes in patches
#
# Three notes of the study on models, each made into an experiment. Seeds are paired: every arm sees the same batches in
# the same order. All intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
experiments = ["convergence", "norm-place", "byte-patches"]
logs = "logs"
profile = "laptop"
output = "build/analysis/study-models"

# %%
import numpy as np
import pandas as pd

from analysis.study import arms, stats, verdicts
from analysis.study.figures import Curves, Sweep
from analysis.study.probed import Histogram, layered
from analysis.study.results import Results
from analysis.study.text import number
from analysis.study.verdicts import ABOVE, BELOW, Measure
from runner.models.cost import describe
from runner.plan.spec import from_dict

WORTH = 0.01  # nats per character or byte: the smallest difference of interest
results = Results(output)

# %% [markdown]
# ## How fast a WaveNet learns, and how fast an MLP
# Both have as many parameters and read the same contexts. Learning rates are constant, so that a loss is reached
# when it is, and each kind is taken at the rate with the lowest mean loss of its own. The target, by seed, is the
# higher of the two lowest losses: both reach it.
#
# S4-11: the WaveNet converges *much slower* if it takes more than twice the steps of the MLP to the target, and the
# claim is refuted if it takes fewer than that. FLOPs and time are in the table.

# %%
race = arms.read(logs, "convergence", profile, all_planned=True, diverged=True)
results.provenance(race.runs)
KINDS = ("mlp", "wavenet")
curves = race.curves()
best_arm = {
    kind: min((arm for arm in race if arm.startswith(f"{kind}-")), key=lambda arm: curves[arm].min().mean())
    for kind in KINDS
}
chosen = {kind: curves[arm] for kind, arm in best_arm.items()}
target = pd.concat([losses.min() for losses in chosen.values()], axis=1).max(axis=1)  # [seed]
reached = {
    kind: np.array([stats.crossing(list(losses.index), list(losses[s]), target[s]) for s in race.seeds], dtype=float)
    for kind, losses in chosen.items()
}
slower = stats.estimate(np.log2(reached["wavenet"] / reached["mlp"]))
verdict = verdicts.every(
    Measure("steps to the same loss, WaveNet over MLP", slower, ABOVE, 1.0, doublings=True),
    rule="Supported if the interval of the steps to the same loss, WaveNet over MLP, lies wholly above 2; refuted if "
    "wholly below.",
)
results.claim(
    "S4-11",
    verdict,
    **verdict.leading(),
    unit="times the MLP's steps to the same loss",
    reason=verdict.told(),
    seeds=race.seeds,
)

# %%
rows = []
for kind, arm in best_arm.items():
    run = race.kept[arm][race.seeds[0]]
    spec = from_dict(run.manifest["spec"], str(run.path))
    block = spec.model.block_size
    work = describe(spec.model, run.manifest["corpus"]["vocabulary"], block).work() * block
    seconds = []
    for seed, steps in zip(race.seeds, reached[kind], strict=True):
        timing = race.kept[arm][seed].timing().to_pandas().query("phase == 'train'")
        seconds.append(timing.seconds.sum() / spec.train.steps * steps)
    rows.append(
        {
            "model": {"mlp": "MLP", "wavenet": "WaveNet"}[kind],
            "parameters": f"{race.parameters[arm]:,}",
            "learning rate": f"{spec.train.learning_rate:g}",
            "lowest loss": f"{chosen[kind].min().mean():.4f}",
            "steps to the target": f"{reached[kind].mean():,.0f}",
            "training FLOPs to it": number(work * spec.train.batch_size * reached[kind].mean()),
            "seconds to it": f"{np.mean(seconds):.1f}",
        }
    )
results.table(
    "race",
    pd.DataFrame(rows),
    caption=f"Validation, nats per character, each kind at its best learning rate; the target is the higher of the two "
    f"lowest losses, by seed. Seconds of training on one thread beside another run. Mean over {race.count}, profile "
    f"{profile}.",
)
results.figure(
    "race",
    [
        Curves(
            "At its best learning rate",
            "step (log scale)",
            "loss (nats per character, log scale)",
            lines={
                {"mlp": "MLP", "wavenet": "WaveNet"}[kind]: losses[losses.index > 0] for kind, losses in chosen.items()
            },
            log=True,
        )
    ],
    alt=["Validation loss of an MLP and of a WaveNet of as many parameters against step."],
    caption=f"Mean over {race.count}, with the 95% interval of that mean. Profile {profile}.{race.omitted}",
    experiment="convergence",
)

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
        Curves("Validation loss", "step", "loss (nats per character)", lines=place.curves()),
    ],
    alt=[
        "Gradient norm of each layer over the first quarter of training, norms before or after each branch.",
        "Validation loss against step, norms before or after each branch.",
    ],
    caption=f"Left: over the first {first:.0f} steps. Mean over {place.count}, with 95% intervals. Profile {profile}."
    f"{place.omitted}",
    experiment="norm-place",
)
ends = place.ends()
results.estimate("place-difference", arms.difference(ends, *place), "nats per character", digits=3)
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
        Curves(
            f"Norms {arm}",
            "step (log scale)",
            "update over weights (log scale)",
            lines={
                f"layer {layer + 1}": found.query("layer == @layer and step > 0").pivot(
                    index="step", columns="seed", values="value"
                )
                for layer in shown
            },
            log=True,
            levels={"1e-3": 1e-3},
        )
        for arm, found in updates.items()
    ],
    alt=[f"Norm of a step over the norm of the weights by layer, norms {arm} the branches." for arm in place],
    caption=f"The dashed line is the rule of thumb, a thousandth. Mean over {place.count}, with 95% intervals. Profile "
    f"{profile}.",
    experiment="norm-place",
)
over = pd.concat(updates.values()).query("step > 0 and layer >= 0")
results.number("updates-median", 1000 * float(over.value.median()), "thousandths", digits=1)

# %% [markdown]
# ## Bytes in patches
# Two arms with the same weights at every step: one predicts each patch once, the other twice, with patches moved on by
# half of one, and takes each byte from where it stands in the first half. The loss by position in the patch leaves out
# the first patch of a block, before which there is nothing to read.
#
# S4-24 asks two things: that the model does *best on early tokens*, which means that the loss over the first half of
# the patch lies below that over the second half; and that strided inference *helps*, which means that it lowers the
# loss by more than 0.01 nats per byte. Supported if both hold.

# %%
patches = arms.read(logs, "byte-patches", profile, all_planned=True, order=["adjacent", "strided"])
results.provenance(patches.runs)
size = patches.spec["model"]["patch"]


def by_place(arm: str) -> np.ndarray:
    """The loss at each place in the patch at the end, [seed, place]."""
    found = []
    for run in patches.kept[arm].values():
        seen = run.probes().to_pandas().query("probe == 'position_loss' and split == 'val'")
        last = seen[seen.step == seen.step.max()].sort_values("index")
        found.append(last.value.to_numpy().reshape(-1, size)[1:].mean(axis=0))
    return np.array(found)


places = {arm: by_place(arm) for arm in patches}
halves = places["adjacent"][:, : size // 2].mean(axis=1) - places["adjacent"][:, size // 2 :].mean(axis=1)
ends = patches.ends()
verdict = verdicts.every(
    Measure("loss over the first half of a patch minus the second", stats.estimate(halves), BELOW),
    Measure("loss with strided inference minus without", arms.difference(ends, "strided", "adjacent"), BELOW, -WORTH),
)
results.claim(
    "S4-24",
    verdict,
    **verdict.leading(),
    unit="nats per byte, first half of a patch minus second",
    reason=verdict.told(),
    seeds=patches.seeds,
)
results.estimate("strided-gain", arms.difference(ends, "adjacent", "strided"), "nats per byte", digits=3)
results.figure(
    "patches",
    [
        Sweep(
            "Loss by place in the patch",
            "place in the patch",
            "loss (nats per byte)",
            at=list(range(1, size + 1)),
            lines={arm: [stats.estimate(found[:, k]) for k in range(size)] for arm, found in places.items()},
            log=False,
        )
    ],
    alt=["Validation loss at each place in a patch, with patches side by side and with strided inference."],
    caption=f"Patches of {size} bytes; for strided inference, places are those of the first of its two passes. Mean "
    f"over {patches.count}, with 95% intervals. Profile {profile}.",
    experiment="byte-patches",
)
results.number("model-runs", len(race.runs) + len(place.runs) + len(patches.runs), "runs")
results.save()
