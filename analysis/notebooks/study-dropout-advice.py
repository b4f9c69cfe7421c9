# %% [markdown]
# # What should go with dropout
#
# A note of the study, made into an experiment. Seeds are paired: every arm sees the same batches in the same order. All
# intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
experiments = ["dropout-advice"]
logs = "logs"
profile = "laptop"
output = "build/analysis/study-dropout-advice"

# %%
import pandas as pd

from analysis.study import arms, baselines, interest, stats, verdicts, wording
from analysis.study.figures import Curves, Dots
from analysis.study.results import Results
from analysis.study.verdicts import BELOW, Measure

results = Results(output)

# %% [markdown]
# ## One piece of advice after the other
# A small MLP trained by SGD on little text: without dropout; with dropout of its hidden units at the same size; with
# hidden units times 1/(1 − d), for a rate d; with ten times the learning rate on top; and with the norm of the
# weights into each unit bounded on top. Two arms without dropout say what more units and a higher learning rate do by
# themselves. The bound of 3 was hardly ever reached, so a last arm with a bound of 1 in its place was added
# afterwards; no verdict looks at it. An arm's loss is its lowest validation loss; a run whose loss is not finite any
# more counts up to there.
#
# S4-18: supported if each step lowers it, and all of them together lower that of the model without dropout, each by
# more than the smallest difference of interest. Nothing is decided where the one without dropout does not end above its
# lowest loss by more than that in every seed: the advice is for networks that overfit. (That was added on 2026-11-28,
# with the results known.)

# %%
ORDER = {
    "none": "no dropout",
    "none-wide": "no dropout, more units",
    "none-fast": "no dropout, learning rate × 10",
    "dropout": "dropout",
    "wide": "+ more units",
    "fast": "+ learning rate × 10",
    "bound": "+ max-norm",
    "tight": "+ a smaller max-norm instead",
}
STEPS = {"wide": "dropout", "fast": "wide", "bound": "fast"}  # each step and what it is added to
AFTERWARDS = {"tight": "fast"}  # added when the results of the others were known
advice = arms.read(logs, "dropout-advice", profile, order=list(ORDER), all_planned=True, diverged=True)
results.provenance(advice.runs)
curves, counts = advice.curves(), baselines.read(logs, advice)
best = {arm: losses.min() for arm, losses in curves.items()}  # [seed]
turned = int((curves["none"].iloc[-1] - best["none"] > interest.smallest(advice)).sum())
fits = (
    ""
    if turned == len(advice.seeds)
    else "the advice is for networks that overfit, and without dropout, at the learning rate before it is raised, "
    f"{turned} of {len(advice.seeds)} do, by more than the smallest difference of interest"
)
verdict = verdicts.every(
    *(
        Measure(f"lowest loss, {what}", arms.difference(best, arm, base), BELOW, -interest.smallest(advice))
        for arm, base, what in (
            ("wide", STEPS["wide"], "dropout with more units minus without"),
            ("fast", STEPS["fast"], "learning rate × 10 minus without"),
            ("bound", STEPS["bound"], "norms bounded minus free"),
            ("bound", "none", "all of it minus no dropout"),
        )
    )
).unless(fits)
results.claim(
    "S4-18",
    verdict,
    **verdict.leading(),
    unit="nats per character, lowest validation loss with dropout, with more units minus without",
    reason=verdict.told(),
    seeds=advice.seeds,
)

# %%
final, trained, added = advice.ends(), advice.ends("train"), STEPS | AFTERWARDS
results.table(
    "dropout-advice",
    counts.below(
        pd.DataFrame(
            [
                {
                    "arm": name,
                    "parameters": f"{advice.parameters[arm]:,}",
                    "lowest loss": f"{best[arm].mean():.3f}",
                    "at the end": f"{final[arm].mean():.3f}",
                    "training loss at the end": f"{trained[arm].mean():.3f}",
                    "lowest minus no dropout": "–"
                    if arm == "none"
                    else arms.difference(best, arm, "none", len(ORDER) - 1).signed(3),
                    "lowest minus the arm before": arms.difference(best, arm, added[arm], len(added)).signed(3)
                    if arm in added
                    else "–",
                }
                for arm, name in ORDER.items()
            ]
        ),
        "lowest loss",
    ),
    caption=f"Validation unless it says training, nats per character. Each arm with + adds to the one above it, the "
    "last one to that with the higher learning rate. "
    "Differences by seed, with 95% intervals: those from no dropout"
    f"{wording.corrected(len(ORDER) - 1)}; those from the arm before{wording.corrected(len(added))}. {advice.count}, "
    f"profile {profile}.{advice.omitted}{counts.note}",
)
# %%
settings = {arm: runs[advice.seeds[0]].manifest["spec"] for arm, runs in advice.kept.items()}
norms = {arm: settings[arm]["train"]["max_norm"] for arm in ("bound", "tight")}
SHORT = {"none": "none", "dropout": "dropout", "wide": "+ units", "fast": "+ rate"}
SHORT |= {arm: f"norm ≤ {longest:g}" for arm, longest in norms.items()}
results.figure(
    "dropout-advice",
    [
        Curves(
            "Validation loss",
            "step",
            "loss (nats per character)",
            lines={name: curves[arm][curves[arm].index > 0] for arm, name in SHORT.items()},
            levels=counts.levels(),
        ),
        Dots(
            "Lowest validation loss",
            "each + on top of the one before, ≤ on top of + rate",
            "loss (nats per character)",
            dots={name.removeprefix("norm "): stats.estimate(best[arm].to_numpy()) for arm, name in SHORT.items()},
            seeds="joined",
            named=advice.seeds,
        ),
    ],
    alt=[
        "Validation loss against step, without dropout, with it, and with each piece of advice added.",
        "Lowest validation loss without dropout, with it, and with each piece of advice added.",
    ],
    caption="None: no dropout. Units: 1/(1 − d) times as many. Rate: ten times the learning rate. Norm, ≤: the "
    f"weights into a unit are bounded. Mean over {advice.count}, with 95% intervals; faint lines join a seed."
    f" Profile {profile}.{advice.omitted}{counts.note}",
    experiment="dropout-advice",
)
for name, value, unit in (
    ("advice-rate", settings["bound"]["model"]["dropout"], ""),
    ("advice-units", settings["wide"]["model"]["hidden"] / settings["dropout"]["model"]["hidden"], ""),
    ("advice-norm", norms["bound"], ""),
    ("advice-norm-tight", norms["tight"], ""),
    ("advice-unbound-seeds", sum(bool((curves["bound"][s] == curves["fast"][s]).all()) for s in advice.seeds), ""),
    ("advice-seeds", len(advice.seeds), "seeds"),
    ("advice-learning-rate", settings["none"]["train"]["learning_rate"], ""),
    ("advice-characters", advice.spec["data"]["train"][1] - advice.spec["data"]["train"][0], "characters"),
    ("advice-runs", len(advice.runs), "runs"),
):
    results.number(name, value, unit)
for arm in advice:
    results.number(f"advice-{arm}", float(best[arm].mean()), "nats per character", 3)
    if arm != "none":
        results.estimate(f"advice-{arm}-none", arms.difference(best, arm, "none"), "nats per character", 3)
for arm, base in added.items():
    results.estimate(f"advice-{arm}-{base}", arms.difference(best, arm, base), "nats per character", 3)
results.save()
