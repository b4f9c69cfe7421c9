# %% [markdown]
# # Equal parameters: is 4 the best ratio at a fixed size?
#
# The matrices of the blocks have a fixed number of parameters, and the width $d$ and the hidden width $d_\text{ff}$ are
# traded against each other. Every shape is trained at several learning rates and judged at its best one: the rate is
# chosen on validation, the loss reported on test. Seeds are paired: every shape sees the same batches in the same
# order. All intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
logs = "logs"
profile = "laptop"
output = "build/analysis/equal-parameters"

# %%
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.study import arms, baselines, optimum, shapes, stats, wording
from analysis.study.figures import Dots, Sweep, Traces
from analysis.study.optimum import MARGIN, REFERENCE
from analysis.study.results import Results

results = Results(output)

# %% [markdown]
# ## The evidence

# %%
sweep = arms.read(logs, "equal-parameters", profile)
results.provenance(sweep.runs)
family, counts = shapes.Shapes(sweep), baselines.read(logs, sweep)
by_ratio, spec = family.by_ratio, sweep.spec
if not {REFERENCE} < set(by_ratio):
    raise arms.Incomplete(f"needs r = {REFERENCE:g} and another ratio, not {shapes.named(by_ratio)}")
budget = by_ratio[REFERENCE].matrices
off = {r: shape.matrices / budget - 1 for r, shape in by_ratio.items()}
assert max(map(abs, off.values())) < 2e-3, f"the shapes differ in parameters: {off}"
tuned = family.tuned("test")
found = optimum.find(tuned.losses)
LOSS = "test loss (nats per character)"
NOTE = f"Mean over {sweep.count}, with the 95% interval of that mean. Profile {profile}.{sweep.omitted}"
EQUAL = f"Equal parameters: {budget:,} in the matrices of every model's blocks, and equal steps"

# %% [markdown]
# ## Losses by ratio, and by learning rate
# First each shape at its best rate, then every shape at every rate.


# %%
def rate_axis(ax: Axes) -> None:
    """The rates that were tried, in thousandths."""
    ax.set_xscale("log")
    ax.set_xticks(family.rates, [f"{1000 * rate:g}" for rate in family.rates])
    ax.minorticks_off()


def rates(ratio: float) -> dict[int, pd.Series]:
    """Validation losses of a ratio by learning rate, for each seed."""
    at = {rate: losses for (r, rate), losses in family.ends("val").items() if r == ratio}
    return {seed: pd.Series({rate: losses[seed] for rate, losses in sorted(at.items())}) for seed in sweep.seeds}


results.figure(
    "losses",
    [
        Sweep(
            "Each ratio at its best rate", "MLP ratio r (log scale)", LOSS,
            shape=lambda ax: ax.margins(x=0.06), at=[shapes.shown(r) for r in by_ratio],
            lines={"test": [stats.estimate(tuned.losses[r]) for r in by_ratio]},
        ),
        Traces(
            "At each learning rate", "learning rate in thousandths (log scale)", "validation loss (nats per character)",
            lines={f"r = {shapes.name(r)}": rates(r) for r in by_ratio}, shape=rate_axis,
        ),
    ],
    alt=[
        "Test loss at the end against the MLP ratio, with intervals.",
        "Validation loss at the end against the learning rate, a colour for each ratio and a line a seed.",
    ],
    caption=f"{EQUAL}. First, each ratio at the learning rate that is best for it on validation: mean over "
    f"{sweep.count}, with the 95% interval of that mean. Second, a line a seed. Profile {profile}.{sweep.omitted}",
)  # fmt: skip
OTHERS = len(by_ratio) - 1  # one question, asked of every other ratio
from_four = {r: stats.estimate(tuned.losses[r] - tuned.losses[REFERENCE]).among(OTHERS) for r in by_ratio}
results.figure(
    "differences",
    Dots(
        f"Difference from r = {REFERENCE:g}", "MLP ratio r", "nats per character",
        dots={shapes.shown(r): one for r, one in from_four.items()}, seeds="joined", named=sweep.seeds, zero=True,
    ),
    alt=f"Difference of each ratio's test loss from that of r = {REFERENCE:g}, with intervals and a line a seed.",
    caption=f"{EQUAL}. Each ratio at its best rate, minus r = {REFERENCE:g}, paired by seed; below zero is better than "
    f"r = {REFERENCE:g}. Intervals{wording.corrected(OTHERS)}. {NOTE}",
)  # fmt: skip

# %% [markdown]
# ## Tables and numbers

# %%
rows = [
    {
        "r": shapes.name(r),
        "width": shape.model.d_model,
        "hidden width": shape.d_ff,
        "parameters of the blocks": f"{shape.matrices:,}",
        "all parameters": f"{shape.cost.total():,}",
        "best rate": f"{tuned.rates[r]:g}",
        "test loss": wording.cell(stats.estimate(tuned.losses[r]), 4),
        f"minus r = {REFERENCE:g}": "–" if r == REFERENCE else from_four[r].signed(),
        "minus the best": "–" if r == found.best else found.from_best[r].signed(),
    }
    for r, shape in by_ratio.items()
]
results.table(
    "shapes",
    counts.below(
        pd.DataFrame(rows).rename(columns={"all parameters": "parameters"}), "test loss", digits=4, split="test"
    ),
    caption=f"{EQUAL}. Losses in nats per character at the rate that is best on validation: mean over {sweep.count} ± "
    f"half of the 95% interval; differences paired by seed, their intervals{wording.corrected(OTHERS)}, "
    f"and from the best for all pairs. Profile {profile}.{counts.note}",
)

# %%
optimum.report(results, found)
falling = [
    sweep.losses(arm, s).idxmin() == shape.steps
    for arm, shape in family.each.items()
    if shape.rate == tuned.rates[shape.ratio]
    for s in sweep.seeds
]  # whether the loss is lowest at the last step, at the best rates
seen = spec["train"]["steps"] * spec["train"]["batch_size"] * spec["model"]["block_size"]
span = spec["data"]["train"]
for name, value, unit, digits in (
    ("seeds", len(sweep.seeds), "seeds", None),
    ("runs", len(sweep.runs), "runs", None),
    ("shapes", len(by_ratio), "", None),
    ("rates", len(family.rates), "", None),
    ("layers", spec["model"]["n_layer"], "", None),
    ("block", spec["model"]["block_size"], "characters", None),
    ("steps", spec["train"]["steps"], "steps", None),
    ("budget", budget, "parameters", None),
    ("off", 100 * max(map(abs, off.values())), "percent", 2),
    ("train-tokens", span[1] - span[0], "characters", None),
    ("read", seen, "characters", None),
    ("epochs", seen / (span[1] - span[0]), "times", 2),
    ("narrow", min(by_ratio), "", 2),
    ("wide", max(by_ratio), "", 2),
    ("at-edge", len(tuned.edge), "", None),
    ("still-falling", sum(falling), "runs", None),
    ("at-best", len(falling), "runs", None),
    ("margin", MARGIN, "nats", 2),
    ("per-parameter", seen / budget, "characters", 0),
    ("rate-narrow", tuned.rates[min(by_ratio)], "", 3),
    ("rate-wide", tuned.rates[max(by_ratio)], "", 3),
    ("rate-factor", max(tuned.rates.values()) / min(tuned.rates.values()), "", 1),
    ("lost-far", float(np.mean(tuned.losses[min(by_ratio)] - tuned.losses[found.best])), "nats", 3),
):
    results.number(name, value, unit, digits=digits)
results.estimate("wide-from-four", from_four[max(by_ratio)], "nats", 3)
counts.report(results, tuned.losses[found.best], "nats")
factors = [arms.pairing(tuned.losses, r, REFERENCE) for r in by_ratio if r != REFERENCE]
helped = [one for one in factors if one is not None]
results.number("pairing", np.median(helped) if helped else None, "times", digits=1, reason="one seed has no scatter")
results.save()
