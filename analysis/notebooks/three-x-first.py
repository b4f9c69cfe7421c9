# %% [markdown]
# # Does a 3× MLP buy 15%? The first steps
#
# A note says that its model shows no speed-up in its first steps, because these compile, or without `torch.compile`. So
# each repetition here compiles from nothing, as on a machine that never did.

# %% tags=["parameters"]
experiments = ["first-step"]
logs = "logs"
profile = "laptop"
output = "build/analysis/three-x-first"

# %%
import math

import numpy as np
import pandas as pd

from analysis.study import arms, pace, stats, style, verdicts
from analysis.study.figures import Rows, Traces
from analysis.study.results import Results
from analysis.study.verdicts import BELOW, Measure
from analysis.study.wording import change, spread

OLD, NEW = "d12", "d12_mlp3x"
results = Results(output)
timed = arms.read(logs, experiments[0], profile, diverged=True, all_planned=True)
results.provenance(timed.runs)

# %% [markdown]
# ## The verdict
# S1-22 holds if there *is* a speed-up after the first step with compilation, and none in the first step or without; it
# does not if compiled steps after the first show the contrary of a speed-up. Seconds decide nothing unless they come
# from several sittings (`analysis.study.pace`), and no interval is given for those of one.

# %%
traces = {arm: {s: pace.steps(run) for s, run in by_seed.items()} for arm, by_seed in timed.kept.items()}
firsts = {arm: {s: float(steps.iloc[0]) for s, steps in by_seed.items()} for arm, by_seed in traces.items()}
later = {arm: {s: pace.usual(run) for s, run in by_seed.items()} for arm, by_seed in timed.kept.items()}
sat, one_sitting = pace.sittings(timed), pace.obstacle(timed)
shown_as = spread if one_sitting else change
NOTICED = 0.075  # of the steps a second: half of what the note promises
FIRST, AFTER, WITHOUT = "the first step", "compiled, after the first step", "without compilation"
found = {
    AFTER: pace.faster(later, NEW, OLD, sat),
    FIRST: pace.faster(firsts, NEW, OLD, sat),
    WITHOUT: pace.faster(later, f"{NEW}_eager", f"{OLD}_eager", sat),
}
hidden = all(found[name].side(NOTICED) == -1 for name in (FIRST, WITHOUT))
side = found[AFTER].side()
verdict = verdicts.Verdict(
    verdicts.REFUTED if side == -1 else verdicts.SUPPORTED if side == 1 and hidden else verdicts.INCONCLUSIVE,
    "Supported if compiled steps after the first are faster, and if of the first step and of steps without compilation "
    f"it is shown that they are faster by less than {NOTICED:.1%}, half of what the note promises; refuted if compiled "
    "steps after the first are slower.",
    (
        Measure(AFTER, found[AFTER], bare=bool(one_sitting)),
        *(Measure(name, found[name], BELOW, NOTICED, bare=bool(one_sitting)) for name in (FIRST, WITHOUT)),
    ),
).unless(one_sitting)
leading = verdict.leading()
results.claim(
    "S1-22",
    verdict,
    effect=round(100 * leading["effect"], 1),
    interval=leading["interval"] and tuple(100 * end for end in leading["interval"]),
    n=leading["n"],
    unit="% tokens a second, d12_mlp3x against d12",
    reason=", ".join(f"{name} {shown_as(one)}" for name, one in found.items())
    + (f"; that decides nothing, as {one_sitting}" if one_sitting else ""),
    seeds=timed.seeds,
)

# %%
WHERE, TAKEN = pace.where(timed, profile), pace.taken(timed)
results.figure(
    "first-steps",
    [
        Rows("Speed", "speed against d12 (%)", rows=found, spread=bool(one_sitting)),
        Traces("From the first step on", "step", "seconds (log scale)", lines=traces, log=True, shape=style.whole),
    ],
    alt=[
        "Speed of the 3x model against d12: in compiled steps after the first, in the first step, without compilation.",
        "Seconds of each step of d12 and of the 3x model, with and without compilation, a line a repetition.",
    ],
    caption=f"First, speed of `d12_mlp3x` against `d12`. {TAKEN} Second, every step of every repetition; each first "
    f"one compiles from nothing. {WHERE}.",
    experiment="first-step",
)


# %%
def seconds(values: dict[int, float]) -> str:
    """The mean of repetitions in seconds, with the lowest and the highest."""
    return f"{np.mean(list(values.values())):.2f} ({min(values.values()):.2f} to {max(values.values()):.2f})"


results.table(
    "first-steps",
    pd.DataFrame(
        [
            {"model": arm, "first step (s)": seconds(firsts[arm]), "later steps (s)": seconds(later[arm])}
            for arm in timed.kept
        ]
    ),
    caption=f"Seconds a step: mean, lowest and highest of {len(timed.seeds)} repetitions; of later steps, the median "
    f"of each. {WHERE}.",
)
usual = {arm: stats.estimate(list(later[arm].values())).mean for arm in (OLD, f"{OLD}_eager")}
first = stats.estimate(list(firsts[OLD].values()))


def pays(seeds: list[int]) -> float:
    """After how many steps compilation has paid for itself in a sitting; infinite where it saves no time."""
    compiled, eager = ([later[arm][s] for s in seeds] for arm in (OLD, f"{OLD}_eager"))
    gained = float(np.mean(eager) - np.mean(compiled))
    spent = float(np.mean([firsts[OLD][s] for s in seeds]) - np.mean(compiled))
    return math.ceil(spent / gained) if gained > 0 else math.inf


paid = [pays(seeds) for seeds in sat]
in_time = [steps for steps in paid if math.isfinite(steps)]
for name, value in (("first", first.mean), ("first-low", min(first.values)), ("first-high", max(first.values))):
    results.number(name, float(value), "s", digits=0)
results.number("usual", usual[OLD], "s", digits=2)
results.number("eager", usual[f"{OLD}_eager"], "s", digits=2)
results.number("pays-soonest", min(in_time, default=None), "steps", reason="compilation saved no time")
results.number("pays-latest", max(in_time, default=None), "steps", reason="compilation saved no time")
results.number("pays-never", len(paid) - len(in_time))
results.number("first-sittings", len(sat), f"sitting{'s' * (len(sat) > 1)}")
results.estimate("first-speed", found[AFTER], "%", digits=1, scale=100)
results.number("first-decides", int(not one_sitting))
results.number("repetitions", len(timed.seeds), "repetitions")
results.save()
