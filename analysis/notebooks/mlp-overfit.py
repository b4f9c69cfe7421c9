# %% [markdown]
# # Is 4 the magic number? When the ratios overfit
#
# The runs of the sweep of MLP ratios, asked when each of them passes its best and how that compares with how fast it
# learns. The curves, the losses and the verdicts on learning are in the notebook mlp-ratio. All intervals are 95%
# Student's t intervals over seeds.

# %% tags=["parameters"]
experiment = "mlp-ratio"
logs = "logs"
profile = "laptop"
output = "build/analysis/mlp-overfit"

# %%
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.study import arms, interest, milestones, stats, style, verdicts, wording
from analysis.study.figures import Sweep
from analysis.study.results import Results
from analysis.study.verdicts import BELOW, Measure

results = Results(output)
sweep = arms.read(logs, experiment, profile, arms.setting("model.mlp_ratio"))
results.provenance(sweep.runs)
ratios, seeds, spec = list(sweep), len(sweep.seeds), sweep.spec
if len(ratios) < 2:
    raise arms.Incomplete(f"needs two ratios, not {ratios}")
narrow, wide = ratios[0], ratios[-1]
every = spec["eval"]["every"]

# %% [markdown]
# ## One value a run
# The *onset* of overfitting is the step at which the validation loss of a run is lowest. It is read from a curve: a
# cubic in the logarithm of the step, by least squares through the evaluations from half to twice the step of the lowest
# one (`analysis.study.milestones.fitted`). Single evaluations are noisy, and near the minimum the curve is flat, so the
# lowest of them says little about when.

# %%
per_run = milestones.of(sweep, "test" if "test" in set(sweep.rows.split) else "val")
lowest = {split: milestones.reachable(sweep, split) for split in ("val", "train")}
bar = lowest["val"] + interest.smallest(sweep)  # beyond it the curves are flat, and hardly say when
read = {name: milestones.onsets(sweep, method) for name, method in milestones.METHODS.items()}
METHOD = next(iter(read))
open_ended = int((per_run.onset == per_run["last"]).sum())  # still improving when they were stopped
per_run["onset"], per_run["error"] = read[METHOD].step, read[METHOD].error
per_run["steps_to"] = milestones.reached(sweep, bar, "val")
per_run["steps_to_train"] = milestones.reached(sweep, lowest["train"])
in_doublings = per_run[["onset", "steps_to", "steps_to_train"]].apply(milestones.doublings, every=every)


def trends(values: pd.Series) -> tuple[stats.Estimate, stats.Estimate | None]:
    """Each seed's slope over log2 r, the change for a doubling of the ratio: over all ratios, and without the first."""
    frame = values.unstack("seed")
    return stats.trend(np.log2(ratios), frame), stats.trend_above(np.log2(ratios), frame)


# %% [markdown]
# ## Verdicts
# A trend is each seed's least-squares slope over $\log_2 r$, so that it asks one question of all ratios at once; a
# verdict needs its 95% interval to lie on one side, with the narrowest ratio and without it. (Until 2026-11-24 the
# onset was the lowest evaluation, and no verdict looked at the trend without r = 1. Both were changed after the results
# were known.)

# %%
censored = wording.censored(open_ended, len(per_run))
absent = f"no run of r = {', '.join(f'{r:g}' for r in sweep.lost)} finished" if sweep.lost else ""


def judge(id: str, unit: str, verdict: verdicts.Verdict, note: str) -> None:
    """No ratio may be missing, and every onset has to be known."""
    verdict = verdict.unless(censored or absent)
    if censored:
        results.claim(id, verdict, n=seeds, reason=censored, seeds=sweep.seeds)
    else:
        reason = verdict.told() + wording.sentences(note, absent)
        results.claim(id, verdict, **verdict.leading(), unit=unit, reason=reason, seeds=sweep.seeds)


def sooner(onset: stats.Estimate, gap: stats.Estimate, where: str) -> verdicts.Verdict:
    """The onset comes earlier and the rise after it is larger for a doubling of r."""
    return verdicts.every(
        Measure(f"onset, for each doubling of r{where}", onset, BELOW, doublings=True),
        Measure(f"final minus best validation loss, in nats for each doubling of r{where}", gap),
    )


def overfits(onset: pd.Series) -> verdicts.Verdict:
    """The verdict on S0-5, from onsets in doublings: over all ratios, and the same without the narrowest."""
    (onset_all, onset_above), (gap_all, gap_above) = trends(onset), trends(per_run.gap)
    leading = sooner(onset_all, gap_all, "")
    if onset_above is None or gap_above is None:
        return leading
    return verdicts.agreed(leading, [sooner(onset_above, gap_above, WITHOUT)], f"without r = {narrow:g}")


WITHOUT = f", without r = {narrow:g}"
known = 2 ** float(per_run.error.median()) - 1  # of one run, as a share; not a number where nothing was fitted
ERROR = f", with a standard error of {known:.0%} in the median run" if np.isfinite(known) else ""
judge(
    "S0-5",
    "times the onset for each doubling of r",
    overfits(in_doublings.onset),
    f"The onset is read from a cubic through the evaluations around the lowest{ERROR}",
)

# %%
as_read = {name: milestones.doublings(found.step, every) for name, found in read.items()}
by_method = []
for name, onset in as_read.items():
    both = trends(onset)
    by_method.append(
        {
            "onset read from": name,
            f"r = {narrow:g}": wording.cell(stats.estimate(read[name].step.loc[narrow].to_numpy()), 0),
            f"r = {wide:g}": wording.cell(stats.estimate(read[name].step.loc[wide].to_numpy()), 0),
            "for each doubling of r": wording.factor(both[0]),
            f"without r = {narrow:g}": "–" if both[1] is None else wording.factor(both[1]),
            "S0-5": "–" if open_ended else overfits(onset).unless(absent).word,
        }
    )
results.table(
    "onsets",
    pd.DataFrame(by_method),
    caption=f"The onset of overfitting by {len(read)} methods: steps at the narrowest and the widest ratio, the factor "
    "for each doubling of r with and without the narrowest, and the verdict that each would give. The first is the one "
    f"that counts. {sweep.count}, 95% intervals. Profile {profile}.",
)
words = [row["S0-5"] for row in by_method]
results.number("methods", len(words))
results.number("methods-agreeing", words.count(words[0]))
results.number("onset-known", 100 * known if np.isfinite(known) else None, "%", digits=0, reason="nothing was fitted")
for name, values in (("onset", in_doublings.onset), ("gap", per_run.gap)):
    for where, found in zip(("", "-above"), trends(values), strict=True):
        results.number(f"{name}-side{where}", found and found.side(), reason="too few ratios")
for name, r in (("narrow", narrow), ("wide", wide)):
    results.estimate(f"onset-{name}", stats.estimate(per_run.onset.loc[r].to_numpy()), "steps", 0)

# %% [markdown]
# S0-6 compares two delays of a narrow MLP against the widest: of the onset, and of learning. Learning is timed at a
# *validation* loss, the lowest that every run reaches plus the smallest difference of interest. The verdict is on the
# narrowest, and has to be the same for the one beside it. (Until 2026-11-24 learning was timed at the lowest *training*
# loss that every run reaches. The slowest run reaches that only at its end, long after its onset, so that it timed
# learning by heart. The rule was changed after its result was known.)


# %%
def against_wide(doublings: pd.Series, r: float) -> np.ndarray:
    """How many doublings later than in the widest, seed by seed."""
    return (doublings.loc[r] - doublings.loc[wide]).to_numpy()


def delay(r: float, steps_to: pd.Series) -> verdicts.Verdict:
    """The onset is delayed by more than learning, which is delayed; `steps_to` are the doublings of steps to a loss."""
    slower, delayed = against_wide(steps_to, r), against_wide(in_doublings.onset, r)
    return verdicts.every(
        Measure(
            f"delay of the onset over delay of learning, r = {r:g}", stats.estimate(delayed - slower), doublings=True
        ),
        Measure(f"delay of learning, r = {r:g}", stats.estimate(slower), doublings=True),
    )


def delays_at(steps_to: pd.Series) -> verdicts.Verdict:
    """The whole rule: of the narrowest ratio, and the same for the one beside it."""
    leading = delay(narrow, steps_to)
    if len(ratios) < 3:
        return leading
    return verdicts.agreed(leading, [delay(ratios[1], steps_to)], f"for r = {ratios[1]:g}")


slower, delayed = against_wide(in_doublings.steps_to, narrow), against_wide(in_doublings.onset, narrow)
results.number("delay-narrow", int(delay(narrow, in_doublings.steps_to).word in (verdicts.SUPPORTED, verdicts.AGREES)))
if len(ratios) > 2:
    results.number("delay-next", ratios[1], digits=0 if float(ratios[1]).is_integer() else 2)
verdict = delays_at(in_doublings.steps_to)
judge(
    "S0-6",
    f"times as much delay of the onset as of learning, r = {narrow:g} against r = {wide:g}",
    verdict,
    f"Learning is timed at a validation loss of {bar:.2f} nats, which every run reaches",
)
for name, value in (("slower", 2 ** float(slower.mean())), ("delayed", 2 ** float(delayed.mean()))):
    results.number(name, None if open_ended else value, "times the steps", digits=2, reason=censored)
results.number("level", bar, "nats", digits=2)

# %% [markdown]
# ### How the comparison depends on the level of loss
# The same two delays at other levels of the validation and of the training loss: those at which a given share of the
# way from the first loss to the lowest that every run reaches is done. The verdict stands on none of them; what the
# whole rule would say at each of them is counted.

# %%
SHARES = (0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
starts = {split: float(sweep.split(split).query("step == 0").loss.mean()) for split in lowest}


def delays(steps_to: pd.Series) -> tuple[stats.Estimate, stats.Estimate]:
    """The delay of learning of the narrowest against the widest, and how much more the onset is delayed."""
    slow = against_wide(steps_to, narrow)
    return stats.estimate(slow), stats.estimate(delayed - slow)


NAMES = {"val": "validation", "train": "training"}
levels = {
    (split, share): starts[split] + share * (lowest[split] - starts[split]) for split in NAMES for share in SHARES
}
timed_at = {
    (split, share): milestones.doublings(milestones.reached(sweep, level, split), every)
    for (split, share), level in levels.items()
}
found_at = {key: delays(steps_to) for key, steps_to in timed_at.items()}
words_at = {key: delays_at(steps_to).unless(absent).word for key, steps_to in timed_at.items()}
rows = [
    {
        "loss": f"{NAMES[split]}, {level:.2f}",
        "share of the way": f"{share:.0%}",
        "delay of learning": wording.factor(found_at[split, share][0]),
        "delay of the onset over it": "–" if open_ended else wording.factor(found_at[split, share][1]),
        "S0-6": "–" if open_ended else words_at[split, share],
    }
    for (split, share), level in levels.items()
]
results.table(
    "levels",
    pd.DataFrame(rows),
    caption=f"r = {narrow:g} against r = {wide:g}, as factors: mean over {sweep.count} with its 95% interval; and what "
    "the whole rule of S0-6 would say with learning timed there, which asks for a delay of learning and for a larger "
    f"one of the onset{f', at r = {narrow:g} and at r = {ratios[1]:g}' if len(ratios) > 2 else ''}. The verdict stands "
    f"on a validation loss of {bar:.2f}. Profile {profile}.",
)

# %%
if not open_ended:
    TICKS = np.log2([0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.4, 2])

    def as_factors(ax: Axes) -> None:
        """The axis of doublings, labelled as factors, and a line where both delays are the same."""
        ax.axhline(0, color=style.muted(), linewidth=0.8)
        ax.set_yticks(TICKS, [f"{2**tick:.1f}" for tick in TICKS])

    by_split = {NAMES[split]: [found_at[split, share][1] for share in SHARES] for split in NAMES}
    results.figure(
        "levels",
        Sweep(
            "Delay of the onset over delay of learning",
            "share of the way to the lowest loss that all reach",
            "factor (log scale)",
            at=SHARES,
            lines=by_split,
            log=False,
            shape=as_factors,
        ),
        alt="How much more the onset is delayed than learning, against the level of loss at which learning is timed, "
        "on validation and on training text.",
        caption=f"r = {narrow:g} against r = {wide:g}; above 1 the onset is delayed by more than learning, as the "
        f"source says. Mean over {sweep.count} with its 95% interval. Profile {profile}.",
    )
results.number("levels", len(SHARES))
for split in NAMES:
    words = [] if open_ended else [words_at[split, share] for share in SHARES]
    results.number(f"levels-{NAMES[split]}-supported", words.count(verdicts.SUPPORTED))
    results.number(f"levels-{NAMES[split]}-refuted", words.count(verdicts.REFUTED))

# %% [markdown]
# The delay of learning at three of these training losses: four fifths of the way; the lowest that the widest reaches
# before its own onset; and the lowest that all reach.

# %%
onset = float(in_doublings.onset.loc[wide].mean())
before = [share for share in SHARES if float(timed_at["train", share].loc[wide].mean()) < onset]
for name, share in {"most": 0.8, "before": max(before, default=None), "all": 1.0}.items():
    if share and not open_ended:
        found = found_at["train", share][0]
        ends = found.interval and (2 ** found.interval[0], 2 ** found.interval[1])
        results.number(f"delay-at-{name}", 2**found.mean, "times the steps", digits=2, interval=ends)
        results.number(f"loss-at-{name}", levels["train", share], "nats", digits=2)
most, everything = (against_wide(timed_at["train", share], narrow) for share in (0.8, 1.0))
results.number("delay-grows", int(not open_ended and stats.estimate(everything - most).side() > 0))

# %% [markdown]
# S0-8 asks every pair of neighbours among the source's widths the two questions, with Holm's correction for asking all.

# %%
WIDTHS = [1, 2, 3, 4, 5]  # those of the source
lacking = [r for r in WIDTHS if r not in ratios]
pairs = [] if lacking else list(pairwise(WIDTHS))
columns = {"steps_to_train": "steps to a train loss"} | ({} if open_ended else {"onset": "onset"})
neighbours = {
    f"{name}, r = {b} over r = {a}": (in_doublings.loc[b, c] - in_doublings.loc[a, c]).to_numpy()
    for c, name in columns.items()
    for a, b in pairs
}
tested, asked = verdicts.stepdown(list(neighbours.values()), BELOW), len(pairs) * 2
turned = sum(one.mean > 0 for one in tested.rest)
least = max((one.findable(0.05 / asked) or 0.0 for one in tested.rest), default=0.0)
outlook = (
    "one seed has no interval"
    if seeds < 2
    else f"the means of {turned} of them go the other way; if these are the true ones, no number of seeds can help"
    if turned
    else f"the least steady of them would have to differ by a factor of {2**least:.2f} for {wording.seeds(seeds)} to "
    "find it four times out of five"
)
if lacking:
    results.claim("S0-8", "not tested", reason=f"these runs lack r = {', '.join(f'{r:g}' for r in lacking)}")
else:
    results.claim(
        "S0-8",
        tested.verdict(
            asked,
            "Each step from one ratio to the next must lower both, by the t test with Holm's correction; one that "
            "raises either refutes.",
            *(Measure(name, stats.estimate(v), BELOW, doublings=True) for name, v in neighbours.items()),
        ),
        n=seeds,
        reason=f"{tested.right} of {asked} comparisons of neighbouring ratios (steps to a train loss, onset) are "
        f"decided as claimed and {tested.wrong} the other way; {len(tested.rest)} are left open"
        + (f", and {outlook}" if tested.rest else "")
        + wording.sentences(censored),
        seeds=sweep.seeds,
    )
results.number("open-ended", open_ended, "runs")
results.save()
