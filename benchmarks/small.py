"""Measure the step of small models against plain PyTorch: `python -m benchmarks.small`, in turn on one thread.

The models are those of the study's experiments, each under its experiment's own placement. The plain ones are what
anyone would write in float32: modules of `torch.nn`, a fused optimizer, clipping; they read the same batches.
"""

import argparse
import math
import statistics
from collections.abc import Callable

import torch
import torch.nn as nn
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from benchmarks.results import Columns, Row, report
from benchmarks.stepper import CPU, alternate, on_batches
from runner.data import dataset
from runner.models.mlp.spec import MLPSpec
from runner.models.wavenet.spec import WaveNetSpec
from runner.plan import experiment
from runner.plan.placement import Placement
from runner.plan.spec import RunSpec
from runner.training import machine
from runner.training.batches import Batch
from runner.training.engine import Engine
from runner.training.optimizer import learning_rate

RUNS = (
    ("MLP", "mlp-reading", "flatten-s0"),
    ("MLP of six layers", "initial-weights", "xavier-residual-none-adamw-s0"),
    ("with BatchNorm", "initial-weights", "xavier-residual-batch-adamw-s0"),
    ("WaveNet", "convergence", "wavenet-lr0.01-s0"),
)
STEPS, ROUNDS, SPARE = 50, 7, 7


class PlainMLP(nn.Module):
    """Flattened embeddings, tanh layers, with residual connections and BatchNorm where the spec has them."""

    def __init__(self, spec: MLPSpec, vocabulary: int) -> None:
        super().__init__()
        self.residual = spec.residual
        self.token = nn.Embedding(vocabulary, spec.width)
        inputs = [spec.inputs] + [spec.hidden] * (spec.n_layer - 1)
        self.layers = nn.ModuleList(nn.Linear(each, spec.hidden, bias=False) for each in inputs)
        self.norms = nn.ModuleList(
            nn.Identity() if spec.norm == "none" else nn.BatchNorm1d(spec.hidden) for _ in inputs
        )
        self.out = nn.Linear(spec.hidden, vocabulary)

    def forward(self, x_BT: Tensor) -> Tensor:
        h_BI = self.token(x_BT).flatten(1)
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            new_BH = torch.tanh(norm(layer(h_BI)))
            h_BI = h_BI + new_BH if self.residual and i else new_BH
        return self.out(h_BI)


class PlainWaveNet(nn.Module):
    """Gated dilated convolutions with residual and skip paths, read off the whole context."""

    def __init__(self, spec: WaveNetSpec, vocabulary: int) -> None:
        super().__init__()
        self.token = nn.Embedding(vocabulary, spec.width)
        self.back = [dilation * (spec.kernel - 1) for dilation in spec.dilations]
        self.filters, self.gates = (
            nn.ModuleList(nn.Conv1d(spec.width, spec.gate, spec.kernel, dilation=d) for d in spec.dilations)
            for _ in range(2)
        )
        self.residuals = nn.ModuleList(nn.Conv1d(spec.gate, spec.width, 1) for _ in spec.dilations)
        self.skips = nn.ModuleList(nn.Conv1d(spec.gate, spec.skip, 1) for _ in spec.dilations)
        self.readout = nn.Linear(spec.block_size * spec.skip, spec.skip)
        self.out = nn.Linear(spec.skip, vocabulary)

    def forward(self, x_BT: Tensor) -> Tensor:
        x_BDT, skipped = self.token(x_BT).transpose(1, 2), []
        for i, back in enumerate(self.back):
            read_BDT = F.pad(x_BDT, (back, 0))
            h_BGT = torch.tanh(self.filters[i](read_BDT)) * torch.sigmoid(self.gates[i](read_BDT))
            x_BDT = x_BDT + self.residuals[i](h_BGT)
            skipped.append(self.skips[i](h_BGT))
        h_BST = torch.relu(torch.stack(skipped).sum(0))
        return self.out(torch.relu(self.readout(h_BST.flatten(1))))


def plain(spec: RunSpec, vocabulary: int) -> Callable[[Batch, int], Tensor]:
    """A step of plain PyTorch on a batch, given its number; returns the loss."""
    train = spec.train
    model = (
        PlainMLP(spec.model, vocabulary) if isinstance(spec.model, MLPSpec) else PlainWaveNet(spec.model, vocabulary)
    )
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=train.weight_decay, fused=True)

    def step(batch: Batch, number: int) -> Tensor:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(train, number)
        loss = F.cross_entropy(model(batch.inputs_BT), batch.targets_BU.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), train.grad_clip)
        optimizer.step()
        return loss

    return step


def ours(spec: RunSpec, vocabulary: int, placement: Placement) -> Callable[[Batch, int], Tensor]:
    """The same of the runner's engine."""
    engine = Engine(spec.model, spec.train, vocabulary, 0, CPU, placement.precision, placement.compile)
    return lambda batch, number: engine.step(batch.inputs_BT, batch.targets_BU, number, batch.weights_BU)[0]


def several(spec: RunSpec, step: Callable[[Batch, int], Tensor]) -> Callable[[], None]:
    """A function that makes `STEPS` steps on the run's batches."""
    numbered = on_batches(spec, step)

    def go() -> None:
        assert all(math.isfinite(numbered(number)) for number in range(STEPS))

    return go


def rows(console: Console) -> list[Row]:
    torch.set_num_threads(1)
    table = []
    for model, name, run in RUNS:
        loaded = experiment.load(name)
        spec = next(plan.spec for plan in loaded.plans("laptop") if plan.name == run)
        placement = machine.resolve(loaded.placement("laptop") | {"device": "cpu"})
        vocabulary = dataset.load(spec.data).vocabulary
        steps = {"plain PyTorch": plain(spec, vocabulary), "ours": ours(spec, vocabulary, placement)}
        actions = {what: several(spec, step) for what, step in steps.items()}
        with console.status(f"{model}: {ROUNDS} times {STEPS} steps of each, in turn"):
            seconds, others = alternate(actions, ROUNDS, SPARE)
        for what, taken in seconds.items():
            pairs = zip(seconds["plain PyTorch"], taken, strict=True)
            table.append(
                {
                    "model": model, "what": what, "precision": "float32" if what != "ours" else placement.precision,
                    "batch": spec.train.batch_size, "seconds": statistics.median(taken) / STEPS,
                    "speedup": statistics.median(theirs / each for theirs, each in pairs), "others": others,
                    "rounds": ROUNDS,
                }
            )  # fmt: skip
    return table


COLUMNS: Columns = {
    "model": lambda r: r["model"],
    "what": lambda r: r["what"],
    "products in": lambda r: r["precision"],
    "contexts": lambda r: f"{r['batch']}",
    "ms a step": lambda r: f"{r['seconds'] * 1e3:.2f}",
    "times faster": lambda r: f"{r['speedup']:.2f}",
    "others' cores": lambda r: f"{r['others']:.2f}",
}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    console = Console()
    report("small", f"small models, medians of {ROUNDS} in turn", rows(console), COLUMNS, console)


if __name__ == "__main__":
    main()
