# %% [markdown]
# # Latents and dropped context
#
# A note of the study, made into an experiment. Seeds are paired: every arm sees the same batches in the same order. All
# intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
experiments = ["latents"]
logs = "logs"
profile = "laptop"
output = "build/analysis/study-latents"

# %%
import pandas as pd

from analysis.study import arms, baselines, interest, stats, verdicts, wording
from analysis.study.figures import Curves
from analysis.study.results import Results
from analysis.study.text import number
from analysis.study.verdicts import BELOW, INCONCLUSIVE, Measure
from runner.models.cost import describe
from runner.plan.spec import from_dict

ORDER = ["plain", "dropout", "latents", "latents-drop"]
NAMES = {"plain": "plain", "dropout": "dropout", "latents": "latents", "latents-drop": "latents, drop"}
results = Results(output)

# %% [markdown]
# ## The gap between training and validation
# A model of bytes in patches on a short text that it reads many times. With *latents* the last half of the patches read
# all of them once, the global model runs on these alone, and only they are predicted in training; *dropped context*
# leaves out half of the patches before them, others in each step and sequence.
#
# S4-28 asks whether that can take the place of dropout. The gap is the loss on validation minus that on the training
# text, both without dropout, at the last step. Supported if dropping context narrows the gap of the model with latents
# by more than the smallest difference of interest, and if it adds no more to that model's validation loss than dropout
# adds to the plain one's, by that difference. The rule stands in the experiment's file, and was committed before the
# runs. Nothing is decided where models without either do not end above their lowest loss by more than that in every
# seed: they have nothing to be held back from. (That was added on 2026-11-30, with the results known.)

# %%
read = arms.read(logs, "latents", profile, all_planned=True, order=ORDER)
results.provenance(read.runs)
WORTH, counts = interest.smallest(read, bits=True), baselines.read(logs, read)
curves = {split: read.curves(split, bits=True) for split in ("train", "val")}
gaps = {arm: curves["val"][arm] - curves["train"][arm] for arm in read}
ends = {name: {arm: frame[arm].iloc[-1].to_numpy() for arm in read} for name, frame in (*curves.items(), ("gap", gaps))}
narrower = arms.difference(ends["gap"], "latents-drop", "latents")
added = {
    "dropped context": ends["val"]["latents-drop"] - ends["val"]["latents"],
    "dropout": ends["val"]["dropout"] - ends["val"]["plain"],
}
bare = [arm for arm in ("plain", "latents") if arm in read]
turned = sum(int((curves["val"][arm].iloc[-1] - curves["val"][arm].min() > WORTH).sum()) for arm in bare)
without = len(bare) * len(read.seeds)
fits = "" if turned == without else f"dropout is for models that overfit, and without any {turned} of {without} runs do"
verdict = verdicts.every(
    Measure("gap with latents, context dropped minus not", narrower, BELOW, -WORTH),
    Measure(
        "what dropped context adds to the validation loss, minus what dropout adds",
        stats.estimate(added["dropped context"] - added["dropout"]),
        BELOW,
        WORTH,
    ),
)
against = verdict.word == INCONCLUSIVE and any(measure.side == -1 for measure in verdict.measures)
results.claim(
    "S4-28",
    verdict.unless(fits),
    **verdict.leading(),
    unit="bits per byte, gap with context dropped minus without",
    reason=verdict.told()
    + ("; one lies beyond its bar, but not in the interval that is corrected for two" if against else ""),
    seeds=read.seeds,
)
for name, values in added.items():
    results.estimate(f"added-{name.replace(' ', '-')}", stats.estimate(values), "bits per byte", digits=3)
results.estimate("narrower-drop", narrower, "bits per byte", digits=3)
results.estimate("narrower-dropout", arms.difference(ends["gap"], "dropout", "plain"), "bits per byte", digits=3)
results.estimate("latents-cost", arms.difference(ends["val"], "latents", "plain"), "bits per byte", digits=3)

# %%
rows, work = [], {}
for arm in read:
    run = read.kept[arm][read.seeds[0]]
    model = from_dict(run.manifest["spec"], str(run.path)).model
    work[arm] = describe(model, run.manifest["corpus"]["vocabulary"], model.block_size).work() * model.block_size
    best = curves["val"][arm].min()
    rows.append(
        {
            "arm": NAMES[arm],
            "parameters": f"{read.parameters[arm]:,}",
            "predicted of a block": f"{(getattr(model, 'latents', 0) or model.patches) * model.patch} bytes",
            "training FLOPs a block": number(work[arm]),
            **{
                {"train": "training text", "val": "validation", "gap": "gap"}[name]: wording.cell(
                    stats.estimate(found[arm])
                )
                for name, found in ends.items()
            },
            "lowest validation": wording.cell(stats.estimate(best.to_numpy())),
        }
    )
results.table(
    "latents",
    counts.below(pd.DataFrame(rows), "validation", bits=True),
    caption=f"Bits per byte at the last step, without dropout: mean over {read.count} with half of its 95% interval. "
    f"Drop: of context, in training. Profile {profile}.{read.omitted}{counts.note}",
)
results.figure(
    "latents",
    [
        Curves(
            title,
            "step",
            "bits per byte",
            lines={NAMES[arm]: frame[arm][frame[arm].index > 0] for arm in read},
            levels=levels,
        )
        for title, frame, levels in (
            ("Validation", curves["val"], counts.levels(bits=True)),
            ("Validation minus training text", gaps, {}),
        )
    ],
    alt=[
        "Validation loss against step, a line for each of the four arms.",
        "The gap between validation and training loss against step, a line for each of the four arms.",
    ],
    caption=f"Mean over {read.count}, with the 95% interval of that mean. Drop: of context, in training. Profile "
    f"{profile}.{read.omitted}{counts.note}",
)
spec = from_dict(read.spec, "latents")
start, stop = spec.data.train
tokens = read.manifest["budget"]["tokens"]
results.number("latents-without", without, "runs")
results.number("latents-turned", turned)
results.number("latents-text", stop - start, "bytes")
results.number("latents-epochs", tokens / (stop - start), "times", digits=0)
results.number("latents-work", 100 * work["latents"] / work["plain"], "%", digits=0)
results.number("latents-interest", WORTH, "bits", digits=3)
results.save()
