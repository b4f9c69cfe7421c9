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
import numpy as np
import pandas as pd

from analysis.study import arms, baselines, interest, milestones, optimum, stats, verdicts, wording
from analysis.study.figures import Curves, Dots, Smoothed
from analysis.study.results import Results
from analysis.study.verdicts import BELOW, Measure

REFERENCE = 4  # the ratio that the others are compared with
LUCK = 10  # times less scatter than elsewhere: more than seeds are alike
results = Results(output)

# %% [markdown]
# ## The evidence
# Only runs that the experiment plans are read. A run whose loss was not finite is counted, and left out of means. A
# ratio that no seed finished leaves every verdict on ratios open.

# %%
sweep = arms.read(logs, "mlp-ratio", profile, arms.setting("model.mlp_ratio"))
results.provenance(sweep.runs)
ratios, seeds, spec, counts = list(sweep), len(sweep.seeds), sweep.spec, baselines.read(logs, sweep)
if not {REFERENCE} < set(ratios):
    raise arms.Incomplete(f"needs r = {REFERENCE} and another ratio, not {ratios}")
narrow, wide = ratios[0], ratios[-1]
held_out = "test" if "test" in set(sweep.rows.split) else "val"
every = spec["eval"]["every"]
BAND = f"Lines: mean over {sweep.count}; bands: 95% interval of that mean. Profile {profile}.{sweep.omitted}"

# %% [markdown]
# ## Curves
# The first pair is drawn the way TensorBoard shows a run: one seed, the raw values faint, and over them an exponential
# moving average with weight 0.6. Its first panel is the loss of the training batches, dropout on, as logged.

# %%
LOSS = "loss (nats per character)"


def board(split: str) -> Smoothed:
    """One seed's losses, a line a ratio."""
    lines = {f"r = {r:g}": losses[sweep.seeds[0]] for r, losses in sweep.curves(split).items()}
    return Smoothed(f"{split.replace('batch', 'train')}/loss", "step", LOSS, lines=lines)


def curves(split: str, title: str, low: float, log: bool = False) -> Curves:
    """A line a ratio from step `low` on: the mean over seeds, with the band of its interval."""
    lines = {f"r = {r:g}": losses[losses.index >= low] for r, losses in sweep.curves(split).items()}
    x, y = ("step (log scale)", "loss (nats per character, log scale)") if log else ("step", LOSS)
    return Curves(title, x, y, lines=lines, log=log, levels=counts.levels() if split == "val" else {})


results.figure(
    "board",
    [board("batch"), board("val")],
    alt=[
        f"Loss of training batches against step for {len(ratios)} MLP ratios, one seed.",
        f"Validation loss against step for {len(ratios)} MLP ratios, one seed.",
    ],
    caption=f"As TensorBoard would show them: seed {sweep.seeds[0]} alone, raw values "
    f"faint, TensorBoard's smoothing of {Smoothed.weight} over them. Profile {profile}.{sweep.omitted}",
)

# %%
part = spec["eval"].get("train_tokens")  # of the training split; the whole of it unless said
SEEN = f"Validation and {part:,} characters of training" if part else "Both splits"
later = max(every, spec["train"]["warmup_steps"])  # a logarithmic axis has no place for step 0
results.figure(
    "curves",
    [curves("train", "Training split", later, log=True), curves("val", "Validation split", later, log=True)],
    alt=[
        "Training loss against step on logarithmic axes, a line for each MLP ratio.",
        "Validation loss against step on logarithmic axes, a line for each MLP ratio.",
    ],
    caption=f"{SEEN} evaluated exactly, every character once, dropout off, on logarithmic axes. {BAND}{counts.note}",
)

# %% [markdown]
# ## One value a run
# Best, final and onset are different questions: *best* is the lowest validation loss of a run, *onset* the step at
# which a cubic through the evaluations around it is lowest (the notebook mlp-overfit has other ways to read it),
# *final* the loss after the last step. What is chosen on validation is reported on held-out text.

# %%
per_run = milestones.of(sweep, held_out)
bar = milestones.reachable(sweep)
per_run["steps_to"] = milestones.reached(sweep, bar)
in_doublings = per_run[["steps_to"]].apply(milestones.doublings, every=every)
open_ended = int((per_run.onset == per_run["last"]).sum())  # still improving when they were stopped
per_run["onset"] = milestones.onsets(sweep).step


def at(column: str, ratio: float) -> stats.Estimate:
    """The mean of a column at one ratio."""
    return stats.estimate(per_run.loc[ratio, column].to_numpy())


def against(column: str, ratio: float, among: int = 1) -> stats.Estimate:
    """The difference from the reference, seed by seed, as one of so many comparisons."""
    return arms.difference(per_run[column].unstack("seed").T, ratio, REFERENCE, among)


def trends(values: pd.Series) -> tuple[stats.Estimate, stats.Estimate | None]:
    """Each seed's slope over log2 r, the change for a doubling of the ratio: over all ratios, and without the first."""
    frame = values.unstack("seed")
    return stats.trend(np.log2(ratios), frame), stats.trend_above(np.log2(ratios), frame)


# %% [markdown]
# The zoomed pair looks at the region around the best validation loss.

# %%
middle = per_run.onset.median()
results.figure(
    "zoom",
    [
        curves("train", "Training split, from half-way to the onset", middle / 2),
        curves("val", "Validation split, from half-way to the onset", middle / 2),
    ],
    alt=[
        "Training loss from half the median onset step on, a line for each MLP ratio.",
        "Validation loss from half the median onset step on, a line for each MLP ratio: it falls, then rises again."
        if open_ended < len(per_run)
        else "Validation loss, a line for each MLP ratio: it falls throughout.",
    ],
    caption=f"The same losses on straight axes, from step {middle / 2:,.0f}, half of the median onset. {BAND}",
)
best, onsets = ({r: at(column, r) for r in ratios} for column in ("best", "onset"))
results.figure(
    "by-ratio",
    [
        Dots("Best validation loss", "MLP ratio r", LOSS, dots=best, seeds="joined", named=sweep.seeds),
        Dots("Onset of overfitting", "MLP ratio r", "step", dots=onsets, seeds="joined", named=sweep.seeds),
    ],
    alt=[
        "Best validation loss against the MLP ratio, with intervals.",
        "Onset of overfitting against the MLP ratio, with intervals.",
    ],
    caption=f"First, the lowest validation loss of a run; second, the step at which a cubic through the evaluations "
    f"around it, {every} steps apart, is lowest. Dots: mean over {sweep.count}, with its 95% interval; faint lines "
    f"join the runs of one seed. Profile {profile}.{sweep.omitted}",
)

# %% [markdown]
# ## What the models write
# The samples that the narrowest and the widest model of one seed leave at their end.

# %%
FIRST = sweep.seeds[0]


def written(ratio: float) -> list[str]:
    """The lines of a run's sample, without empty ones; none where it left no sample."""
    path = sweep.kept[ratio][FIRST].path / "samples.txt"
    whole = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [line for line in whole.splitlines() if line.strip()]


sampled = {f"r = {r:g}": lines for r in (narrow, wide) if (lines := written(r))}
if sampled:
    results.table(
        "samples",
        pd.DataFrame([{name: "\n".join(lines) for name, lines in sampled.items()}]),
        caption=f"The samples that the runs of seed {FIRST} leave after {sweep.spec['train']['steps']:,} steps: from a "
        f"line break on, at temperature 1, empty lines left out. Profile {profile}.",
    )
results.number("samples", len(sampled), "runs")

# %% [markdown]
# ## Tables

# %%
COLUMNS = {
    "train_end": ("train loss at the end", 3),
    "best": ("best validation loss", 3),
    **({"held_out": ("test loss at the best", 3)} if held_out == "test" else {}),
    "onset": ("onset, step", 0),
    "final": ("final validation loss", 3),
}
absolute = [key for key in COLUMNS if key != "held_out"]
rows = [
    {"r": f"{r:g}", "parameters": f"{sweep.parameters[r]:,}"}
    | {COLUMNS[key][0]: wording.cell(at(key, r), COLUMNS[key][1]) for key in absolute}
    for r in ratios
]
results.table(
    "ratios",
    counts.below(pd.DataFrame(rows), COLUMNS["best"][0]),
    caption=f"Losses in nats per character: mean over {sweep.count} ± half of the 95% interval. Profile {profile}."
    f"{counts.note}",
)
COLUMNS["onset"] = ("onset, steps", 0)
OTHERS = len(ratios) - 1
results.table(
    "differences",
    pd.DataFrame(
        [
            {"r": f"{r:g}"}
            | {title: wording.cell(against(key, r, OTHERS), digits) for key, (title, digits) in COLUMNS.items()}
            for r in ratios
            if r != REFERENCE
        ]
    ),
    caption=f"Differences from r = {REFERENCE}, paired by seed: mean over {sweep.count} ± half of the 95% "
    f"interval{wording.corrected(OTHERS)} a column. Below zero is lower, or earlier, than r = {REFERENCE}.",
)

# %% [markdown]
# ## Numbers for the text

# %%
means = per_run.groupby("arm").mean()
results.number("seeds", seeds)
results.number("runs", len(per_run))
results.number("diverged", len(sweep.diverged))
results.number("ratio-count", len(ratios))
results.number("bar", bar, "nats", digits=3)
results.number("best-ratio", means.best.idxmin(), digits=0 if float(means.best.idxmin()).is_integer() else 2)
# Of held-out losses at an equal width and equal steps, where a larger ratio is a larger model.
optimum.report(results, optimum.find({float(r): per_run.loc[r].held_out.to_numpy() for r in ratios}), "held-out-")
counts.report(results, per_run.loc[means.best.idxmin(), "held_out"].to_numpy(), "nats")
for name, r in (("narrow", narrow), ("reference", REFERENCE), ("wide", wide)):
    for column, digits in (("best", 3), ("final", 3), ("train_end", 3), ("steps_to", 0)):
        results.estimate(f"{column.replace('_', '-')}-{name}", at(column, r), "nats" if digits else "steps", digits)

# %% [markdown]
# ## Verdicts
# A trend is each seed's least-squares slope over $\log_2 r$, so that it asks one question of all ratios at once; a
# verdict needs its 95% interval to lie on one side, with the narrowest ratio and without it. (The second condition came
# on 2026-11-24, after the results were known.)

# %%
censored = wording.censored(open_ended, len(per_run))
absent = f"no run of r = {', '.join(f'{r:g}' for r in sweep.lost)} finished" if sweep.lost else ""


def learns(steps: stats.Estimate, end: stats.Estimate, where: str) -> verdicts.Verdict:
    """Fewer steps to a train loss, and a lower one at the end, for a doubling of r."""
    return verdicts.every(
        Measure(f"steps to a train loss of {bar:.2f}, for each doubling of r{where}", steps, BELOW, doublings=True),
        Measure(f"train loss at the end, in nats for each doubling of r{where}", end, BELOW),
    )


(steps_all, steps_above), (end_all, end_above) = trends(in_doublings.steps_to), trends(per_run.train_end)
verdict = learns(steps_all, end_all, "")
if steps_above is not None and end_above is not None:
    without = f"without r = {narrow:g}"
    verdict = verdicts.agreed(verdict, [learns(steps_above, end_above, f", {without}")], without)
verdict = verdict.unless(absent)
results.claim(
    "S0-4",
    verdict,
    **verdict.leading(),
    unit="times the steps for each doubling of r",
    reason=verdict.told() + wording.sentences(absent),
    seeds=sweep.seeds,
)

# %% [markdown]
# S0-12: a narrower MLP is *no worse* at its best if its held-out loss lies above the reference's by less than the
# smallest difference of interest (`analysis.study.interest`, the same for all posts). A loss that still falls is not a
# best one, so then the claim stays open.

# %%
margin = interest.smallest(sweep, held_out)
checks = {r: against("held_out", r) for r in ratios if r < REFERENCE}
worst = max(checks, key=lambda r: (checks[r].interval or (0, checks[r].mean))[1])  # the one nearest to the margin
where = "test" if held_out == "test" else "validation, as this profile holds no test split out"
verdict = verdicts.every(*(Measure(f"r = {r:g}", found, BELOW, margin) for r, found in checks.items()))
widest = max(found.sd for found in checks.values())
alike = [f"{r:g}" for r, found in checks.items() if found.n > 1 and found.sd < widest / LUCK]
by_luck = f"That the seeds of r = {' and '.join(alike)} agree so closely is luck: they need not again" if alike else ""
results.claim(
    "S0-12",
    verdict.unless("; ".join(filter(None, (censored, absent)))),
    effect=checks[worst].mean,
    interval=checks[worst].interval,
    n=seeds,
    unit=f"nats, r = {worst:g} against r = {REFERENCE}",
    reason=f"best step chosen on validation, loss reported on {where}; the smallest difference of interest is "
    f"{margin:.3f} nats. {verdict.told()}{wording.sentences(censored, absent, by_luck)}",
    seeds=sweep.seeds,
)

gains = {
    name: [arms.pairing(per_run[column].unstack("seed").T, r, REFERENCE) for r in ratios if r != REFERENCE]
    for name, column in (("best", "best"), ("train", "train_end"))
}
for name, factors in gains.items():
    told = [one for one in factors if one is not None]
    middle = float(np.median(told)) if told else None
    results.number(f"pairing-{name}", middle, "times", digits=1, reason="one seed has no scatter")
interest.report(results, sweep, REFERENCE, "nats")
results.estimate("worst-narrower", checks[worst], "nats", digits=3)
results.number("worst-narrower-ratio", worst, digits=0 if float(worst).is_integer() else 2)
results.save()
