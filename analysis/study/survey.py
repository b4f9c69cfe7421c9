"""All models of the blog: every arm of every experiment and profile that there is evidence of, with what it scores and
what it costs; and which of them no other beats at a lower cost.

Losses are in bits per character (per byte, where the text has characters of more than one), so that tokenizers can be
compared. Two are ranked together only where they were measured on the same text: one *scope*.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis.study import pace
from runner.evidence import baselines, log
from runner.models.cost import describe
from runner.plan import experiment
from runner.plan.spec import from_dict

LEAST = 4000  # bytes of validation text: a score on less says little


@dataclass(frozen=True, order=True)
class Scope:
    """The text that losses are measured on: a corpus, the range that is validated, and the unit of that range."""

    corpus: str
    val: tuple[int, int]
    unit: str

    def __str__(self) -> str:
        return f"{self.corpus}, {self.unit} {self.val[0]:,} to {self.val[1]:,}"


@dataclass(frozen=True)
class Entry:
    """An arm, or an n-gram model. `bits` are the lowest validation losses by seed, in bits per character; `flops` and
    `seconds` (at the run's usual pace) are those of a whole training run on `device`, None for counts; `read` is how
    much text it may train on."""

    scope: Scope
    experiment: str
    profile: str
    name: str
    kind: str
    bits: tuple[float, ...]
    parameters: int
    read: int
    flops: float | None = None
    seconds: float | None = None
    device: str = ""

    @property
    def score(self) -> float:
        """The mean over seeds."""
        return float(np.mean(self.bits))


def scope_of(data: dict[str, Any], corpus: str) -> Scope:
    """The scope of a data spec (plain JSON types)."""
    tokenizer = data.get("tokenizer", "characters")
    unit = data.get("unit") or (tokenizer if tokenizer == "characters" else f"{tokenizer} tokens")
    if tokenizer == "bytes" and "unit" not in data:
        unit = "characters"  # the corpora of bytes here are ASCII
    return Scope(corpus, (data["val"][0], data["val"][1]), unit)


def read(logs: str | Path, least: float = LEAST) -> list[Entry]:
    """Every arm of the runner's experiments that finished and has a validation loss of at least so many bytes of text,
    and the n-gram counts beside it."""
    found: list[Entry] = []
    planned = experiment.names()
    for folder in sorted(path for path in Path(logs).glob("*/*") if path.is_dir() and path.parent.name in planned):
        ended = log.read_runs(Path(logs), folder.parent.name, folder.name)
        runs = [run for run in ended if run.manifest["status"] == "finished" and _length(run) >= least]
        grouped: dict[tuple[str, str], list[log.Run]] = {}
        for run in runs:  # arms may differ by their placement alone, such as their precision, which no spec has
            grouped.setdefault((_arm(run), _without_seed(run.manifest["spec"])), []).append(run)
        found += [entry for same in grouped.values() for entry in _entry(same)]
        found += _counted(folder, runs)
    return found


def _arm(run: log.Run) -> str:
    """A run's name without its seed; that of its experiment, where there is one arm."""
    return str(run.manifest["run"].rpartition("-s")[0] or run.manifest["experiment"])


def _without_seed(spec: dict[str, Any]) -> str:
    return json.dumps({key: value for key, value in spec.items() if key != "seed"}, sort_keys=True)


def _entry(runs: Sequence[log.Run]) -> Iterator[Entry]:
    manifest = runs[0].manifest
    spec, corpus = manifest["spec"], manifest["corpus"]
    each = corpus["bytes_per_token"]["val"]
    bits, seconds = [], []
    for run in runs:
        metrics = run.metrics()
        losses = metrics["loss"].to_numpy()[metrics["split"].to_numpy() == "val"]
        bits.append(float(losses.min()) / (math.log(2) * each))
        seconds.append(pace.usual(run) * spec["train"]["steps"])
    if not np.isfinite(bits).all():
        return
    built = from_dict(spec, str(runs[0].path))
    tokens = baselines.tokens_read(spec)
    work = describe(built.model, corpus["vocabulary"], built.model.block_size).work()
    yield Entry(
        scope_of(spec["data"], corpus["name"]),
        manifest["experiment"],
        manifest["profile"],
        _arm(runs[0]),
        built.model.kind,
        tuple(bits),
        manifest["parameters"]["total"],
        spec["data"]["train"][1] - spec["data"]["train"][0],
        work * tokens,
        float(np.mean(seconds)),
        ", ".join(sorted({session["environment"]["device"] for run in runs for session in run.manifest["sessions"]})),
    )


def _length(run: log.Run) -> float:
    """Bytes of the validation text, at least; documents are never short of it. 0 where a run validates no text."""
    data, corpus = run.manifest["spec"]["data"], run.manifest["corpus"]
    if not (corpus.get("bytes_per_token") or {}).get("val"):
        return 0
    if data.get("unit") == "documents":
        return math.inf
    tokens = data["val"][1] - data["val"][0]
    return tokens if data.get("unit") == "characters" else tokens * corpus["bytes_per_token"]["val"]


def _counted(folder: Path, runs: Sequence[log.Run]) -> Iterator[Entry]:
    """The n-gram models of every text that these runs are measured on."""
    kept = baselines.read(folder)
    for key, run in {
        baselines.key_of(run.manifest["spec"], run.manifest["corpus"]["sha256"]): run for run in runs
    }.items():
        if key not in kept:
            continue
        each = run.manifest["corpus"]["bytes_per_token"]["val"]
        data = run.manifest["spec"]["data"]
        for one in kept[key].baselines:
            yield Entry(
                scope_of(data, run.manifest["corpus"]["name"]),
                *folder.parts[-2:],
                one.name,
                "n-gram",
                (one.loss["val"] / (math.log(2) * each),),
                one.parameters,
                data["train"][1] - data["train"][0],
            )


def scopes(entries: Iterable[Entry]) -> dict[Scope, list[Entry]]:
    """Scope → its entries, the best first; n-gram models that several experiments counted stand once."""
    found: dict[Scope, dict[Any, Entry]] = {}
    for entry in entries:
        same = (entry.kind, entry.name, entry.parameters, entry.read) if entry.kind == "n-gram" else id(entry)
        found.setdefault(entry.scope, {}).setdefault(same, entry)
    return {scope: sorted(kept.values(), key=lambda one: one.score) for scope, kept in sorted(found.items())}


def frontier(entries: Sequence[Entry], cost: str) -> list[Entry]:
    """Those that no other beats at the same or a lower cost ("parameters", "flops", "seconds"), the cheapest first."""
    kept: list[Entry] = []
    known = [one for one in entries if getattr(one, cost)]  # that of the uniform distribution is 0
    for one in sorted(known, key=lambda one: (getattr(one, cost), one.score)):
        if not kept or one.score < kept[-1].score:
            kept.append(one)
    return kept
