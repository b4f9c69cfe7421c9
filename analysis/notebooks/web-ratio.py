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
import pandas as pd
from matplotlib.axes import Axes

from analysis.study import arms, baselines, interest, stats, verdicts, wording
from analysis.study.figures import Curves, Dots
from analysis.study.results import Results
from analysis.study.verdicts import Measure
from runner.plan import experiment

REFERENCE = 4.0  # the ratio that the others are compared with
results = Results(output)

# %% [markdown]
# ## The evidence

# %%
sweep = arms.read(logs, "web-ratio", profile, arms.setting("model.mlp_ratio"))
results.provenance(sweep.runs)
ratios, spec, budget = list(sweep), sweep.spec, sweep.manifest["budget"]
if REFERENCE not in ratios:
    raise arms.Incomplete(f"needs runs of r = {REFERENCE:g}, not only {ratios}")
assert not sweep.diverged, "a run diverged: its loss was not finite"
curves, ends, parameters = sweep.curves(bits=True), sweep.ends(bits=True), sweep.parameters
counts = baselines.read(logs, sweep)
NOTE = (
    f"Mean over {sweep.count}, with the 95% interval of that mean. Corpus {spec['data']['corpus']}, profile {profile}."
)

# %% [markdown]
# ## What came out
# The loss after the last step, and how much of it a step of the ratio is worth: least squares over the ratios, seed by
# seed, with the narrowest ratio and without it.

# %%
margin = interest.smallest(sweep, bits=True)
others = [ratio for ratio in ratios if ratio != REFERENCE]
differences = {ratio: arms.difference(ends, ratio, REFERENCE, len(others)) for ratio in ratios}  # one question
no_worse = [ratio for ratio in others if differences[ratio].side(margin) == -1]
apart = stats.holm(stats.p_values([differences[ratio].values for ratio in others]))
gains = [one for one in (arms.pairing(ends, ratio, REFERENCE) for ratio in others) if one is not None]
slope, above = stats.trend(ratios, pd.DataFrame(ends).T), stats.trend_above(ratios, pd.DataFrame(ends).T)
rows = [
    {
        "ratio": f"{ratio:g}",
        "parameters": f"{parameters[ratio]:,}",
        "loss at the end": str(stats.estimate(ends[ratio].to_numpy())),
        f"against r = {REFERENCE:g}": "–" if ratio == REFERENCE else differences[ratio].signed(3),
    }
    for ratio in ratios
]
results.table(
    "web-ratios",
    counts.below(pd.DataFrame(rows), "loss at the end", bits=True),
    caption="Validation loss in bits per byte; differences paired by seed, negative is better, with 95% intervals"
    f"{wording.corrected(len(others))}. {NOTE}{counts.note}",
)


def thousands(ax: Axes) -> None:
    """Few ticks, and their thousands apart."""
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.xaxis.get_major_locator().set_params(nbins=4)


per_step = spec["train"]["batch_size"] * spec["model"]["block_size"]
seen = {
    f"r = {ratio:g}": losses.iloc[1:].set_axis(losses.index[1:] * per_step) for ratio, losses in curves.items()
}  # after the first evaluation
results.figure(
    "web",
    [
        Curves(
            "Validation loss",
            "tokens seen",
            "loss (bits per byte)",
            lines=seen,
            shape=thousands,
            levels=counts.levels(bits=True),
        ),
        Dots(f"Against r = {REFERENCE:g}", "MLP ratio r", "bits per byte at the end", dots=differences, zero=True),
    ],
    alt=[
        f"Validation loss in bits per byte against tokens seen, a line for each of {len(ratios)} ratios.",
        f"Difference of each ratio's final loss from that of r = {REFERENCE:g}, with intervals.",
    ],
    caption=f"First, the loss after the first evaluation. Second, the final loss minus that of r = {REFERENCE:g}, with "
    f"intervals{wording.corrected(len(others))}; below the line is better. {NOTE}{counts.note}",
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
        verdicts.fact(
            bool(budget["name"]),
            "Supported if the budget is one of the two readings of a 64th that have a name.",
            Measure("tokens seen", budget["tokens"], 0, would),
        ),
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
for name, value, unit in (
    ("runs", len(sweep.runs), "runs"),
    ("seeds", len(sweep.seeds), "seeds"),
    ("tokens", budget["tokens"], "tokens"),
    ("paper-tokens", would, "tokens"),
    ("layers", spec["model"]["n_layer"], ""),
    ("width", spec["model"]["d_model"], ""),
    ("side", slope.side(), ""),
    ("others", len(ratios) - 1, ""),
    ("undecided", apart.count(False), ""),
    ("no-worse", len(no_worse), ""),
    ("parameters-narrow", parameters[ratios[0]], "parameters"),
    ("parameters-wide", parameters[ratios[-1]], "parameters"),
):
    results.number(f"web-{name}", value, unit)
interest.report(results, sweep, REFERENCE, "bits a byte", bits=True, prefix="web-")
middle = sorted(gains)[len(gains) // 2] if gains else None
results.number("web-pairing", middle, "times", digits=1, reason="one seed has no scatter")
results.estimate("web-slope", slope, "bits a byte", digits=3)
if above is not None:
    results.estimate("web-slope-above", above, "bits a byte", digits=3)
results.number("web-side-above", above and above.side(), reason="too few ratios")
results.number("web-narrow", ratios[0], digits=0 if ratios[0].is_integer() else 2)
results.estimate("web-widest", differences[ratios[-1]], "bits a byte", digits=3)
results.estimate("web-narrowest", differences[ratios[0]], "bits a byte", digits=3)
results.number("web-narrowest-side", differences[ratios[0]].side())
best = min(ratios, key=lambda ratio: float(ends[ratio].mean()))
counts.report(results, sweep.ends(counts.reported, bits=True)[best].to_numpy(), "bits a byte", bits=True, prefix="web-")
results.save()
