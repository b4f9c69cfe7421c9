"""A small house with made-up evidence: the layout and the schema are real, the numbers are a formula."""

import json
import math
import shutil
from dataclasses import replace
from functools import cache
from pathlib import Path

from analysis.build.project import Project
from runner.evidence import log
from runner.evidence.status import EVIDENCE
from runner.files import sha256
from runner.plan import experiment as planning
from runner.plan.spec import RunSpec, as_dict, identity

REPOSITORY = Path(__file__).resolve().parents[2]
SHA = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
RATIOS = (1, 2, 3, 4, 5)


STEPS, EVERY = 1500, 50  # of the rows, whatever the spec says


@cache
def _planned(experiment: str, profile: str) -> dict[tuple[float, int], RunSpec]:
    plans = planning.load(experiment).plans(profile)
    return {(plan.spec.model.mlp_ratio, plan.spec.seed): plan.spec for plan in plans}


ENVIRONMENT = {
    "machine": "Intel Xeon with AMX, 2 cores",
    "device": "cpu",
    "precision": "fp32",
    "compile": True,
    "threads": 1,
    "torch": "2.13.0",
    "python": "3.11.7",
    "platform": "Linux x86_64",
}


def spec(ratio: float, seed: int, profile: str = "laptop", experiment: str = "mlp-ratio") -> RunSpec:
    """The spec that is planned for this ratio and seed; of others, the nearest to it."""
    found = _planned(experiment, profile)
    first = next(iter(found.values()))
    return found.get((ratio, seed)) or replace(first, model=replace(first.model, mlp_ratio=ratio), seed=seed)


def loss(split: str, step: int, ratio: float, seed: int) -> float:
    """Falls faster where it is wider; validation turns up again, sooner where it is wider."""
    pace = 180 + 300 / ratio
    fit = 1.35 - 0.09 * ratio + 2.8 * math.exp(-step / pace) + 0.012 * math.sin(step * 0.7 + seed * 3 + ratio)
    if split in ("train", "batch"):
        return fit
    onset = 500 + 900 / ratio
    return fit + 0.42 + max(0.0, (step - onset) / 2200) * (0.6 + 0.13 * ratio)


def write_run(
    root: Path,
    ratio: float,
    seed: int,
    profile: str = "laptop",
    experiment: str = "mlp-ratio",
    status: str = "finished",
    shift: float = 0.0,
) -> Path:
    """One run's folder."""
    made = spec(ratio, seed, profile, experiment)
    name = f"r{ratio:g}-s{seed}"
    folder = root / experiment / profile / name
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for step in range(0, STEPS + 1, 10):
        rows.append(
            {
                "step": step,
                "split": "batch",
                "loss": loss("batch", step, ratio, seed) + shift,
                "learning_rate": 1e-3,
                "grad_norm": 0.7,
            }
        )
        if step % EVERY == 0:
            rows += [
                {"step": step, "split": split, "loss": loss(split, step, ratio, seed) + shift}
                for split in ("train", "val", "test")
            ]
    log.write(folder / "metrics.parquet", log.table(rows, log.METRICS))
    log.write(folder / "timing.parquet", log.table([{"step": 1500, "phase": "train", "seconds": 6.5}], log.TIMING))
    (folder / "samples.txt").write_text("ROMEO:\nWhat say you to the measure of my feet?\n")
    manifest = {
        "schema": log.SCHEMA_VERSION,
        "run": name,
        "experiment": experiment,
        "profile": profile,
        "identity": identity(as_dict(made), SHA),
        "status": status,
        "seed": seed,
        "spec": as_dict(made),
        "corpus": {
            "name": "tiny-shakespeare",
            "sha256": SHA,
            "tokens": 1_115_394,
            "vocabulary": 65,
            "bytes_per_token": {"train": 1.0, "val": 2.0, "test": 1.0},
        },
        "parameters": {"total": 60_000 + int(ratio * 16_384), "tensors": {"wte": [65, 64]}},
        "log_every": 10,
        "environment": ENVIRONMENT,
        "commit": "0123456789ab",
        "code": "feedbeef",
        "started": "2026-11-21T09:00:00Z",
        "sessions": [{"from_step": 0, "environment": ENVIRONMENT, "commit": "0123456789ab", "code": "feedbeef"}],
        "finished": "2026-11-21T09:00:07Z",
        "files": {file: sha256(folder / file) for file in EVIDENCE[1:] if (folder / file).is_file()},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return folder


def write_logs(root: Path, profile: str = "laptop", seeds: int = 3, ratios: tuple[float, ...] = RATIOS) -> None:
    """A whole sweep."""
    for seed in range(seeds):
        for ratio in ratios:
            write_run(root, ratio, seed, profile)


LEDGER = """\
[[source]]
letter = "S0"
title = "The post"
credit = "a draft"

[[claim]]
id = "S0-4"
says = "Wider MLPs learn faster."
test = "Steps to a train loss, by ratio."
notebook = "mlp-ratio"

[[claim]]
id = "S0-7"
says = "Overfitting comes from the small data set."
test = "Onset against data size."
untested = "Needs runs on more than one data size."
"""

REFERENCES = """\
@misc{vaswani2017,
  title   = {Attention Is All You Need},
  author  = {Vaswani, Ashish and Shazeer, Noam and others},
  year    = {2017},
  eprint  = {1706.03762},
  starred = {yes},
  group   = {Transformer},
  note    = {The ratio of 4.},
  checked = {against a copy},
}

@article{shazeer2020,
  title   = {GLU Variants \\& more},
  author  = {Shazeer, Noam},
  year    = {2020},
  journal = {A journal 3},
  stated  = {2021},
  group   = {Activations},
  note    = {SwiGLU.},
  checked = {no copy was found},
}
"""

NOTEBOOK = """\
# %% [markdown]
# # Loss by ratio
# Reads the **logs** and draws them.

# %% tags=["parameters"]
logs = "logs"
profile = "laptop"
output = "build/analysis/mlp-ratio"
bar = 1.8

# %%
import pandas as pd

from analysis.study import arms, style
from analysis.study.figures import Curves
from analysis.study.results import Results

results = Results(output)
sweep = arms.read(logs, "mlp-ratio", profile, arms.setting("model.mlp_ratio"))
results.provenance(sweep.runs)
if len(sweep) < 2:
    raise arms.Incomplete(f"needs two ratios, not {list(sweep)}")

# %%
def panel(split, title):
    lines = {f"r = {ratio:g}": losses for ratio, losses in sweep.curves(split).items()}
    return Curves(title, "step", "loss, nats a token", lines=lines)


def ends(ax):
    ax.plot(list(sweep), [losses.mean() for losses in sweep.ends().values()], color=style.ink())
    ax.set_title("At the end")


results.figure(
    "loss", [panel("train", "Training split"), panel("val", "Validation split")],
    alt=["Train loss falls, faster for wider MLPs.", "Validation loss falls and rises again."],
    caption="Loss against step, a line per ratio, the mean over seeds with a band of its interval.")
values = {"series": [{"name": "mean", "x": list(sweep), "y": [losses.mean() for losses in sweep.ends().values()]}]}
results.figure("loss-one", ends, alt="Validation loss at the end, by ratio.", values=[values], caption="One panel.")

# %%
best = sweep.split("val").groupby("arm")["loss"].min()
results.number("best-ratio", best.idxmin(), digits=0)
results.number("best-loss", best.min(), unit="nats", digits=3)
results.number("bar", bar, digits=2)
results.number("tokens", 1_003_854)
table = pd.DataFrame({"ratio": best.index, "best validation loss": best.values, "paired": "−0.12 ± 0.03"})
results.table("ratios", table, caption="Best validation loss by ratio.",
              formats={"ratio": "g", "best validation loss": ".3f"})
results.claim("S0-4", "supported", effect=-0.21, interval=(-0.25, -0.17), n=3, unit="nats", rule="It is lower.")
results.save()
"""

POST = """\
---
title: Is 4 the magic number in language models?
date: 2025/02/05
emoji: 🧠
summary: How wide must the MLP be?
post_published: true
notebook: mlp-ratio
tags: [transformers, width]
---

The best ratio is {{ number("best-ratio") }}, at {{ number("best-loss") }}, of {{ number("tokens") }} tokens.

## What came out

{{ figure("loss") }}

{{ claim("S0-4") }}

{{ table("ratios") }}

{{ figure("loss-one") }}

The hidden width is $d_{ff} = r\\,d_{model}$, and

$$
L = -\\frac{1}{N} \\sum_{i=1}^{N} \\log p_i
$$

```python
cost = "$5"
```

{% if verdict("S0-4") == "supported" %}It is supported.{% endif %}
"""


def house(root: Path, logs: bool = True) -> Project:
    """A project folder with a notebook, a ledger, a post, the real theme and, if wanted, three seeds of logs."""
    for folder in ("analysis/notebooks", "analysis/study", "posts/is-4-the-magic-number"):
        (root / folder).mkdir(parents=True)
    (root / "analysis/notebooks/mlp-ratio.py").write_text(NOTEBOOK)
    (root / "analysis/ledger.toml").write_text(LEDGER)
    (root / "analysis/references.bib").write_text(REFERENCES)
    (root / "posts/is-4-the-magic-number/index.md").write_text(POST)
    (root / "requirements.lock").write_text("torch==2.13.0\n")
    shutil.copy(REPOSITORY / "mkdocs.yml", root)
    shutil.copy(REPOSITORY / "posts/about.md", root / "posts/about.md")
    shutil.copytree(REPOSITORY / "theme", root / "theme")
    for module in ("results.py", "style.py"):
        shutil.copy(REPOSITORY / "analysis/study" / module, root / "analysis/study")
    if logs:
        write_logs(root / "logs")
    return Project(root)
