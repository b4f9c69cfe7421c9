# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The MLP ratio on web text
#
# A network like GPT-2 at several ratios $r = d_\text{ff} / d_\text{model}$, on GPT-2's tokens. No token is read often
# enough to be learned by heart, so this asks about learning alone, not about overfitting. Seeds are paired. All
# intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
logs = "logs"
profile = "laptop"
output = "build/analysis/web-ratio"

# %%
import math
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes

from analysis.study import stats, style
from analysis.study.results import Results
from runner.evidence import log
from runner.plan import experiment

REFERENCE = 4.0  # the ratio that the others are compared with
results = Results(output)

# %% [markdown]
# ## The evidence

# %%
plans = experiment.load("web-ratio").plans(profile)
runs = log.read_runs(Path(logs), "web-ratio", profile, [plan.name for plan in plans])
results.provenance(runs)
assert all(run.manifest["status"] == "finished" for run in runs), "a run diverged: its loss was not finite"


def frame(run: log.Run) -> pd.DataFrame:
    """Validation loss of a run by step, in nats a token and bits a byte."""
    rows = run.metrics().to_pandas().query("split == 'val'")
    nats = math.log(2) * run.manifest["corpus"]["bytes_per_token"]["val"]
    spec = run.manifest["spec"]
    return rows.assign(ratio=spec["model"]["mlp_ratio"], seed=spec["seed"], bits=rows.loss / nats)


rows = pd.concat([frame(run) for run in runs], ignore_index=True)
ratios = sorted(rows.ratio.unique())
assert REFERENCE in ratios, f"needs runs of r = {REFERENCE:g}, not only {ratios}"
complete = sorted(seed for seed, group in rows.groupby("seed") if set(group.ratio) == set(ratios))
assert complete, "no seed finished at every ratio: train the sweep to its end"
rows = rows[rows.seed.isin(complete)]
curves = {ratio: group.pivot(index="step", columns="seed", values="bits") for ratio, group in rows.groupby("ratio")}
ends = {ratio: losses.iloc[-1] for ratio, losses in curves.items()}
manifest = runs[0].manifest
spec, budget = manifest["spec"], manifest["budget"]
COUNT = f"{len(complete)} seed{'s' if len(complete) > 1 else ''}"
NOTE = f"Mean over {COUNT}, with the 95% interval of that mean. Corpus {spec['data']['corpus']}, profile {profile}."

# %% [markdown]
# ## What came out
# The loss after the last step, and how much of it a step of the ratio is worth: least squares over the ratios, seed by
# seed.

# %%
differences = {ratio: stats.estimate((ends[ratio] - ends[REFERENCE]).to_numpy()) for ratio in ratios}
slope = stats.estimate([stats.slope(ratios, [ends[ratio][seed] for ratio in ratios]) for seed in complete])
parameters = {run.manifest["spec"]["model"]["mlp_ratio"]: run.manifest["parameters"]["total"] for run in runs}
results.table(
    "web-ratios",
    pd.DataFrame(
        [
            {
                "ratio": f"{ratio:g}",
                "parameters": f"{parameters[ratio]:,}",
                "loss at the end": str(stats.estimate(ends[ratio].to_numpy())),
                f"against r = {REFERENCE:g}": "–" if ratio == REFERENCE else differences[ratio].signed(3),
            }
            for ratio in ratios
        ]
    ),
    caption=f"Validation loss in bits per byte; differences paired by seed, negative is better. {NOTE}",
)


def draw_curves(ax: Axes) -> None:
    """Validation loss against tokens seen, a line a ratio, after the first evaluation."""
    lines, per_step = [], spec["train"]["batch_size"] * spec["model"]["block_size"]
    for colour, ratio in zip(style.colours(len(ratios)), ratios, strict=True):
        losses = curves[ratio].iloc[1:]
        seen = losses.set_axis(losses.index * per_step)
        lines.append((style.band(ax, seen, colour), f"r = {ratio:g}", colour))
    ax.set(title="Validation loss", xlabel="tokens seen", ylabel="loss (bits per byte)")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.xaxis.get_major_locator().set_params(nbins=4)
    style.end_labels(ax, lines)


def draw_ends(ax: Axes) -> None:
    """Final loss against the ratio, as a difference from the reference."""
    ax.axhline(0, color=style.muted(), linewidth=0.8)
    for colour, ratio in zip(style.colours(len(ratios)), ratios, strict=True):
        one = differences[ratio]
        ax.errorbar(ratio, one.mean, yerr=one.half_width or 0.0, color=colour, marker="o", capsize=4)
    ax.set(title=f"Against r = {REFERENCE:g}", xlabel="MLP ratio r", ylabel="bits per byte at the end", xticks=ratios)
    ax.margins(x=0.08)


results.figure(
    "web",
    [draw_curves, draw_ends],
    alt=[
        f"Validation loss in bits per byte against tokens seen, a line for each of {len(ratios)} ratios.",
        f"Difference of each ratio's final loss from that of r = {REFERENCE:g}, with intervals.",
    ],
    caption=f"Left, the loss after the first evaluation. Right, the final loss minus that of r = {REFERENCE:g}; below "
    f"the line is better. {NOTE}",
)

# %% [markdown]
# S0-13: GPT-2's count of tokens was never published. A run *sees one 64th* if its budget is one of the two readings
# that have a name: a 64th of nanoGPT's schedule, or of one pass over OpenWebText, on OpenWebText. What the paper
# profile would see is arithmetic.

# %%
planned = experiment.load("web-ratio").plans("paper")[0].spec
would = planned.train.steps * planned.train.batch_size * planned.model.block_size
schedule = 600_000 * 491_520
reading = f"{would * 64 / schedule:.3f} of nanoGPT's schedule for GPT-2"
if spec["data"]["corpus"] == "openwebtext":
    results.claim(
        "S0-13",
        "supported" if budget["name"] else "refuted",
        reason=f"{budget['tokens']:,} tokens ({budget['name'] or 'no reading of a 64th'}); GPT-2's own count is not "
        "known",
    )
else:
    results.claim(
        "S0-13",
        "not tested",
        reason=f"it takes OpenWebText and an accelerator. These runs see {budget['tokens']:,} tokens of "
        f"{spec['data']['corpus']}; the paper profile would see {would:,}, and 64 times that are {reading}",
    )
results.number("web-runs", len(runs), "runs")
results.number("web-seeds", len(complete), "seeds")
results.number("web-tokens", budget["tokens"], "tokens")
results.number("web-paper-tokens", would, "tokens")
results.number("web-layers", spec["model"]["n_layer"])
results.number("web-width", spec["model"]["d_model"])
results.number("web-slope", slope.mean, "bits a byte", digits=4, interval=slope.interval)
results.number("web-gain", -slope.mean, "bits a byte", digits=4)
results.number("web-side", slope.side())
results.number(
    "web-widest", differences[ratios[-1]].mean, "bits a byte", digits=3, interval=differences[ratios[-1]].interval
)
others = [ratio for ratio in ratios if ratio != REFERENCE]
results.number("web-others", len(others))
results.number("web-undecided", sum(differences[ratio].side() == 0 for ratio in others))
results.number(
    "web-narrowest", differences[ratios[0]].mean, "bits a byte", digits=3, interval=differences[ratios[0]].interval
)
results.number("web-parameters-narrow", parameters[ratios[0]], "parameters")
results.number("web-parameters-wide", parameters[ratios[-1]], "parameters")
results.save()
