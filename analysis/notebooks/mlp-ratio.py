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
# # Is 4 the magic number? The sweep of MLP ratios
#
# One character model, trained at several ratios $r = d_\text{ff} / d_\text{model}$ with everything else held fixed.
# The same seed gives every ratio the same batches in the same order and, where shapes agree, the same first weights,
# so ratios are compared seed by seed. All intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
logs = "logs"
profile = "laptop"
output = "build/analysis/mlp-ratio"

# %%
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import stats, style
from analysis.literature import MODELS
from analysis.results import Results
from runner import experiment, log
from runner.spec import as_dict

REFERENCE = 4  # the ratio that the others are compared with
results = Results(output)

# %% [markdown]
# ## The evidence
# Only runs that the experiment plans are read. A run whose loss was not finite is counted, and left out of means.

# %%
plan = experiment.load("mlp-ratio")
runs = log.read_runs(Path(logs), "mlp-ratio", profile, [p.name for p in plan.plans(profile)])
results.provenance(runs)
finished = [run for run in runs if run.manifest["status"] == "finished"]
diverged = [run.name for run in runs if run.manifest["status"] == "diverged"]
assert finished, f"no run of profile {profile} finished"


def frame(run: log.Run) -> pd.DataFrame:
    """A run's metrics with its ratio and seed."""
    spec = run.manifest["spec"]
    return run.metrics().to_pandas().assign(ratio=spec["model"]["mlp_ratio"], seed=spec["seed"], run=run.name)


rows = pd.concat([frame(run) for run in finished], ignore_index=True)
manifests = [run.manifest for run in finished]
specs = [m["spec"] for m in manifests]
ratios = sorted(rows.ratio.unique())
assert {REFERENCE} < set(ratios), f"needs r = {REFERENCE} and another ratio, not {ratios}"
complete = [s for s, group in rows.groupby("seed") if set(group.ratio) == set(ratios)]  # seeds that are paired
seeds = len(complete)
narrow, wide = ratios[0], ratios[-1]
held_out = "test" if "test" in set(rows.split) else "val"
every = specs[0]["eval"]["every"]

# %% [markdown]
# ## Curves

# %%
COUNT = f"{seeds} seed{'s' if seeds > 1 else ''}"
LOST = f" Left out, as their loss was not finite: {', '.join(diverged)}." if diverged else ""
BAND = f"Lines: mean over {COUNT}; bands: 95% interval of that mean. Profile {profile}.{LOST}"


def label(ratio: float) -> str:
    return f"r = {ratio:g}"


def curves(split: str) -> dict[float, pd.DataFrame]:
    """For each ratio a frame [step, seed] of one split's losses."""
    kept = rows[(rows.split == split) & rows.seed.isin(complete)]
    return {r: group.pivot(index="step", columns="seed", values="loss") for r, group in kept.groupby("ratio")}


def draw_mean(ax: Axes, split: str, title: str, *, low: float = 0, log_scale: bool = False) -> None:
    """A line a ratio from step `low` on: the mean over seeds, with the band of its interval."""
    ends = []
    for colour, (r, losses) in zip(style.colours(len(ratios)), curves(split).items(), strict=True):
        losses = losses[losses.index >= low]
        mean = losses.mean(axis=1)
        half = np.array([stats.estimate(row).half_width or 0.0 for row in losses.to_numpy()])
        ax.plot(losses.index, mean, color=colour)
        ax.fill_between(losses.index, mean - half, mean + half, color=colour, alpha=0.18, linewidth=0)
        ends.append((float(mean.iloc[-1]), label(r), colour))
    ax.set(title=title, xlabel="step", ylabel="loss (nats per character)")
    if log_scale:
        ax.set(xscale="log", yscale="log", ylabel="loss (nats per character, log scale)", xlabel="step (log scale)")
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
    style.end_labels(ax, ends)


# %% [markdown]
# The first pair is drawn the way TensorBoard shows a run: one seed, the raw values faint, and over them an exponential
# moving average with weight 0.6. Its left panel is the loss of the training batches, dropout on, as logged.

# %%
SMOOTHING = 0.6


def smoothed(values: np.ndarray) -> np.ndarray:
    """TensorBoard's moving average, corrected for its start from nothing."""
    kept, out = 0.0, []
    for i, value in enumerate(values, 1):
        kept = SMOOTHING * kept + (1 - SMOOTHING) * value
        out.append(kept / (1 - SMOOTHING**i))
    return np.array(out)


def draw_board(ax: Axes, split: str, title: str) -> None:
    ends = []
    for colour, r in zip(style.colours(len(ratios)), ratios, strict=True):
        one = rows[(rows.split == split) & (rows.ratio == r) & (rows.seed == complete[0])]
        ax.plot(one.step, one.loss, color=colour, alpha=0.25, linewidth=0.9)
        line = smoothed(one.loss.to_numpy())
        ax.plot(one.step, line, color=colour, linewidth=1.5)
        ends.append((float(line[-1]), label(r), colour))
    ax.set(title=title, xlabel="step", ylabel="loss (nats per character)")
    style.end_labels(ax, ends)


results.figure(
    "board",
    [lambda ax: draw_board(ax, "batch", "train/loss"), lambda ax: draw_board(ax, "val", "val/loss")],
    alt=[
        f"Loss of training batches against step for {len(ratios)} MLP ratios, one seed.",
        f"Validation loss against step for {len(ratios)} MLP ratios, one seed.",
    ],
    caption=f"The panels of the source's screenshot, drawn from our logs: seed {complete[0]} alone, raw values faint, "
    f"TensorBoard's smoothing of {SMOOTHING} over them. Profile {profile}.{LOST}",
)

# %%
later = max(every, specs[0]["train"]["warmup_steps"])  # a logarithmic axis has no place for step 0
results.figure(
    "curves",
    [
        lambda ax: draw_mean(ax, "train", "Training split", low=later, log_scale=True),
        lambda ax: draw_mean(ax, "val", "Validation split", low=later, log_scale=True),
    ],
    alt=[
        "Training loss against step on logarithmic axes, a line for each MLP ratio.",
        "Validation loss against step on logarithmic axes, a line for each MLP ratio.",
    ],
    caption=f"Both splits evaluated exactly, every character once, dropout off, on logarithmic axes. {BAND}",
)

# %% [markdown]
# ## One value a run
# Best, final and onset are different questions: *best* is the lowest validation loss of a run, *onset* the step at
# which it was seen, *final* the loss after the last step. What is chosen on validation is reported on held-out text.


# %%
def summary(group: pd.DataFrame) -> pd.Series:
    """What one run says."""
    splits = {name: part.set_index("step").loss for name, part in group.groupby("split")}
    best = splits["val"].idxmin()
    return pd.Series(
        {
            "train_end": splits["train"].iloc[-1],
            "best": splits["val"][best],
            "onset": float(best),
            "final": splits["val"].iloc[-1],
            "gap": splits["val"].iloc[-1] - splits["val"][best],
            "held_out": splits[held_out][best],
            "last": float(splits["val"].index[-1]),
        }
    )


per_run = rows.groupby(["ratio", "seed"])[["step", "split", "loss"]].apply(summary)
per_run = per_run[per_run.index.get_level_values("seed").isin(complete)]
trains = rows[(rows.split == "train") & rows.seed.isin(complete)]
bar = float(trains.groupby(["ratio", "seed"]).loss.min().max())  # every run reaches it
reached = {key: stats.crossing(list(g.step), list(g.loss), bar) for key, g in trains.groupby(["ratio", "seed"])}
per_run["steps_to"] = pd.Series(reached)
open_ended = int((per_run.onset == per_run["last"]).sum())  # still improving when they were stopped


def paired(column: str, ratio: float, other: float = REFERENCE) -> stats.Estimate:
    """The difference ratio − other, seed by seed."""
    return stats.estimate((per_run.loc[ratio, column] - per_run.loc[other, column]).to_numpy())


def trend(column: str) -> stats.Estimate:
    """Each seed's slope of log2 `column` over log2 r: the change, in doublings, for a doubling of the ratio."""
    wide_form = np.log2(per_run[column].unstack("seed"))
    return stats.estimate([stats.slope(np.log2(ratios), wide_form[s]) for s in complete])


def rise(column: str) -> stats.Estimate:
    """Each seed's slope of `column` over log2 r: its change for a doubling of the ratio."""
    wide_form = per_run[column].unstack("seed")
    return stats.estimate([stats.slope(np.log2(ratios), wide_form[s]) for s in complete])


# %% [markdown]
# The zoomed pair looks at the region around the best validation loss.

# %%
middle = per_run.onset.median()
results.figure(
    "zoom",
    [
        lambda ax: draw_mean(ax, "train", "Training split, from half-way to the onset", low=middle / 2),
        lambda ax: draw_mean(ax, "val", "Validation split, from half-way to the onset", low=middle / 2),
    ],
    alt=[
        "Training loss from half the median onset step on, a line for each MLP ratio.",
        "Validation loss from half the median onset step on, a line for each MLP ratio: it falls, then rises again."
        if open_ended < len(per_run)
        else "Validation loss, a line for each MLP ratio: it falls throughout.",
    ],
    caption=f"The same losses on straight axes, from step {middle / 2:,.0f}, half of the median onset. {BAND}",
)


def draw_by_ratio(ax: Axes, column: str, title: str, unit: str) -> None:
    """Each seed faint, and the mean with its interval, against the ratio."""
    colours = style.colours(len(ratios))
    for s in complete:
        ax.plot(ratios, [per_run.loc[(r, s), column] for r in ratios], color=style.muted(), alpha=0.35, linewidth=0.8)
    for colour, r in zip(colours, ratios, strict=True):
        found = stats.estimate(per_run.loc[r, column].to_numpy())
        ax.errorbar(
            r,
            found.mean,
            yerr=found.half_width or 0.0,
            color=colour,
            marker="o",
            markersize=6,
            capsize=4,
            linewidth=1.8,
        )
    ax.set(title=title, xlabel="MLP ratio r", ylabel=unit, xticks=ratios)
    ax.margins(x=0.08)


results.figure(
    "by-ratio",
    [
        lambda ax: draw_by_ratio(ax, "best", "Best validation loss", "loss (nats per character)"),
        lambda ax: draw_by_ratio(ax, "onset", "Onset: the step of the best", "step"),
    ],
    alt=[
        "Best validation loss against the MLP ratio, with intervals.",
        "Step of the best validation loss against the MLP ratio, with intervals.",
    ],
    caption=f"Left, the lowest validation loss of a run; right, the step at which it was seen, to the {every} steps "
    f"between evaluations. Dots: mean over {COUNT}, with its 95% interval; faint lines join the runs of one "
    f"seed. Profile {profile}.{LOST}",
)

# %% [markdown]
# ## Tables


# %%
def shown(values: np.ndarray, digits: int = 3) -> str:
    """A mean and the half-width of its interval."""
    found = stats.estimate(values)
    half = found.half_width
    text = f"{found.mean:,.{digits}f}" + ("" if half is None else f" ± {half:,.{digits}f}")
    return text.replace("-", "−")


parameters = {m["spec"]["model"]["mlp_ratio"]: m["parameters"]["total"] for m in manifests}
results.table(
    "ratios",
    pd.DataFrame(
        [
            {
                "r": f"{r:g}",
                "parameters": f"{parameters[r]:,}",
                "train loss at the end": shown(per_run.loc[r, "train_end"]),
                "best validation loss": shown(per_run.loc[r, "best"]),
                "at step (onset)": shown(per_run.loc[r, "onset"], 0),
                "final validation loss": shown(per_run.loc[r, "final"]),
            }
            for r in ratios
        ]
    ),
    caption=f"Losses in nats per character: mean over {COUNT} ± half of the 95% interval. Profile {profile}.",
)

others = [r for r in ratios if r != REFERENCE]
test_name = "test loss at the best" if held_out == "test" else "best validation loss again"
results.table(
    "differences",
    pd.DataFrame(
        [
            {
                "r": f"{r:g}",
                "train loss at the end": shown((per_run.loc[r] - per_run.loc[REFERENCE]).train_end),
                "best validation loss": shown((per_run.loc[r] - per_run.loc[REFERENCE]).best),
                test_name: shown((per_run.loc[r] - per_run.loc[REFERENCE]).held_out),
                "onset, steps": shown((per_run.loc[r] - per_run.loc[REFERENCE]).onset, 0),
                "final validation loss": shown((per_run.loc[r] - per_run.loc[REFERENCE]).final),
            }
            for r in others
        ]
    ),
    caption=f"Differences from r = {REFERENCE}, paired by seed: mean over {COUNT} ± half of the 95% "
    f"interval. Below zero is lower, or earlier, than r = {REFERENCE}.",
)

# %% [markdown]
# The source's table of training details beside what the manifests say, and beside the paper profile's specification.


# %%
def details(spec: dict, device: str) -> dict[str, str]:
    """The rows of the source's table, from a run's spec."""
    train, model, data, ev = spec["train"], spec["model"], spec["data"], spec["eval"]

    def size(span: list[int]) -> str:
        return f"{span[1] - span[0]:,}"

    return {
        "evaluation interval": f"{ev['every']} steps",
        "log interval": f"{manifests[0]['log_every']} steps",
        "evaluation": "every window once" if ev["mode"] == "exact" else f"{ev['batches']} random batches",
        "training tokens": size(data["train"]),
        "validation tokens": size(data["val"]),
        "batch size": str(train["batch_size"]),
        "block size": str(model["block_size"]),
        "layers": str(model["n_layer"]),
        "attention heads": str(model["n_head"]),
        "embedding width": str(model["d_model"]),
        "dropout": f"{model['dropout']:g}",
        "learning rate": f"{train['learning_rate']:g}",
        "steps": str(train["steps"]),
        "weight decay": f"{train['weight_decay']:g}",
        "beta 1": f"{train['beta1']:g}",
        "beta 2": f"{train['beta2']:g}",
        "gradient clipping": f"{train['grad_clip']:g}",
        "warm-up": f"{train['warmup_steps']} steps",
        "decay to": f"{train['min_learning_rate']:g}",
        "device": device,
    }


stated = {
    "evaluation interval": "250 steps",
    "log interval": "10 steps",
    "evaluation": "200 random batches",
    "training tokens": "1,003,854",
    "validation tokens": "111,540",
    "batch size": "64",
    "block size": "256",
    "layers": "6",
    "attention heads": "6",
    "embedding width": "384",
    "dropout": "0.2",
    "learning rate": "0.001",
    "steps": "5000",
    "weight decay": "0.1",
    "beta 1": "0.9",
    "beta 2": "0.99",
    "gradient clipping": "1",
    "warm-up": "100 steps",
    "decay to": "0.0001",
    "device": "mps (M1 Max)",
}
here = details(specs[0], manifests[0]["environment"]["device"])
paper = details(as_dict(plan.plans("paper")[0].spec), "any")
results.table(
    "details",
    pd.DataFrame(
        [
            {
                "setting": key,
                "the source": stated[key],
                f"these runs ({profile})": here[key],
                "our paper profile": paper[key],
            }
            for key in stated
        ]
    ),
    caption="What the source states, what the manifests of these runs say, and what the paper profile would run.",
)

published = pd.DataFrame(
    [
        {
            "model": m.model,
            "year": str(m.year),
            "width": f"{m.d_model:,}",
            "hidden": f"{m.d_ff:,}",
            "ratio": f"{m.ratio:.2f}".rstrip("0").rstrip("."),
            "MLP": "gated" if m.gated else "plain",
            "stated in": m.source,
        }
        for m in MODELS
    ]
)
results.table("published", published, caption="MLP widths of published models.")

# %% [markdown]
# ## Numbers for the text

# %%
corpus = manifests[0]["corpus"]
results.number("seeds", seeds)
results.number("runs", len(finished))
results.number("diverged", len(diverged))
results.number("ratio-count", len(ratios))
results.number("narrow", narrow, digits=0 if float(narrow).is_integer() else 2)
results.number("wide", wide, digits=0 if float(wide).is_integer() else 2)
results.number("steps", specs[0]["train"]["steps"], "steps")
results.number("eval-every", every, "steps")
results.number("layers", specs[0]["model"]["n_layer"])
results.number("width", specs[0]["model"]["d_model"])
results.number("block", specs[0]["model"]["block_size"], "characters")
results.number("batch", specs[0]["train"]["batch_size"], "windows")
results.number("dropout", specs[0]["model"]["dropout"], digits=1)
results.number("corpus-tokens", corpus["tokens"], "characters")
results.number("vocabulary", corpus["vocabulary"], "characters")
train_span = specs[0]["data"]["train"]
results.number("train-tokens", train_span[1] - train_span[0], "characters")
epochs = specs[0]["train"]["steps"] * specs[0]["train"]["batch_size"] * specs[0]["model"]["block_size"]
results.number("epochs", epochs / (train_span[1] - train_span[0]), "times", digits=0)
results.number("parameters-narrow", parameters[narrow], "parameters")
results.number("parameters-wide", parameters[wide], "parameters")
results.number("bar", bar, "nats", digits=2)
results.number("open-ended", open_ended, "runs")
means = per_run.groupby("ratio").mean()
results.number("best-ratio", means.best.idxmin(), digits=0 if float(means.best.idxmin()).is_integer() else 2)
results.number("spread-best", means.best.max() - means.best.min(), "nats", digits=3)
results.number("uniform", math.log(corpus["vocabulary"]), "nats", digits=2)
for name, r in (("narrow", narrow), ("reference", REFERENCE), ("wide", wide)):
    for column, digits in (("best", 3), ("final", 3), ("train_end", 3), ("onset", 0), ("steps_to", 0)):
        found = stats.estimate(per_run.loc[r, column].to_numpy())
        results.number(
            f"{column.replace('_', '-')}-{name}",
            found.mean,
            "nats" if digits else "steps",
            digits=digits,
            interval=found.interval,
        )

# %% [markdown]
# ## Verdicts
# The rules were fixed before the laptop runs were looked at. A trend is each seed's least-squares slope over
# $\log_2 r$, so that it asks one question of all ratios at once; a verdict needs its 95% interval to lie on one side.

# %%
FEW = f"{COUNT} cannot have an interval"


def more(found: stats.Estimate, bar: float = 0.0) -> str:
    """How many seeds would decide, if mean and spread stayed as they are."""
    n = found.seeds_needed(bar)
    if found.n < 2:
        return FEW
    return f"about {n:,} seeds would decide" if n else "no number of seeds in reach would decide"


def judge(id: str, wanted: dict[str, tuple[stats.Estimate, int]], unit: str, note: str = "") -> None:
    """Supported where every estimate lies on its wanted side, refuted where one lies on the other."""
    sides = {name: found.side() * sign for name, (found, sign) in wanted.items()}
    first = next(iter(wanted.values()))[0]
    undecided = [name for name, side in sides.items() if side == 0]
    verdict = "refuted" if -1 in sides.values() else "inconclusive" if undecided else "supported"
    parts = [
        f"{name}: {found}{'' if sides[name] else f' ({more(found)})'}".replace("-", "−")
        for name, (found, _) in wanted.items()
    ]
    results.claim(
        id,
        verdict,
        effect=first.mean,
        interval=first.interval,
        n=first.n,
        unit=unit,
        reason="; ".join(parts) + (f". {note}" if note else ""),
    )


CENSORED = (
    (
        f"{open_ended} of {len(per_run)} runs had their best validation loss at the last evaluation, so when they "
        "would begin to overfit is not known"
    )
    if open_ended
    else ""
)
doublings = "doublings of the step per doubling of r"

judge(
    "S0-4",
    {
        f"steps to a train loss of {bar:.2f}, {doublings}": (trend("steps_to"), -1),
        "train loss at the end, nats per doubling of r": (rise("train_end"), -1),
    },
    doublings,
)

# %%
if open_ended:
    results.claim("S0-5", "inconclusive", n=seeds, reason=CENSORED)
    results.claim("S0-6", "inconclusive", n=seeds, reason=CENSORED)
    for name in ("slower", "delayed"):
        results.number(name, None, reason=CENSORED)
else:
    judge(
        "S0-5",
        {
            f"onset, {doublings}": (trend("onset"), -1),
            "final minus best validation loss, nats per doubling of r": (rise("gap"), 1),
        },
        doublings,
        f"Onsets are known to the {every} steps between evaluations.",
    )
    slower = np.log2(per_run.loc[narrow, "steps_to"] / per_run.loc[wide, "steps_to"])
    delayed = np.log2(per_run.loc[narrow, "onset"] / per_run.loc[wide, "onset"])
    unit = f"doublings, r = {narrow:g} against r = {wide:g}"
    judge(
        "S0-6",
        {
            "how much more the onset is delayed than learning": (stats.estimate(delayed - slower), 1),
            "how much slower it learns": (stats.estimate(slower), 1),
        },
        unit,
    )
    results.number("slower", 2 ** float(slower.mean()), "times the steps", digits=2)
    results.number("delayed", 2 ** float(delayed.mean()), "times the steps", digits=2)

# %% [markdown]
# S0-8 asks every pair of neighbouring ratios the two questions, with Holm's correction for asking all of them.

# %%
pairs = list(pairwise(ratios))
columns = ["steps_to"] if open_ended else ["steps_to", "onset"]
samples = [np.log2(per_run.loc[b, c] / per_run.loc[a, c]).to_numpy() for c in columns for a, b in pairs]
stands = stats.holm(stats.p_values(samples))
right = sum(ok and s.mean() < 0 for ok, s in zip(stands, samples, strict=True))
wrong = sum(ok and s.mean() > 0 for ok, s in zip(stands, samples, strict=True))
asked = len(pairs) * 2
weakest = max(
    (stats.estimate(s) for s, ok in zip(samples, stands, strict=True) if not ok and s.mean() != 0),
    key=lambda e: e.seeds_needed() or 0,
    default=None,
)
results.claim(
    "S0-8",
    "refuted" if wrong else "supported" if right == asked else "inconclusive",
    effect=right,
    n=seeds,
    unit=f"of {asked} comparisons of neighbours decided as claimed",
    reason=f"{right} of {asked} comparisons of neighbouring ratios (steps to a train loss, onset) go the claimed way "
    f"beyond doubt, {wrong} the other way"
    + (f"; for the weakest of the rest, {more(weakest)}" if weakest else "")
    + (f". {CENSORED}" if CENSORED else ""),
)

# %% [markdown]
# S0-12: a narrower MLP is *no worse* at its best if its held-out loss lies less than 1% of the reference's above it.

# %%
margin = 0.01 * float(per_run.loc[REFERENCE, "held_out"].mean())
smaller = [r for r in ratios if r < REFERENCE]
checks = {r: paired("held_out", r) for r in smaller}
sides = {r: found.side(margin) for r, found in checks.items()}
worst = max(checks, key=lambda r: checks[r].mean)
reached_best = "inconclusive" if open_ended else None  # a loss that still falls is not a best one
where = "test" if held_out == "test" else "validation, as this profile holds no test split out"
results.claim(
    "S0-12",
    reached_best
    or ("refuted" if 1 in sides.values() else "supported" if all(s == -1 for s in sides.values()) else "inconclusive"),
    effect=checks[worst].mean,
    interval=checks[worst].interval,
    n=seeds,
    unit=f"nats, r = {worst:g} against r = {REFERENCE}",
    reason=f"best step chosen on validation, loss reported on {where}; 1% of r = {REFERENCE} is {margin:.3f} nats. "
    + "; ".join(
        f"r = {r:g}: {found}{'' if sides[r] else f' ({more(found, margin)})'}".replace("-", "−")
        for r, found in checks.items()
    )
    + (f". {CENSORED}" if CENSORED else ""),
)
results.number("margin", margin, "nats", digits=3)

# %% [markdown]
# ## Verdicts by arithmetic

# %%
plain = [m for m in MODELS if not m.gated]
fours = sum(m.ratio == 4 for m in plain)
gated = [m.ratio for m in MODELS if m.gated]
results.claim(
    "S0-1",
    "supported" if fours > len(plain) / 2 else "refuted",
    effect=fours / len(plain),
    n=len(plain),
    unit="of plain MLPs have exactly 4",
    reason=f"{fours} of {len(plain)} published models with a plain MLP have exactly 4; of {len(gated)} with a gated "
    f"one {sum(r == 4 for r in gated)}, whose ratios run from {min(gated):.2f} to {max(gated):g}",
)
results.number("published-plain", len(plain))
results.number("published-fours", fours)
results.number("published-gated", len(gated))
results.number("gated-lowest", min(gated), digits=2)
results.number("gated-highest", max(gated), digits=0)

cut = int(0.9 * corpus["tokens"])
claimed = (int(stated["training tokens"].replace(",", "")), int(stated["validation tokens"].replace(",", "")))
results.claim(
    "S0-9",
    "supported" if (cut, corpus["tokens"] - cut) == claimed else "refuted",
    n=corpus["tokens"],
    unit="characters",
    reason=f"nine tenths of {corpus['tokens']:,} characters are {cut:,}; {corpus['tokens'] - cut:,} are left",
)

# %%
excused = {"device", "evaluation"}  # where it ran, and that ours is exact: both on purpose
differs = [key for key in stated if here[key] != stated[key] and key not in excused]
paper_differs = [key for key in stated if paper[key] != stated[key] and key not in excused]
results.claim(
    "S0-10",
    "refuted" if paper_differs else "not tested" if differs else "supported",
    n=len(stated) - len(excused),
    unit="settings",
    reason=(
        f"the paper profile differs in {', '.join(paper_differs)}"
        if paper_differs
        else f"these runs are small on purpose and differ in {len(differs)} of {len(stated) - len(excused)} settings; "
        "the specification of the paper profile agrees in all"
        if differs
        else "all settings agree with the manifests, but for the device and an evaluation that is exact"
    ),
)


def expected(spec: dict, vocabulary: int) -> int:
    """Parameters of the model without any bias, by hand."""
    d, layers, block = spec["model"]["d_model"], spec["model"]["n_layer"], spec["model"]["block_size"]
    hidden = max(1, round(spec["model"]["mlp_ratio"] * d))
    return vocabulary * d + block * d + layers * (4 * d * d + 2 * d * hidden + 2 * d) + d


biased = sorted({name for m in manifests for name in m["parameters"]["tensors"] if "bias" in name})
counts = [m["parameters"]["total"] == expected(m["spec"], m["corpus"]["vocabulary"]) for m in manifests]
results.claim(
    "S0-11",
    "supported" if not biased and all(counts) else "refuted",
    effect=sum(counts),
    n=len(counts),
    unit="runs",
    reason=f"no parameter of any run is a bias, and the counts of {sum(counts)} of {len(counts)} runs equal those of a "
    "model without"
    if not biased
    else f"biases: {', '.join(biased)}",
)

# %%
results.save()
