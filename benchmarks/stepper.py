"""What the benchmarks train, how they take turns, and how busy everyone else keeps this machine meanwhile."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch

from benchmarks.reference import Reference, trainer
from runner.data import dataset
from runner.models.gpt.spec import GPTSpec
from runner.plan.plan import Plan
from runner.plan.spec import EvalSpec, RunSpec, TrainSpec
from runner.training import machine
from runner.training.batches import Batch, Batches
from runner.training.engine import Engine
from runner.training.group import Group
from runner.training.loop import train as train_run
from runner.training.optimizer import learning_rate

VOCAB = 65
CPU = torch.device("cpu")
DISTURBED = 0.1  # cores taken by others from which on a round does not count
PAPER = (GPTSpec(), TrainSpec())
LAPTOP = (GPTSpec(n_layer=2, n_head=4, d_model=64, block_size=64), TrainSpec(steps=1500, batch_size=32))


def run_of(model: GPTSpec, train: TrainSpec, seed: int = 0) -> RunSpec:
    """A run on tiny Shakespeare that evaluates as little as can be."""
    data = RunSpec().data
    short = replace(data, val=(data.val[0], data.val[0] + model.block_size + 1))
    return RunSpec(short, model, train, EvalSpec(every=train.steps, splits=("val",)), seed)


def reference(model: GPTSpec, train: TrainSpec) -> Callable[[int], float]:
    """A function of a step's number that trains it in plain PyTorch, on the batches that ours reads."""
    torch.manual_seed(0)
    step = trainer(Reference(model, VOCAB), train)
    return on_batches(
        run_of(model, train), lambda batch, i: step(batch.inputs_BT, batch.targets_BU, learning_rate(train, i))[0]
    )


def ours(model: GPTSpec, train: TrainSpec, seed: int = 0) -> Callable[[int], float]:
    """The same of the engine that a run has on this machine, by itself."""
    placement = machine.resolve({"device": "cpu"})
    engine = Engine(model, train, VOCAB, seed, CPU, placement.precision, placement.compile)
    return on_batches(
        run_of(model, train, seed),
        lambda batch, i: engine.step(batch.inputs_BT, batch.targets_BU, i, batch.weights_BU)[0],
    )


def on_batches(spec: RunSpec, step: Callable[[Batch, int], torch.Tensor]) -> Callable[[int], float]:
    """A function of a step's number that makes the step on the run's batch of that number, and waits for its loss."""
    batches = Batches(spec, dataset.load(spec.data), CPU, Group())
    return lambda i: float(step(batches.train(i), i))


def loop(model: GPTSpec, train: TrainSpec, threads: int, turn: Callable[[], bool]) -> None:
    """Train as `runner train` does: its placement, loop, data and log. `turn` is asked before each step whether there
    is to be one, so that it may wait for its turn and tell how long the last one took."""
    placement = replace(machine.resolve({"device": "cpu", "threads": threads}), weights=False)
    plan = Plan("benchmark", "paper", "step", run_of(model, train))
    with tempfile.TemporaryDirectory() as root:
        train_run(plan, Path(root), placement, lambda progress: None, lambda line: None, lambda: not turn())


def timed(step: Callable[[int], object], steps: int) -> list[float]:
    """Seconds of each of the first so many steps."""
    seconds = []
    for number in range(steps):
        start = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - start)
    return seconds


class Others:
    """Cores that other processes, and other guests of the host, took while `with` ran. 0 where Linux cannot tell."""

    def __init__(self, pids: Iterable[int] = ()):
        self.pids, self.cores = [os.getpid(), *pids], 0.0

    def __enter__(self) -> "Others":
        self.start, self.before = time.perf_counter(), self._ticks()
        return self

    def __exit__(self, *_: object) -> None:
        seconds = (self._ticks() - self.before) / os.sysconf("SC_CLK_TCK")
        self.cores = max(0.0, seconds / (time.perf_counter() - self.start))

    def _ticks(self) -> int:
        try:
            with open("/proc/stat") as file:
                user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
            ours = 0
            for pid in self.pids:
                with open(f"/proc/{pid}/stat") as file:
                    # Of the process and of its children that have ended, after its name in parentheses.
                    ours += sum(map(int, file.read().rpartition(")")[2].split()[11:15]))
        except (OSError, ValueError):
            return 0
        return user + nice + system + irq + softirq + steal - ours


def alternate(
    actions: dict[str, Callable[[], object]],
    rounds: int,
    spare: int,
    ours: Callable[[], Iterable[BaseProcess]] = tuple,
) -> tuple[dict[str, list[float]], float]:
    """Seconds of each action in each of `rounds`, after one that warms up, and the cores that others took in the mean
    of these rounds. Who goes first changes from round to round; rounds that others disturbed are measured again, up to
    `spare` times, and the least disturbed count. `ours` are processes that work for the actions."""
    measured: list[tuple[float, dict[str, float]]] = []
    for number in range(rounds + spare + 1):
        taken: dict[str, float] = {}
        with Others(process.pid for process in ours()) as others:
            for name in list(actions) if number % 2 else reversed(actions):
                began = time.perf_counter()
                actions[name]()
                taken[name] = time.perf_counter() - began
        measured += [(others.cores, taken)] if number else []
        if sum(cores < DISTURBED for cores, _ in measured) == rounds:
            break
    measured = sorted(measured, key=lambda pair: pair[0])[:rounds]
    return {name: [taken[name] for _, taken in measured] for name in actions}, statistics.mean(c for c, _ in measured)
