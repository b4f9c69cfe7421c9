# %% [markdown]
# # Where does the width matter? The same width, given to other layers
#
# Models whose layers share one sum of hidden units in several ways: the same for each, more in front, in the middle or
# at the back, and next to none at both ends. All have the same parameters. Seeds are paired. All intervals are 95%
# Student's t intervals over seeds.

# %% tags=["parameters"]
logs = "logs"
profile = "laptop"
output = "build/analysis/where-width"

# %%
import pandas as pd

from analysis.study import arms, baselines, shapes, stats, wording
from analysis.study.figures import Curves, Dots
from analysis.study.optimum import MARGIN
from analysis.study.results import Results

BASE = "uniform"
results = Results(output)

# %%
sweep = arms.read(logs, "where-width", profile, order=["front", "middle", BASE, "back", "inner"], all_planned=True)
results.provenance(sweep.runs)
family = shapes.Shapes(sweep)
budget = family.each[BASE].matrices
assert all(shape.matrices == budget for shape in family.each.values()), "the placements differ in parameters"
ends, spec = sweep.ends("test"), sweep.spec
others = [arm for arm in sweep if arm != BASE]
against = {arm: arms.difference(ends, arm, BASE, len(others)) for arm in others}  # one question, asked of each
counts = baselines.read(logs, sweep)
NOTE = f"Mean over {sweep.count}, with the 95% interval of that mean. Profile {profile}.{sweep.omitted}"
LOSS = "nats per character"

# %%
steps = spec["train"]["steps"]
results.figure(
    "places",
    [
        Dots(
            "Test loss minus that of equal shares", y=LOSS, dots=against, seeds="beside", named=sweep.seeds, zero=True
        ),
        Curves(
            "Validation loss", "step", f"loss ({LOSS})",
            lines={arm: losses[losses.index >= steps / 2] for arm, losses in sweep.curves().items()},
            levels=counts.levels(),
        ),
    ],
    alt=[
        "Difference of each placement's final test loss from that of equal widths, with intervals and seeds.",
        "Validation loss in the second half of training, a line for each placement.",
    ],
    caption=f"Equal parameters, {budget:,} in the blocks, and equal steps. In the first, below zero is better than the "
    f"same width in every layer; intervals{wording.corrected(len(others))}. {NOTE}{counts.note}",
)  # fmt: skip

# %% [markdown]
# ## A verdict without a claim
# No source makes a claim here; one names "different ratios per layer" as an idea. The rule is kept as for the claims: a
# placement is better, or worse, if the interval of its difference from equal widths lies wholly below, or above, zero;
# it is level with them if the interval lies within the smallest difference of interest on both sides. (Since 2026-11-28
# intervals are corrected for asking this of every placement. They were not when the results became known.)


# %%
def word(found: stats.Estimate) -> str:
    """What the interval says."""
    within = found.side(MARGIN) == -1 and found.side(-MARGIN) == 1
    told = {1: "worse", -1: "better", 0: "level" if within else "undecided"}[found.side()]
    return f"{told}, by less than {MARGIN:g}" if within and found.side() else told


rows = [
    {
        "placement": arm,
        "hidden widths": ", ".join(map(str, family.each[arm].model.d_ffs)),
        "test loss": wording.cell(stats.estimate(ends[arm].to_numpy()), 4),
        "minus equal widths": "–" if arm == BASE else against[arm].signed(),
        "verdict": "–" if arm == BASE else word(against[arm]),
        "smallest it would find": "–"
        if arm == BASE or against[arm].findable() is None
        else f"{against[arm].findable():.4f}",
    }
    for arm in sweep
]
results.table(
    "places",
    counts.below(pd.DataFrame(rows), "test loss", digits=4, split="test"),
    caption=f"Losses in {LOSS}: mean over {sweep.count} ± half of the 95% interval; differences paired by seed, their "
    f"intervals{wording.corrected(len(others))}. Profile {profile}.{counts.note}",
)
ranked = sorted(sweep, key=lambda arm: float(ends[arm].mean()))
for name, value, unit in (
    ("seeds", len(sweep.seeds), "seeds"),
    ("runs", len(sweep.runs), "runs"),
    ("layers", spec["model"]["n_layer"], ""),
    ("width", spec["model"]["d_model"], ""),
    ("budget", budget, "parameters"),
    ("better", sum(one.side() == -1 for one in against.values()), ""),
    ("worse", sum(one.side() == 1 for one in against.values()), ""),
    ("rank-uniform", 1 + ranked.index(BASE), ""),
):
    results.number(name, value, unit)
for arm in others:
    results.estimate(f"from-uniform-{arm}", against[arm], "nats", digits=3)
    results.number(f"side-{arm}", against[arm].side())
results.save()
