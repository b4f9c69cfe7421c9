"""Measure what observing costs: `python -m benchmarks.probes`. A step with probes beside one without, in turn.

`runner train` with all probes on observes every `eval.probe_every` steps, so a step costs that much more in the mean as
an observed step costs over that number. Probes that listen to evaluations are left out: they cost no step.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Sequence

from rich.console import Console

from benchmarks.results import Columns, Row, report
from benchmarks.stepper import CPU, LAPTOP, PAPER, VOCAB, alternate, run_of
from runner.data import dataset
from runner.models.gpt.spec import GPTSpec
from runner.plan.spec import EvalSpec, TrainSpec
from runner.training import machine
from runner.training.batches import Batches
from runner.training.engine import Engine
from runner.training.group import Group
from runner.training.probes.probe import Probe, Shown, Updated, Watching
from runner.training.probes.registry import PROBES

EVERY = EvalSpec().probe_every
ROUNDS, SPARE = 5, 5


def stepper(model: GPTSpec, train: TrainSpec, steps: int) -> Callable[[Sequence[Probe]], None]:
    """A function that makes so many steps, each observed by some probes."""
    placement, spec = machine.resolve({"device": "cpu"}), run_of(model, train)
    engine = Engine(model, train, VOCAB, 0, CPU, placement.precision, placement.compile)
    batch = Batches(spec, dataset.load(spec.data), CPU, Group()).train(0)

    def step(probes: Sequence[Probe]) -> None:
        shown = [probe for probe in probes if isinstance(probe, Shown)]
        updated = [probe for probe in probes if isinstance(probe, Updated)]
        for _ in range(steps):
            if shown:
                engine.show(batch.inputs_BT, shown)
            watch = Watching(updated) if updated else None
            loss, _ = engine.step(batch.inputs_BT, batch.targets_BU, 0, batch.weights_BU, watch)
            assert math.isfinite(float(loss))

    return step


def measure(name: str, model: GPTSpec, train: TrainSpec, steps: int, each: bool) -> list[Row]:
    """A row for a plain step, for all probes together, and for each of them."""
    step, probes = stepper(model, train, steps), [p for p in PROBES.values() if isinstance(p, Shown | Updated)]
    watched: dict[str, list[Probe]] = {"a plain step": [], "all probes": probes}
    watched |= {probe.name: [probe] for probe in probes if each}
    seconds, others = alternate({what: lambda seen=seen: step(seen) for what, seen in watched.items()}, ROUNDS, SPARE)
    plain = seconds["a plain step"]
    rows = []
    for what, taken in seconds.items():
        more = statistics.median((t - p) / steps for t, p in zip(taken, plain, strict=True))
        share = statistics.median((t - p) / p / EVERY for t, p in zip(taken, plain, strict=True))
        rows.append(
            {
                "model": name, "what": what, "seconds": statistics.median(taken) / steps, "observation_seconds": more,
                "every": EVERY, "share": share, "others": others, "rounds": ROUNDS,
            }
        )  # fmt: skip
    return rows


COLUMNS: Columns = {
    "model": lambda r: r["model"],
    "what": lambda r: r["what"],
    "ms a step": lambda r: f"{r['seconds'] * 1e3:,.1f}",
    "ms more": lambda r: f"{r['observation_seconds'] * 1e3:,.1f}",
    f"of a step, every {EVERY}": lambda r: f"{r['share']:.2%}",
    "others' cores": lambda r: f"{r['others']:.2f}",
}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = [*measure("paper", *PAPER, 1, each=False), *measure("laptop", *LAPTOP, 20, each=True)]
    report("probes", f"what probes cost, medians of {ROUNDS} in turn", rows, COLUMNS, Console())


if __name__ == "__main__":
    main()
