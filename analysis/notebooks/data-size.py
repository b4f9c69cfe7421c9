# %% [markdown]
# # Does overfitting come from the small text? Onset against data size
#
# The title experiment's model on texts of several sizes, at several ratios, at a constant learning rate, so that the
# onset of overfitting does not depend on how long a run was meant to be. The *onset* is the step of the lowest
# validation loss. One of the ratios is trained once more with dropout, and once more with strong weight decay.
# Seeds are paired. All intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
logs = "logs"
profile = "laptop"
output = "build/analysis/data-size"

# %%
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.study import arms, baselines, stats, verdicts, wording
from analysis.study.figures import Curves, Sweep
from analysis.study.results import Results
from analysis.study.verdicts import ABOVE, BELOW, Measure

results = Results(output)

# %% [markdown]
# ## The evidence

# %%
sweep = arms.read(logs, "data-size", profile, all_planned=True)
results.provenance(sweep.runs)
specs = {arm: next(iter(by_seed.values())).manifest["spec"] for arm, by_seed in sweep.kept.items()}
PLAIN, DROPOUT, DECAY = "plain", "dropout", "weight decay"
usual = min(spec["train"]["weight_decay"] for spec in specs.values())


def what(spec: dict) -> tuple[int, float, str]:
    """Characters of training text, ratio, and what holds the model back."""
    start, stop = spec["data"]["train"]
    kind = DROPOUT if spec["model"]["dropout"] else DECAY if spec["train"]["weight_decay"] > usual else PLAIN
    return stop - start, spec["model"]["mlp_ratio"], kind


of = {arm: what(spec) for arm, spec in specs.items()}
sizes, ratios = (sorted({found[i] for found in of.values()}) for i in (0, 1))
kinds = [kind for kind in (PLAIN, DROPOUT, DECAY) if kind in {found[2] for found in of.values()}]
named = {found: arm for arm, found in of.items()}
held = max(r for _, r, kind in of.values() if kind != PLAIN)  # the ratio of the regularised runs
curves, seeds = sweep.curves(), sweep.seeds
onsets = {arm: losses.idxmin().to_numpy(dtype=float) for arm, losses in curves.items()}
lasts = {arm: losses.index[-1] for arm, losses in curves.items()}
unfinished = {arm: int((onsets[arm] == lasts[arm]).sum()) for arm in curves}  # still improving when they were stopped
SIZE = "characters of training text (log scale)"
counts = {size: baselines.of(logs, sweep, specs[named[size, held, PLAIN]]) for size in sizes}
NOTE = f"Profile {profile}.{sweep.omitted}"
OVER = f"over {sweep.count}, with the 95% interval of that mean"


def log_axis(ax: Axes) -> None:
    """Logarithms as the steps that they stand for, and room beside the first and the last size."""
    ax.margins(x=0.06)
    low, high = ax.get_ylim()
    steps = [digit * 10**power for power in range(5) for digit in (1, 2, 5)]
    shown = [step for step in steps if low <= np.log2(step) <= high]
    ax.set_yticks(np.log2(shown), [f"{step:,}" for step in shown])


def onset(size: int, ratio: float, kind: str) -> stats.Estimate:
    """The logarithm to base 2 of the onset, as the fit has it: its interval has no step below zero."""
    return stats.estimate(np.log2(onsets[named[size, ratio, kind]]))


def line(ratio: float, kind: str) -> list[stats.Estimate]:
    """The onsets of a ratio, size by size."""
    return [onset(size, ratio, kind) for size in sizes]


# %%
results.figure(
    "onsets",
    [
        Sweep(
            "Onset by ratio", SIZE, "onset (step, log scale)", shape=log_axis,
            at=sizes, lines={f"r = {r:g}": line(r, PLAIN) for r in ratios},
        ),
        Sweep(
            f"Held back, r = {held:g}", SIZE, "onset (step, log scale)", shape=log_axis,
            at=sizes, lines={kind: line(held, kind) for kind in kinds},
        ),
    ],
    alt=[
        "Step of the best validation loss against the size of the training text, a line for each ratio.",
        "The same for one ratio, plain, with dropout and with strong weight decay.",
    ],
    caption=f"Equal width, batches and learning rate; the text grows from left to right. A run whose best loss is its "
    f"last counts with its last step. Geometric mean {OVER}. {NOTE}",
)  # fmt: skip
shown = {f"{size:,}": curves[named[size, held, PLAIN]].iloc[1:] for size in sizes}
results.figure(
    "curves",
    [
        Curves(f"Plain, r = {held:g}", "step (log scale)", "validation loss (nats, log scale)", lines=shown, log=True),
        Curves(
            f"{sizes[0]:,} characters, r = {held:g}", "step (log scale)", "validation loss (nats, log scale)", log=True,
            lines={kind: curves[named[sizes[0], held, kind]].iloc[1:] for kind in kinds},
        ),
    ],
    alt=[
        "Validation loss against step, a line for each size of the training text.",
        "Validation loss against step on the smallest text: plain, with dropout and with strong weight decay.",
    ],
    caption=f"Every character of the validation split is predicted once. Mean over {sweep.count}. {NOTE}",
)  # fmt: skip

# %% [markdown]
# ## The fit
# Onset $\propto D^a r^{-b}$ by least squares over logarithms, for each seed by itself; the intervals are over seeds.


# %%
def fit(arms_of: list[arms.Arm]) -> dict[str, stats.Estimate]:
    """Exponents a of the size and b of the ratio."""
    x = np.array([[1.0, np.log(of[arm][0]), -np.log(of[arm][1])] for arm in arms_of])
    y_AS = np.log([onsets[arm] for arm in arms_of])
    found = np.linalg.lstsq(x, y_AS, rcond=None)[0]
    return {"a": stats.estimate(found[1]), "b": stats.estimate(found[2])}


plain = [arm for arm, (_, _, kind) in of.items() if kind == PLAIN]
exponents = fit(plain)
alone = {kind: fit([named[size, held, kind] for size in sizes])["a"] for kind in kinds}
delay = {
    kind: [
        stats.estimate(np.log2(onsets[named[size, held, kind]] / onsets[named[size, held, PLAIN]])) for size in sizes
    ]
    for kind in kinds[1:]
}

# %% [markdown]
# ## S0-7
# The rule, written down before the runs: the onset has to come later with more text ($a$ above 0), and at equal steps,
# those of the shortest runs, the loss must have risen less from its best with more text. Where plain runs were stopped
# before they overfitted, the claim stays open. The second part says little beyond the first: what overfits later has
# risen less by any early step. So the rise after equally many passes over the text is shown beside it; it decides
# nothing.

# %%
common = min(lasts[arm] for arm in plain)
fewest = min(lasts[arm] / of[arm][0] for arm in plain)  # steps for each character, and so passes, of the shortest runs


def rise(arm: arms.Arm, step: float) -> np.ndarray:
    """How far the loss [seed] lies above its best up to a step, at the last evaluation until then."""
    until = curves[arm].loc[:step]
    return (until.iloc[-1] - until.min()).to_numpy()


def at_one_multiple(one: arms.Arm, other: arms.Arm) -> list[list[float]]:
    """How far the losses of two arms have risen, [arm][seed], each run cut off at one multiple of its own onset: the
    largest that both runs of the seed reach."""
    pairs = list(zip(onsets[one], onsets[other], strict=True))
    reach = [min(lasts[one] / mine, lasts[other] / its) + 1e-9 for mine, its in pairs]
    return [
        [rise(arm, far * pair[k])[i] for i, (far, pair) in enumerate(zip(reach, pairs, strict=True))]
        for k, arm in enumerate((one, other))
    ]


def slope(rises_AS: list[np.ndarray]) -> stats.Estimate:
    """Nats for each doubling of the text, over seeds."""
    x = np.log2([of[arm][0] for arm in plain])
    return stats.estimate([stats.slope(x, values) for values in np.array(rises_AS).T])


rises = slope([rise(arm, common) for arm in plain])
passed = slope([rise(arm, fewest * of[arm][0]) for arm in plain])
early = sum(unfinished[arm] for arm in plain)
total = len(plain) * len(seeds)
verdict = verdicts.every(
    Measure("exponent a of the size of the text", exponents["a"], ABOVE),
    Measure(f"rise after {common} steps, nats for each doubling of the text", rises, BELOW),
).unless(f"{early} of {total} plain runs had their best loss at the last evaluation" if early else "")
results.claim(
    "S0-7",
    verdict,
    **verdict.leading(),
    unit="exponent of the size of the text",
    reason=f"{verdict.told()}. Beside the rule: the rise after equally many passes over the text, nats for each "
    f"doubling of it: {passed.signed(3)}",
    seeds=seeds,
)

# %%
rows = [
    {
        "characters": f"{size:,}",
        **{f"onset, r = {r:g}": wording.factor(onset(size, r, PLAIN), 0) for r in ratios},
        **{f"r = {held:g}, {kind}": wording.factor(onset(size, held, kind), 0) for kind in kinds[1:]},
        "steps trained": f"{lasts[named[size, held, PLAIN]]:,}",
        f"lowest loss, r = {held:g}": f"{curves[named[size, held, PLAIN]].min().mean():.3f}",
        **(
            {f"{counts[size].each[-1].name} counts": f"{counts[size].levels()[counts[size].each[-1].name]:.3f}"}
            if counts[size].each
            else {}
        ),
    }
    for size in sizes
]
results.table(
    "onsets",
    pd.DataFrame(rows),
    caption=f"Step of the best validation loss: geometric mean over {sweep.count} (95% interval). A run that was "
    "still improving when it was stopped counts with its last step. The last columns are validation losses in nats per "
    f"character, of the plain runs and of n-gram counts of the same text. Profile {profile}.",
)

# %%
results.estimate("a", exponents["a"], digits=2)
results.estimate("b", exponents["b"], digits=2)
results.number("b-side", exponents["b"].side())
results.estimate("rise-passes", passed, "nats", digits=2)
results.number("rise-passes-side", passed.side())
for kind in kinds:
    name = kind.replace(" ", "-")
    results.estimate(f"a-{name}", alone[kind], digits=2)
    stopped = sum(unfinished[named[size, held, kind]] for size in sizes)
    results.number(f"open-{name}", stopped, "runs")
    results.number(f"runs-{name}", len(sizes) * len(seeds), "runs")
    lost = [(curves[arm].iloc[-1] - curves[arm].min()).to_numpy() for arm in (named[s, held, kind] for s in sizes)]
    results.estimate(f"lost-{name}", stats.estimate(np.mean(lost, axis=0)), "nats", digits=2)
    if kind != PLAIN:
        cut = np.array([at_one_multiple(named[s, held, kind], named[s, held, PLAIN]) for s in sizes]).mean(0)
        results.estimate(f"lost-cut-{name}", stats.estimate(cut[0]), "nats", digits=2)
        results.estimate(f"lost-alike-{name}", stats.estimate(cut[1]), "nats", digits=2)
        results.number(f"lost-less-{name}", stats.estimate(cut[0] - cut[1]).side())
        later = stats.estimate(np.mean([one.values for one in delay[kind]], axis=0))
        results.number(
            f"delay-{name}",
            2**later.mean,
            digits=2,
            interval=later.interval and (2 ** later.interval[0], 2 ** later.interval[1]),
        )
        results.number(f"delay-{name}-side", later.side())

# %%
first = next(iter(specs.values()))
ahead = [
    counts[size].levels()[counts[size].each[-1].name] < min(curves[named[size, r, kind]].min().min()
        for r in ratios for kind in kinds if (size, r, kind) in named)
    for size in sizes
    if counts[size].each
]  # fmt: skip
results.number("counts-ahead", int(bool(ahead) and all(ahead)))
for name, value, unit in (
    ("seeds", len(seeds), "seeds"),
    ("runs", len(sweep.runs), "runs"),
    ("sizes", len(sizes), ""),
    ("layers", first["model"]["n_layer"], ""),
    ("width", first["model"]["d_model"], ""),
    ("smallest", sizes[0], "characters"),
    ("largest", sizes[-1], "characters"),
    ("held", held, ""),
    ("ratios", len(ratios), ""),
    ("open-ended", early, "runs"),
    ("common", int(common), "steps"),
):
    results.number(name, value, unit, digits=0 if name == "held" else None)
results.number("dropout", max(spec["model"]["dropout"] for spec in specs.values()), digits=1)
results.number("decay", max(spec["train"]["weight_decay"] for spec in specs.values()), digits=1)
results.number("decay-usual", usual, digits=1)
results.number("narrow", min(ratios), digits=0)
results.number("wide", max(ratios), digits=0)
results.number("doubled-text", 2 ** exponents["a"].mean, digits=2)
results.number("doubled-ratio", 2 ** -exponents["b"].mean, digits=2)
results.save()
