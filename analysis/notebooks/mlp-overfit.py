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
# *Onset* is the step of a run's lowest validation loss.

# %%
per_run = milestones.of(sweep, "test" if "test" in set(sweep.rows.split) else "val")
lowest = {split: milestones.reachable(sweep, split) for split in ("val", "train")}
bar = lowest["val"] + interest.smallest(sweep)  # beyond it the curves are flat, and hardly say when
per_run["steps_to"] = milestones.reached(sweep, bar, "val")
per_run["steps_to_train"] = milestones.reached(sweep, lowest["train"])
in_doublings = per_run[["onset", "steps_to", "steps_to_train"]].apply(milestones.doublings, every=every)
open_ended = int((per_run.onset == per_run["last"]).sum())  # still improving when they were stopped


def trend(values: pd.Series) -> stats.Estimate:
    """Each seed's slope over log2 r: the change for a doubling of the ratio."""
    return stats.trend(np.log2(ratios), values.unstack("seed"))


# %% [markdown]
# ## Verdicts
# The rules were fixed before the laptop runs were looked at. A trend is each seed's least-squares slope over
# $\log_2 r$, so that it asks one question of all ratios at once; a verdict needs its 95% interval to lie on one side.

# %%
censored = (
    f"{open_ended} of {len(per_run)} runs had their best validation loss at the last evaluation, so when they would "
    "begin to overfit is not known"
    if open_ended
    else ""
)
absent = f"no run of r = {', '.join(f'{r:g}' for r in sweep.lost)} finished" if sweep.lost else ""


def sentences(*texts: str) -> str:
    """Those that say something, each with a full stop before it."""
    return "".join(f". {text}" for text in texts if text)


def judge(id: str, unit: str, *measures: Measure, note: str = "") -> None:
    """Every measure must lie on its wanted side of zero, no ratio may be missing, and every onset be known."""
    verdict = verdicts.every(*measures).unless(censored or absent)
    if censored:
        results.claim(id, verdict, n=seeds, reason=censored, seeds=sweep.seeds)
    else:
        reason = verdict.told() + sentences(note, absent)
        results.claim(id, verdict, **verdict.leading(), unit=unit, reason=reason, seeds=sweep.seeds)


onset, gap = trend(in_doublings.onset), trend(per_run.gap)
slower, delayed = (in_doublings.loc[narrow, c] - in_doublings.loc[wide, c] for c in ("steps_to", "onset"))
judge(
    "S0-5",
    "times the onset for each doubling of r",
    Measure("onset, for each doubling of r", onset, BELOW, doublings=True),
    Measure("final minus best validation loss, in nats for each doubling of r", gap),
    note=f"Onsets are known to the {every} steps between evaluations",
)

# %% [markdown]
# S0-6 compares two delays of the narrowest MLP against the widest: of the onset, and of learning. Learning is timed at
# a *validation* loss, the lowest that every run reaches plus the smallest difference of interest. (Until 2026-11-24 it
# was timed at the lowest *training* loss that every run reaches. The slowest run reaches that only at its end, long
# after its onset, so that it timed learning by heart. The rule was changed after its result was known.)

# %%
judge(
    "S0-6",
    f"times as much delay of the onset as of learning, r = {narrow:g} against r = {wide:g}",
    Measure("delay of the onset over delay of learning", stats.estimate(delayed - slower), doublings=True),
    Measure("delay of learning", stats.estimate(slower), doublings=True),
    note=f"Learning is timed at a validation loss of {bar:.2f} nats, which every run reaches",
)
for name, value in (("slower", 2 ** float(slower.mean())), ("delayed", 2 ** float(delayed.mean()))):
    results.number(name, None if open_ended else value, "times the steps", digits=2, reason=censored)
results.number("level", bar, "nats", digits=2)

# %% [markdown]
# ### How the comparison depends on the level of loss
# The same two delays at other levels of the validation and of the training loss: those at which a given share of the
# way from the first loss to the lowest that every run reaches is done. The verdict stands on none of them.

# %%
SHARES = (0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
starts = {split: float(sweep.split(split).query("step == 0").loss.mean()) for split in lowest}


def delays(split: str, level: float) -> tuple[stats.Estimate, stats.Estimate]:
    """The delay of learning of the narrowest against the widest at a level, and how much more the onset is delayed."""
    reached = milestones.reached(sweep, level, split)
    slow = np.array([np.log2(reached[narrow, s] / reached[wide, s]) for s in sweep.seeds])
    return stats.estimate(slow), stats.estimate(delayed.to_numpy() - slow)


NAMES = {"val": "validation", "train": "training"}
levels = {
    (split, share): starts[split] + share * (lowest[split] - starts[split]) for split in NAMES for share in SHARES
}
found_at = {key: delays(key[0], level) for key, level in levels.items()}
rows = [
    {
        "loss": f"{NAMES[split]}, {level:.2f}",
        "share of the way": f"{share:.0%}",
        "delay of learning": wording.factor(found_at[split, share][0]),
        "delay of the onset over it": "–" if open_ended else wording.factor(found_at[split, share][1]),
    }
    for (split, share), level in levels.items()
]
results.table(
    "levels",
    pd.DataFrame(rows),
    caption=f"r = {narrow:g} against r = {wide:g}, as factors: mean over {sweep.count} with its 95% interval. "
    f"The verdict stands on a validation loss of {bar:.2f}. Profile {profile}.",
)
if not open_ended:
    TICKS = np.log2([0.5, 0.7, 1, 1.4, 2])

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
at_levels = {split: [] if open_ended else [found_at[split, x][1].side() for x in SHARES] for split in NAMES}
results.number("levels", len(SHARES))
for split, sides in at_levels.items():
    results.number(f"levels-{NAMES[split]}-as-claimed", sides.count(1))
    results.number(f"levels-{NAMES[split]}-against", sides.count(-1))

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
hopeful = [e for e in tested.rest if e.mean < 0]
hardest = min(hopeful, key=lambda e: abs(e.mean) / (e.sd or 1e-9), default=None)
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
        f"decided as claimed and {tested.wrong} the other way; of the {len(tested.rest)} left open, "
        f"{sum(e.mean > 0 for e in tested.rest)} have means that go the other way"
        + (f", and for the faintest of the others {wording.more(hardest, level=0.05 / asked)}" if hardest else "")
        + sentences(censored),
        seeds=sweep.seeds,
    )
results.number("onset-side", onset.side())
results.number("gap-side", gap.side())
results.number("open-ended", open_ended, "runs")
results.save()
