# %% [markdown]
# # Where dropout acts in attention
#
# A note of the study, made into an experiment. Seeds are paired: every arm sees the same batches in the same order. All
# intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
experiments = ["dropout-places"]
logs = "logs"
profile = "laptop"
output = "build/analysis/study-dropout"

# %%
import numpy as np
import pandas as pd

from analysis.study import arms, baselines, interest, stats, verdicts, wording
from analysis.study.figures import Curves, Groups
from analysis.study.probed import layered
from analysis.study.results import Results
from analysis.study.verdicts import BELOW, Measure

ALIKE = 0.02  # of a cosine: the smallest difference of interest between similarities of heads
results = Results(output)

# %% [markdown]
# ## Dropout of the weights, of the projection, of neither
# Dropout of the *weights* of attention, after its softmax; of what its *projection* adds to the residual stream; and
# *none*. Nothing else has dropout. The *gap* is the validation loss minus that of the training text, both without
# dropout, at the end. The *similarity* of two heads is the cosine of their attention weights, a mean over the queries
# of the validation text, over pairs of heads and over layers.
#
# S4-17: dropout of the weights *regularises* if the gap is lower with it than without dropout by more than the smallest
# difference of interest, and its heads find *different information* if they are less alike by more than 0.02 than those
# without dropout and than those with dropout of the projection. All three have to hold.

# %%
places = arms.read(logs, "dropout-places", profile, order=["none", "weights", "projection"], all_planned=True)
results.provenance(places.runs)
curves = {split: places.curves(split) for split in ("train", "val")}
gaps = {arm: curves["val"][arm] - curves["train"][arm] for arm in places}  # [step, seed]
gap = {arm: found.iloc[-1] for arm, found in gaps.items()}
best, counts = {arm: losses.min() for arm, losses in curves["val"].items()}, baselines.read(logs, places)


def alike(arm: str, probe: str) -> np.ndarray:
    """The similarity of heads on the validation text at the end, a mean over layers, by seed."""
    rows = layered(places, arm, probe, "val")
    return rows[rows.step == rows.step.max()].groupby("seed").value.mean().loc[places.seeds].to_numpy()


patterns = {arm: alike(arm, "head_pattern_similarity") for arm in places}
outputs = {arm: alike(arm, "head_output_similarity") for arm in places}
regularises = Measure(
    "gap, dropout of weights minus none",
    arms.difference(gap, "weights", "none"),
    BELOW,
    -interest.smallest(places),
)
different = [
    Measure(
        f"cosine of attention weights, dropout of weights minus {of}",
        arms.difference(patterns, "weights", other),
        BELOW,
        -ALIKE,
    )
    for other, of in (("none", "none"), ("projection", "of the projection"))
]
verdict = verdicts.parts({"heads find different information": different, "it regularises": [regularises]})
results.claim(
    "S4-17",
    verdict,
    **verdict.leading(),
    unit="cosine of the weights of two heads, dropout of attention weights minus none",
    reason=verdict.told(),
    seeds=places.seeds,
)

# %%
NAMES = {"none": "none", "weights": "of the weights", "projection": "of the projection"}
MEASURES = {
    "gap at the end": gap,
    "lowest validation loss": best,
    "cosine of attention weights": patterns,
    "cosine of outputs, size": outputs,
}
results.table(
    "dropout-places",
    pd.DataFrame(
        [
            {
                "measure": name,
                **{NAMES[arm]: f"{np.mean(values[arm]):.3f}" for arm in places},
                "weights minus none": arms.difference(values, "weights", "none", 2).signed(3),
                "weights minus projection": arms.difference(values, "weights", "projection", 2).signed(3),
            }
            for name, values in MEASURES.items()
        ]
    ),
    caption="Losses and gap in nats per character. Cosines of two heads on the validation text at the end: of their "
    "attention weights, and the size of that of what they add to the residual stream; means over layers. Differences "
    f"by seed, with 95% intervals{wording.corrected(2)}. {places.count}, profile {profile}.{counts.beside}",
)
results.figure(
    "dropout-places",
    [
        Curves("Validation minus training loss", "step", "gap (nats per character)", lines=gaps),
        Groups(
            "Similarity of heads at the end",
            "dropout",
            "cosine of two heads",
            groups={
                "patterns": {arm: stats.estimate(values) for arm, values in patterns.items()},
                "outputs": {arm: stats.estimate(values) for arm, values in outputs.items()},
            },
        ),
    ],
    alt=[
        "Validation minus training loss against step, without dropout and with dropout in either place.",
        "Cosine of the attention weights of two heads, and of their outputs, without dropout and in either place.",
    ],
    caption="In the second, patterns: the cosine of the attention weights of two heads; outputs: the size of the "
    f"cosine of what they add to the residual stream. Mean over {places.count}, with 95% intervals. Profile {profile}."
    f"{places.omitted}",
    experiment="dropout-places",
)
results.number("places-rate", places.kept["weights"][places.seeds[0]].manifest["spec"]["model"]["dropout"])
results.number("places-characters", places.spec["data"]["train"][1] - places.spec["data"]["train"][0], "characters")
results.number("places-runs", len(places.runs), "runs")
results.number("places-seeds", len(places.seeds))
turned = curves["val"]["none"].iloc[-1] - best["none"] > interest.smallest(places)
results.number("places-turned", int(turned.sum()))
for name, values, digits in (("gap", gap, 2), ("best", best, 3), ("patterns", patterns, 3), ("outputs", outputs, 3)):
    unit = "nats per character" if name in ("gap", "best") else ""
    for arm in places:
        results.number(f"places-{name}-{arm}", float(np.mean(values[arm])), unit, digits)
    for other in ("none", "projection"):
        results.estimate(f"places-{name}-weights-{other}", arms.difference(values, "weights", other), unit, digits)
results.save()
