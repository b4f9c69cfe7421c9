"""Estimates how long runs will take on this machine, from a few steps of the most expensive of each kind of model.

An estimate is measured under the runs' own placement: on their device, in their precision, and compiled where they are,
so that the kernels compiled for it are those that the runs need. A measured step has one micro-batch of full size, a
measured evaluation one batch. A rough estimate takes a fraction of the time: it is measured without compiling and, on a
CPU, on one thread and smaller micro-batches, long steps once. Runs so small that measuring them would take as long as
training them are not measured.
Importable without torch; `measure` and `longest_first` need it and are called in a worker.
"""

import itertools
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner.data import openwebtext
from runner.data.tasks.registry import TASKS
from runner.evidence import log
from runner.models import registry
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.plan.presets import VOCABULARY
from runner.plan.spec import RunSpec
from runner.training import machine

STEPS = 3
# For a rough estimate, on a CPU:
FEW = 2048  # tokens of a micro-batch, with which products take longer than calls
LONG = 0.5  # seconds of a step so long that it is measured once
HELP = 4  # threads: as many times as fast a run of more is taken to be
STAND_IN = "shakespeare-plays"  # corpus to measure on while the token shards are not loaded
CHARACTERS = 100  # vocabulary of a character tokenizer, roughly
DOCUMENT = 200  # tokens of a document, roughly
SLOWER = 1.75  # times that a run takes in float32 where bf16 is fast, roughly: with AVX512-BF16, and more with AMX
BRIEF = 20.0  # seconds below which an experiment is not measured, by what any machine of today can do:
RATE, CALL, SETUP = 1e10, 0.005, 0.05  # FLOP/s, seconds of a step or an evaluated batch, seconds of a run


@dataclass(frozen=True)
class Estimate:
    """The seconds that all runs of an experiment take together, side by side as they are trained; whether a few steps
    were measured."""

    seconds: float
    measured: bool = True


@dataclass(frozen=True)
class Pace:
    """Seconds of a run: for its set-up, for compiling, per training micro-batch, and per evaluated token."""

    setup: float
    compile: float
    micro_batch: float
    token: float


def measure(plans: Sequence[Plan], wishes: dict[str, Any], rough: bool = False) -> Estimate:
    """An estimate for the plans, measured in this process, which imports torch; a `rough` one may be wrong by a factor
    of two."""
    placement = machine.resolve(wishes | ({"compile": False} if rough else {}))
    work, side_by_side = {plan.name: _work(plan, placement) for plan in plans}, min(placement.jobs, len(plans))
    calls = sum(plan.spec.train.steps + _evaluations(plan.spec) * _batches(plan.spec) for plan in plans)
    brief = sum(work.values()) / RATE + calls * CALL + len(plans) * SETUP
    if brief < BRIEF and not placement.compile:
        return Estimate(brief / side_by_side, measured=False)
    kinds: dict[tuple[str, str], list[Plan]] = {}  # what a FLOP takes is alike within a kind of model only
    for plan in plans:
        kinds.setdefault((plan.spec.model.kind, _precision(plan, placement)), []).append(plan)
    taken = {name: each for alike in kinds.values() for name, each in _of_kind(alike, work, placement, rough).items()}
    ends = [0.0] * side_by_side  # when each process is free again
    for plan in _ordered(plans, work) if side_by_side > 1 else plans:
        ends[ends.index(min(ends))] += taken[plan.name]
    return Estimate(max(ends))


def _of_kind(plans: Sequence[Plan], work: dict[str, float], placement: Placement, rough: bool) -> dict[str, float]:
    """The seconds that each of the runs of one kind of model takes, by name, as their FLOPs are."""
    heaviest = max(plans, key=lambda plan: work[plan.name])
    found = rough_pace(heaviest, placement) if rough else pace(heaviest, placement)
    taken, there = {}, set()
    for plan in plans:
        shared = plan.spec.model in there  # models of one spec share their kernels, but for runs that compile their own
        compiles = plan.placement.get("compile", placement.compile) if placement.cold else not shared
        there.add(plan.spec.model)
        share = work[plan.name] / work[heaviest.name]
        taken[plan.name] = seconds(heaviest.spec, found) * share + found.setup + compiles * found.compile
    return taken


def longest_first(plans: Sequence[Plan], placement: Placement) -> list[Plan]:
    """The order in which runs begin side by side: seed by seed, as they come, so that what has ended at any moment is
    paired; within a seed the most FLOPs first, so that at the end no process waits for a long run of another."""
    return _ordered(plans, {plan.name: _work(plan, placement) for plan in plans})


def _ordered(plans: Sequence[Plan], work: dict[str, float]) -> list[Plan]:
    seeds = [list(alike) for _, alike in itertools.groupby(plans, lambda plan: plan.spec.seed)]
    return [plan for alike in seeds for plan in sorted(alike, key=lambda plan: -work[plan.name])]


def rough_pace(plan: Plan, placement: Placement) -> Pace:
    """Measure a run roughly; on a CPU on one thread, as if several did as much each, and on small micro-batches."""
    if placement.device != "cpu":
        return pace(plan, placement)
    whole = plan.spec.train.batch_size // plan.spec.train.grad_accumulation
    rows = min(max(1, FEW // plan.spec.model.block_size), whole)
    found, faster = pace(plan, replace(placement, threads=1), rows, LONG), min(placement.threads, HELP)
    return replace(found, micro_batch=found.micro_batch * whole / rows / faster, token=found.token / faster)


def pace(plan: Plan, placement: Placement, rows: int | None = None, enough: float = math.inf) -> Pace:
    """Measure a run, with so many `rows` in a micro-batch, if given: train one step, and then `STEPS` steps, in
    temporary folders. The first pass includes what is done once, compiling and reading the data; the second does not.
    It is left out where a step takes `enough` seconds, beside which a run's set-up is little."""
    placement = replace(placement, log_every=1, weights=False, checkpoint_seconds=math.inf)
    short = replace(plan, spec=shortened(plan.spec, 1, rows))
    first, _ = _timed(short, placement)
    spent, setup = first, 0.0
    if first["train"][0] < enough:
        short = replace(plan, spec=shortened(plan.spec, STEPS, rows))
        spent, setup = _timed(short, placement)
    step = statistics.median(spent["train"])
    return Pace(setup, max(0.0, first["train"][0] - step), step, min(spent["eval"]) / _evaluated(short.spec))


def _timed(plan: Plan, placement: Placement) -> tuple[dict[str, list[float]], float]:
    """Train a run in a temporary folder; returns the seconds of each phase by name, and the seconds outside of
    phases."""
    from runner.training.loop import train

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        train(plan, Path(scratch), placement, lambda progress: None, lambda line: None, lambda: False)
        run = log.read_run(plan.folder(Path(scratch)))
        assert run is not None
        rows = run.timing().to_pylist()
    spent = {phase: [row["seconds"] for row in rows if row["phase"] == phase] for phase in ("train", "eval")}
    return spent, time.perf_counter() - began - sum(row["seconds"] for row in rows)


def shortened(spec: RunSpec, steps: int, rows: int | None = None) -> RunSpec:
    """The spec cut down to `steps` steps of one micro-batch, of so many `rows` if given, and to evaluations of one
    batch."""
    train = spec.train
    batch = rows or train.batch_size // train.grad_accumulation
    data = spec.data
    if data.corpus == openwebtext.NAME and not openwebtext.here(max(stop for _, stop in data.splits().values())):
        room = 8 * batch * spec.model.block_size
        data = replace(data, corpus=STAND_IN, train=(0, room), val=(0, room), test=None)
    name = (spec.eval.splits or tuple(data.splits()))[-1]
    start, stop = data.splits()[name]
    stop = min(stop, start + math.ceil(max(_at_once(batch, spec), spec.model.block_size + 1) / _tokens_a_unit(spec)))
    short: dict[str, Any] = {name: (start, stop)} if name != "train" else {}
    return replace(
        spec,
        data=replace(data, **short),
        train=replace(
            train,
            steps=steps,
            batch_size=batch,
            grad_accumulation=1,
            learning_rate=0.0,  # nothing is learned, so nothing diverges
            min_learning_rate=0.0,
            warmup_steps=0,
            warmdown_steps=None,
        ),
        eval=replace(spec.eval, mode="exact", every=steps, splits=(name,)),
    )


def seconds(spec: RunSpec, pace: Pace) -> float:
    """Seconds that a run takes at this pace, set-up and compiling left out."""
    train = spec.train.steps * spec.train.grad_accumulation * pace.micro_batch
    return train + _evaluations(spec) * _evaluated(spec) * pace.token


def _evaluations(spec: RunSpec) -> int:
    return math.ceil(spec.train.steps / spec.eval.every) + 1


def _batches(spec: RunSpec) -> int:
    """How many batches one evaluation reads."""
    return math.ceil(_evaluated(spec) / _at_once(spec.train.batch_size, spec))


def _at_once(batch: int, spec: RunSpec) -> int:
    """How many tokens are evaluated at once where a step trains on `batch` sequences, roughly."""
    return max(batch * spec.model.block_size, TASKS[spec.data.task].at_once)


def _evaluated(spec: RunSpec) -> int:
    """How many tokens one evaluation reads, over all its splits, roughly."""
    spans = spec.data.splits()
    names = spec.eval.splits or tuple(spans)
    if spec.eval.mode == "sampled":
        return len(names) * spec.eval.batches * spec.train.batch_size * spec.model.block_size
    lengths = {name: (spans[name][1] - spans[name][0]) * _tokens_a_unit(spec) for name in names}
    if "train" in lengths and spec.eval.train_tokens:
        lengths["train"] = min(lengths["train"], spec.eval.train_tokens)
    return sum(lengths.values())


def _tokens_a_unit(spec: RunSpec) -> int:
    """How many tokens there are in one of what a split's ends are counted in, roughly."""
    return DOCUMENT if spec.data.unit == "documents" else 1


def _precision(plan: Plan, placement: Placement) -> str:
    return str(plan.placement.get("precision", placement.precision))


def _work(plan: Plan, placement: Placement) -> float:
    """A run's FLOPs, roughly, to compare runs of one experiment: per parameter, 6 for each trained and 2 for each
    evaluated token; in float32 beside runs in bf16, `SLOWER` times as many."""
    spec = plan.spec
    slower = SLOWER if (_precision(plan, placement), placement.precision) == ("float32", "bf16") else 1.0
    vocabulary = VOCABULARY if spec.data.tokenizer == "gpt2" else CHARACTERS
    # Not on PyTorch's meta device, which imports its compiler first. Weights that are never filled take no memory.
    count = sum(p.numel() for p in registry.network(spec.model.kind)(spec.model, vocabulary).parameters())
    trained = spec.train.steps * spec.train.batch_size * spec.model.block_size
    return slower * count * (6 * trained + 2 * _evaluations(spec) * _evaluated(spec))
