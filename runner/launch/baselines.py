"""Computes the n-gram baselines of an experiment on text, once for each data spec of its runs.

Experiments on the same data are counted once: what the same commit has counted for one of them holds for all.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from runner.data import dataset
from runner.data.counts import Counts, tune
from runner.data.spec import DataSpec
from runner.data.tasks.registry import TASKS
from runner.data.tokens import Tokens
from runner.errors import UserError
from runner.evidence import baselines, log
from runner.evidence.baselines import Baseline, Counted
from runner.evidence.status import ENDED
from runner.plan.experiment import Experiment
from runner.plan.plan import Plan
from runner.plan.spec import as_dict, from_dict
from runner.settings import plain
from runner.training.machine import loaded_commit

NAMES = {0: "uniform", 1: "unigram", 2: "bigram", 3: "trigram", 6: "6-gram"}  # by order
TUNED_ON = "val"
LARGEST = 20_000_000  # tokens in a training split: sorting them takes about a gigabyte and half a minute


def why_not(loaded: Experiment, plans: Sequence[Plan]) -> str:
    """The reason why these runs of an experiment get no baselines; empty where they do."""
    if not loaded.baselines:
        return "its file says baselines = false"
    specs = [plan.spec.data for plan in plans]
    if any(TASKS[spec.task].generated for spec in specs):
        return "it reads no text"
    return next(filter(None, (_too_large(spec.train) for spec in specs if spec.unit == "tokens")), "")


def make(loaded: Experiment, plans: Sequence[Plan], root: Path) -> Path | None:
    """Compute the missing baselines of a profile's runs under `root`; returns the file, or None where it was up to
    date.

    A file that cannot be read, or that has another schema, is written again; baselines that no run needs are removed
    from it. Raises a `UserError` where `why_not` gives a reason, and where a training split is too large.
    """
    reason = why_not(loaded, plans)
    if reason:
        raise UserError(f"{loaded.name}: no baselines: {reason}")
    folder = plans[0].folder(root).parent
    kept = _kept(folder)
    needed: dict[str, tuple[dict[str, Any], str, set[int]]] = {}
    for plan in plans:
        spec, sha256 = _trained(plan, root) or (as_dict(plan.spec), dataset.fingerprint(plan.spec.data))
        needed.setdefault(baselines.key_of(spec, sha256), (spec, sha256, set()))[-1].add(baselines.tokens_read(spec))
    counted = {}
    for name, (spec, sha256, read) in needed.items():
        old = kept.get(name)
        current = old and set(old.read) == {str(n) for n in read if n < old.tokens}
        if old and current:
            counted[name] = old
        else:
            data, skip = from_dict(spec, f"{folder}").data, baselines.skipped(spec)
            counted[name] = count(data, sha256, skip, loaded.name, read, _elsewhere(root, name))
    return None if counted == kept else baselines.write(folder, counted)


def _trained(plan: Plan, root: Path) -> tuple[dict[str, Any], str] | None:
    """What a run that has ended was trained on, which may be another text than where it would be trained now; None
    where it has not ended."""
    manifest = log.read_manifest(plan.folder(root))
    if manifest is None or manifest["status"] not in ENDED:
        return None
    return manifest["spec"], manifest["corpus"]["sha256"]


def _kept(folder: Path) -> dict[str, Counted]:
    try:
        return baselines.read(folder)
    except UserError:
        return {}


def _elsewhere(root: Path, name: str) -> Counted | None:
    """What this commit has counted for other experiments under `root` on the data of this key."""
    others = (_kept(path.parent).get(name) for path in sorted(root.glob(f"*/*/{baselines.NAME}")))
    found = [other for other in others if other and other.commit == loaded_commit()]
    return replace(found[0], read={n: one for other in found for n, one in other.read.items()}) if found else None


def count(
    spec: DataSpec, sha256: str, skip: int, where: str, read: Iterable[int] = (), known: Counted | None = None
) -> Counted:
    """The baselines of a data spec, whose corpus has the checksum `sha256`.

    The first `skip` tokens of each evaluated split are not predicted. `read` has the numbers of tokens that its runs
    read in training: for each that is less than the training split, the longest n-grams are counted once more on as
    many of its first tokens. `where` starts the `UserError` for a training split that is too large. What is `known` of
    the same data is not counted again.
    """
    if known and all(str(n) in known.read for n in read if n < known.tokens):
        return replace(known, read={str(n): known.read[str(n)] for n in sorted(read) if n < known.tokens})
    tokens = dataset.load(spec)
    reason = _too_large(tokens.spans["train"])
    if reason:
        raise UserError(f"{where}: no baselines: {reason}")
    split = {name: _split(tokens, name) for name in tokens.spans}
    train_N = split.pop("train")

    def scored(text_N: np.ndarray, orders: Iterable[int]) -> list[Baseline]:
        counts = Counts(text_N, tokens.vocabulary, max(NAMES))
        seen = {name: counts.seen(text_M).after(skip) for name, text_M in split.items()}
        results = []
        for order in orders:
            smoothing = tune(seen[TUNED_ON], order)
            loss = {name: one.loss(smoothing) for name, one in seen.items()}
            results.append(Baseline(NAMES[order], order, counts.parameters(order), smoothing, loss))
        return results

    return Counted(
        data=plain(spec),
        corpus={"name": spec.corpus, "sha256": sha256},
        skip=skip,
        vocabulary=tokens.vocabulary,
        tokens=len(train_N),
        tuned_on=TUNED_ON,
        commit=loaded_commit(),
        baselines=known.baselines if known else scored(train_N, NAMES),
        read={
            str(n): (known and known.read.get(str(n))) or scored(train_N[:n], [max(NAMES)])[0]
            for n in sorted(read)
            if n < len(train_N)
        },
    )


def summary(path: Path) -> str:
    """One line for each data spec of a file of baselines: the loss of the longest n-grams."""
    lines = []
    for one in baselines.read(path.parent).values():
        best, split = one.baselines[-1], one.reported
        lines.append(
            f"{path.parent.parent.name}: {best.name} counts, {best.parameters:,} that are not zero: "
            f"{best.loss[split]:.3f} nats a token on {split}"
        )
    return "\n".join(lines)


def _too_large(span: tuple[int, int]) -> str:
    size = span[1] - span[0]
    return f"its training split has {size:,} tokens, and more than {LARGEST:,} are not counted" * (size > LARGEST)


def _split(tokens: Tokens, name: str) -> np.ndarray:
    start, stop = tokens.spans[name]
    return tokens.windows(np.array([start]), stop - start)[0]
