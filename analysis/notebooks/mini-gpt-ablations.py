# %% [markdown]
# # A mini GPT, part by part
#
# One change at a time to the small model of the source: an output layer of its own (*untied*), *learned* positions or
# *none*, products in *float32*; and the first two at once (*both*). Seeds are paired: every arm sees the same batches
# in the same order, and begins with the same weights where shapes agree. They are trained at the learning rate that
# suits the small model, which need not be that of the three sizes. All intervals are 95% Student's t intervals over
# seeds.

# %% tags=["parameters"]
experiments = ["mini-gpt-ablations", "mini-gpt-pace", "mini-gpt"]
logs = "logs"
profile = "laptop"
output = "build/analysis/mini-gpt-ablations"

# %%
import numpy as np
import pandas as pd

from analysis.study import arms, baselines, interest, law, literature, milestones, pace, stats, verdicts, wording
from analysis.study.figures import Curves, Groups
from analysis.study.results import Results
from analysis.study.verdicts import ABOVE, BELOW, Measure

BASE = "base"
NAMES = {
    "base": "as the source",
    "untied": "untied",
    "learned": "learned",
    "untied-learned": "both",
    "none": "none",
    "float32": "float32",
}
DOUBLED = 1.75  # times the tokens a second: rounds to two in steps of a half
LEAST = interest.SMALLEST  # nats a token, as the experiment's file has it: less than as many a character
results = Results(output)

# %%
sweep = arms.read(logs, "mini-gpt-ablations", profile, order=list(NAMES), all_planned=True)
results.provenance(sweep.runs)
corpus = sweep.manifest["corpus"]
TEXT = (
    "short stories" if corpus["name"].startswith("stories") else "Shakespeare's plays, which stand in for the stories"
)
NOTE = f"{sweep.count}, text: {TEXT}. Profile {profile}.{sweep.omitted}"
precision = next(iter(sweep.kept[BASE].values())).manifest["environment"]["precision"]
per_run = milestones.of(sweep)


def last(rows: pd.DataFrame, split: str) -> float:
    """The loss of a split after the last step."""
    return float(rows[rows.split == split].sort_values("step").loss.iloc[-1])


per_run["apart"] = sweep.each(lambda rows: {"apart": last(rows, "test") - last(rows, "train")}).apart


def against(column: str, arm: str, among: int = 1) -> stats.Estimate:
    """An arm minus the base, seed by seed, as one of so many comparisons."""
    return arms.difference(per_run[column].unstack("seed").T, arm, BASE, among)


def at(column: str, arm: str) -> stats.Estimate:
    """The mean of a column in an arm."""
    return stats.estimate(per_run.loc[arm, column].to_numpy())


# %% [markdown]
# ## What each change does
# The loss is that of the test split at the step of the best validation loss; the gap is the test loss minus the
# training loss after the last step.

# %%
others = [arm for arm in sweep if arm != BASE]
differences = {NAMES[arm]: against("held_out", arm, len(others)) for arm in others}
gaps = {NAMES[arm]: against("apart", arm, len(others)) for arm in others}
counts = baselines.read(logs, sweep)
results.figure(
    "parts",
    [
        Curves(
            "Validation loss",
            "step",
            "loss (nats a token)",
            lines={NAMES[arm]: losses[losses.index > 0] for arm, losses in sweep.curves().items()},
            levels=counts.levels(),
        ),
        Groups(
            "Difference from the source's model", y="nats", groups={"test loss": differences, "gap": gaps}, zero=True
        ),
    ],
    alt=[
        f"Validation loss against step, a line for each of {len(sweep)} variants of the small model.",
        "Difference of each variant's test loss, and of its gap between test and training loss, from those of the "
        "source's model, with intervals.",
    ],
    caption="First, what follows the first evaluation. Second, the test loss at the best validation loss, and the gap "
    "between test and training loss at the end, each minus that of the source's model; below the line is less. Untied: "
    "an output layer of its own; learned, none: positions; both: untied and learned; float32: products, which else are "
    f"in {precision}. Intervals are of 95%{wording.corrected(len(others))}. {NOTE}{counts.note}",
    experiment="mini-gpt-ablations",
)
results.table(
    "parts",
    counts.below(
        pd.DataFrame(
            [
                {
                    "variant": NAMES[arm],
                    "parameters": f"{sweep.parameters[arm]:,}",
                    "test loss": wording.cell(at("held_out", arm)),
                    "difference": "–" if arm == BASE else against("held_out", arm, len(others)).signed(3),
                    "test minus training loss": wording.cell(at("apart", arm)),
                }
                for arm in sweep
            ]
        ),
        "test loss",
        split="test",
    ),
    caption=f"Nats a token. Differences from the source's model, paired by seed, with 95% intervals"
    f"{wording.corrected(len(others))}. {NOTE}{counts.note}",
)

# %% [markdown]
# ## What the learning rate does to the comparison of sizes
# The three sizes share one rate, as the source says of its own. Here stands what the power of the parameters by which
# the loss falls would be if the small model had the rate of these runs.

# %%
SIZES = list(literature.MINI_GPT)
sizes = arms.read(logs, "mini-gpt", profile, order=SIZES, all_planned=True)
results.provenance(sizes.runs)
by_size = milestones.of(sizes).held_out.unstack("seed")
shared = sorted(set(sizes.seeds) & set(sweep.seeds))
small = per_run.held_out.unstack("seed").loc[BASE, shared]
usual_small = by_size.loc[SIZES[0], shared]
learning = [spec["train"]["learning_rate"] for spec in (sweep.spec, sizes.spec)]
with_it = by_size[shared].copy()
with_it.loc[SIZES[0]] = small
counted = [sizes.parameters[size] for size in SIZES]
results.number("rate", learning[0] / learning[1], "times", digits=0)
results.estimate("rate-gain", stats.estimate((usual_small - small).to_numpy()), "nats", digits=2)
results.estimate("exponent-with-rate", law.exponents(counted, with_it.loc[SIZES].to_numpy()), digits=3)

# %% [markdown]
# ## Verdicts
# Their rules stand in the experiment's file, and were committed before the runs, but for those marked as changed there.

# %%
tied = arms.difference(per_run.held_out.unstack("seed").T, BASE, "untied")
verdict = verdicts.every(Measure("tied minus untied, in nats", tied, BELOW, LEAST))
path = sweep.curves()[BASE]
falls, part = stats.estimate((path.iloc[-2] - path.iloc[-1]).to_numpy()), 1 - path.index[-2] / path.index[-1]
read = sweep.spec["train"]["steps"] * sweep.spec["train"]["batch_size"] * sweep.spec["model"]["block_size"]
more = sweep.parameters["untied"] - sweep.parameters[BASE]
results.claim(
    "S2-4",
    verdict,
    **verdict.leading(),
    unit="nats, tied minus untied",
    reason=f"{verdict.told()}. The untied model has {more:,} parameters more, "
    f"{more / sweep.parameters[BASE]:.0%} of the small one. Both have read {read:,} tokens, and the validation loss of "
    f"the tied one still fell by {falls.mean:.2f} nats in the last {part:.0%} of its steps. Both have "
    f"{learning[0] / learning[1]:g} times the learning rate of the three sizes",
    seeds=sweep.seeds,
)
# S2-11 says that learned position *parameters* overfit. (Until 2026-11-28 the rule asked besides that sinusoids cost no
# loss, which the source does not say, and did not ask whether the parameters are the reason. Changed with the results
# known.)
apart = per_run.apart.unstack("seed").T
verdict = verdicts.parts(
    {
        "the parameters are the reason": [
            Measure(
                "gap of learned positions minus that without positions",
                arms.difference(apart, "learned", "none"),
                ABOVE,
                LEAST,
            ),
        ],
        "sinusoids overfit less than learned positions": [
            Measure("gap of learned positions minus that of sinusoids, in nats", against("apart", "learned"), ABOVE),
        ],
    }
)
results.claim(
    "S2-11",
    verdict,
    **verdict.leading(),
    unit="nats of gap, learned positions minus none",
    reason=f"{verdict.told()}. The test loss of learned positions is {against('held_out', 'learned').signed(3)} nats "
    f"from that of sinusoids, and that without positions {against('held_out', 'none').signed(3)}",
    seeds=sweep.seeds,
)

# %% [markdown]
# S2-12: speed is the median of a run's stretches of training. The runs above had other work beside them, so that it is
# taken from short ones in which the two precisions take turns. Seconds decide nothing unless they come from several
# sittings (`analysis.study.pace`), and no interval is given for those of one.

# %%
timed = arms.read(logs, "mini-gpt-pace", profile, order=["bf16", "float32"])
results.provenance(timed.runs)
rates, tokens = pace.each(timed), timed.spec["train"]["batch_size"] * timed.spec["model"]["block_size"]
gain, one_sitting = pace.faster(rates, "bf16", "float32", pace.sittings(timed)), pace.obstacle(timed)
speed = stats.estimate(np.log2(1 + np.array(gain.values)), of=gain.of)
usual = {name: tokens / np.median(list(seconds.values())) for name, seconds in rates.items()}
loss = arms.difference(per_run.held_out.unstack("seed").T, BASE, "float32")
if precision == "bf16":
    bar = float(np.log2(DOUBLED))
    faster = Measure("tokens a second, bf16 over float32", speed, ABOVE, bar, doublings=True, bare=bool(one_sitting))
    verdict = verdicts.parts(
        {
            "twice the throughput": [faster],
            "no loss of accuracy": [Measure("test loss, bf16 minus float32", loss, BELOW, LEAST)],
        }
    ).unless(one_sitting)
    results.claim(
        "S2-12",
        verdict,
        **verdict.leading(),
        unit="times the tokens a second",
        reason=f"{verdict.told()}. The speed is the geometric mean of {gain.of}s from {min(gain.values) + 1:.2f} to "
        f"{max(gain.values) + 1:.2f}: {usual['bf16']:,.0f} tokens a second against {usual['float32']:,.0f}, "
        f"medians of {len(timed.seeds)} rounds on {timed.manifest['environment']['machine']}, with one thread and "
        f"nothing beside them. A factor of {DOUBLED} rounds to two in steps of a half; the source's case is fp16 on an "
        "accelerator",
    )
else:
    results.claim("S2-12", "not tested", reason=f"these runs were made in {precision}, as this machine has no bf16")

# %%
for name, value, unit in (
    ("ablation-runs", len(sweep.runs), "runs"),
    ("ablation-seeds", len(sweep.seeds), "seeds"),
    ("untied-more", more, "parameters"),
    ("untied-more-share", 100 * more / sweep.parameters[BASE], "%"),
):
    results.number(name, value, unit, digits=0)
results.number("bf16-speed", float(2**speed.mean), "times", digits=1)
results.number("bf16-there", int(precision == "bf16"))
results.estimate("bf16-loss", loss, "nats", digits=3)
held_out = per_run.held_out.unstack("seed").T
costs = held_out[BASE] - held_out["untied"] - (held_out["learned"] - held_out["untied-learned"])
more_beside = stats.estimate(costs.to_numpy())
turned = arms.difference(held_out, "untied-learned", "untied")
results.estimate("tying-beside-learned", arms.difference(held_out, "learned", "untied-learned"), "nats", digits=3)
results.estimate("tying-beside-sinusoids-more", more_beside, "nats", digits=3)
results.estimate("loss-learned-beside-untied", turned, "nats", digits=3)
results.number("tying-depends", int(more_beside.side() > 0))
results.number("sinusoids-turn", int(against("held_out", "learned").side() < 0 < turned.side()))
for arm in others:
    results.estimate(f"loss-{arm}", against("held_out", arm), "nats", digits=3)
    results.estimate(f"gap-{arm}", against("apart", arm), "nats", digits=3)
results.save()
