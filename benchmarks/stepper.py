"""What the benchmarks train, and how busy everyone else keeps this machine meanwhile."""

import os
import time
from collections.abc import Callable, Iterable

import torch

from benchmarks.reference import Reference, trainer
from runner.models.gpt.spec import GPTSpec
from runner.plan.spec import TrainSpec
from runner.training.engine import Engine
from runner.training.optimizer import learning_rate

VOCAB = 65
DISTURBED = 0.1  # cores taken by others from which on a round does not count
PAPER = (GPTSpec(), TrainSpec())
LAPTOP = (GPTSpec(n_layer=2, n_head=4, d_model=64, block_size=64), TrainSpec(steps=1500, batch_size=32))


def stepper(name: str, model: GPTSpec, train: TrainSpec, seed: int = 0) -> Callable[[int], float]:
    """A function of a step's number that trains it and waits for the loss. `name` is "reference" or "ours"."""
    generator = torch.Generator().manual_seed(0)
    x_BT, y_BT = torch.randint(VOCAB, (2, train.batch_size, model.block_size), generator=generator)
    if name == "reference":
        torch.manual_seed(seed)
        step = trainer(Reference(model, VOCAB), train)
        return lambda i: float(step(x_BT, y_BT, learning_rate(train, i))[0])
    engine = Engine(model, train, VOCAB, seed, torch.device("cpu"), "bf16", compile=True)
    return lambda i: float(engine.step(x_BT, y_BT, i)[0])


def timed(step: Callable[[int], object], count: int) -> list[float]:
    """Seconds of each of the first `count` steps."""
    seconds = []
    for number in range(count):
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
