# %% [markdown]
# # Before and beyond the transformer: what weights cost to store
#
# The flattened MLP of the study, evaluated once more when training has ended, with its matrices rounded for storage: to
# int8 with a scale a row, and to codebooks of 256 and of 16 values a matrix (k-means). Vectors stay float32. All
# intervals are 95% Student's t intervals over seeds.

# %% tags=["parameters"]
experiments = ["mlp-reading"]
logs = "logs"
profile = "laptop"
output = "build/analysis/study-quantised"

# %%
import pandas as pd

from analysis.study import arms, baselines, interest, stats, storage, verdicts, wording
from analysis.study.figures import Dots
from analysis.study.results import Results
from analysis.study.verdicts import BELOW, Measure

NAMES = {"int8_loss": "int8", "codebook_256_loss": "256 values", "codebook_16_loss": "16 values"}
results = Results(output)
trained = arms.read(logs, "mlp-reading", profile, lambda name, spec: "flatten" if "flatten" in name else None)
results.provenance(trained.runs)
worth = interest.smallest(trained)
counts = baselines.read(logs, trained)

# %% [markdown]
# ## The rule
# Written before the runs. S4-25: codebooks and quantisation *make models smaller to store* if both int8 and the
# codebook of 256 values take less than half of the bytes of float32, which is arithmetic, and raise the validation loss
# by less than the smallest difference of interest, each interval wholly below it. The codebook of 16 values is shown,
# and decides nothing.

# %%
(arm,) = trained.kept
shapes = list(trained.manifest["parameters"]["tensors"].values())
plain = sum(storage.float32_bytes(shape) for shape in shapes)
ends = trained.ends("val")[arm]
sizes = {name: storage.stored(name, shapes) for name in NAMES}
anew = {name: [] for name in NAMES}
for seed, run in trained.kept[arm].items():
    rows = run.probes().to_pandas()
    for name in NAMES:
        (value,) = rows[(rows.probe == name) & (rows.split == "val")].value
        anew[name].append(value - ends[seed])
excess = {name: stats.estimate(values) for name, values in anew.items()}
verdict = verdicts.every(
    *(
        Measure(f"validation loss, {NAMES[name]} minus float32", excess[name], BELOW, worth)
        for name in ("int8_loss", "codebook_256_loss")
    ),
    *(
        Measure(f"share of float32's bytes, {NAMES[name]}", sizes[name] / plain, BELOW, 0.5)
        for name in ("int8_loss", "codebook_256_loss")
    ),
    rule=f"Supported if with int8 and with 256 values the loss rises by less than {worth:.3f} nats, the whole "
    "interval, and the weights take less than half of the bytes of float32; refuted if one of the four is wholly "
    "beyond that.",
)
results.claim(
    "S4-25",
    verdict,
    **verdict.leading(),
    unit="nats per character, int8 minus float32",
    reason=verdict.told(),
    seeds=trained.seeds,
)

# %%
results.figure(
    "rounded",
    Dots(
        "Rounding after training",
        "",
        "added validation loss (nats a character)",
        dots={f"{NAMES[n]}\n{sizes[n] / plain:.0%} of bytes": excess[n] for n in NAMES},
        seeds="beside",
        zero=True,
    ),
    alt="Added validation loss of int8, of codebooks of 256 and of 16 values, with the share of float32's bytes.",
    caption=f"Validation loss with rounded matrices minus that with float32, paired by seed, mean and 95% interval "
    f"over {trained.count}; small dots: seeds. Profile {profile}.{trained.omitted}",
    experiment="mlp-reading",
)
rows = [{"weights": "float32", "bytes": f"{plain:,}", "share": "100%", "added loss": "–"}]
rows += [
    {
        "weights": NAMES[name],
        "bytes": f"{sizes[name]:,}",
        "share": f"{sizes[name] / plain:.0%}",
        "added loss": wording.cell(excess[name], 5),
    }
    for name in NAMES
]
results.table(
    "rounded",
    pd.DataFrame(rows),
    caption=f"Bytes of all parameters, and validation loss added by rounding, nats a character, over {trained.count}, "
    f"to one of {ends.mean():.3f}.{counts.beside}",
)
results.number("rounded-parameters", trained.parameters[arm], "parameters")
for name, short in (("int8_loss", "int8"), ("codebook_256_loss", "codebook-256"), ("codebook_16_loss", "codebook-16")):
    results.number(f"{short}-share", 100 * sizes[name] / plain, "%", digits=0)
    results.estimate(f"{short}-added", excess[name], "nats", digits=4)
results.save()
