"""Measure the grid of modular arithmetic, sixty small runs: `python -m benchmarks.grid`.

Its runs are trained one after another in plain PyTorch; by the runner, in a process for each core; and stacked, all
runs of a ratio as one program, in a process for each core. The first step of each and the median of some others are
timed and extrapolated to all steps. Rounds take turns, and the least disturbed of each way counts.
"""

import argparse
import heapq
import math
import multiprocessing
import os
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor

from benchmarks.reference import Answers, trainer
from benchmarks.results import Columns, Row, report
from benchmarks.stacked import updater
from benchmarks.stepper import CPU, Others, timed
from runner.data import dataset
from runner.plan import experiment
from runner.plan.plan import Plan
from runner.training import machine
from runner.training.batches import Batches
from runner.training.engine import PRECISIONS, Engine
from runner.training.group import Group
from runner.training.optimizer import learning_rate

Step = Callable[[int], object]
Weights = dict[str, Tensor]


def plain(plans: Sequence[Plan]) -> Step:
    """Plain eager float32 PyTorch, on the batches of a run."""
    (plan,) = plans
    tokens, spec = dataset.load(plan.spec.data), plan.spec
    step, batches = trainer(start(plan, tokens.vocabulary), spec.train), Batches(spec, tokens, CPU, Group())

    def run(number: int) -> float:
        batch = batches.train(number)
        return float(step(batch.inputs_BT, batch.targets_BU, learning_rate(spec.train, number))[0])

    return run


def ours(plans: Sequence[Plan]) -> Step:
    """The engine that a run of the runner has on this machine."""
    (plan,) = plans
    tokens, spec, placement = dataset.load(plan.spec.data), plan.spec, machine.resolve({"device": "cpu"})
    batches = Batches(spec, tokens, CPU, Group())
    engine = Engine(spec.model, spec.train, tokens.vocabulary, spec.seed, CPU, placement.precision, placement.compile)

    def run(number: int) -> float:
        batch = batches.train(number)
        return float(engine.step(batch.inputs_BT, batch.targets_BU, number, batch.weights_BU)[0])

    return run


PRODUCTS = ("qkv", "out", "up", "down")  # matrices that are stored for x @ w: their gradients need no transposing


def start(plan: Plan, vocabulary: int) -> Answers:
    """A run's model as plain PyTorch starts it."""
    torch.manual_seed(plan.spec.seed)
    return Answers(plan.spec.model, vocabulary)


def stack(models: Sequence[Answers], vocabulary: int) -> Weights:
    """The weights of models of one layer, [run, …], by the names of `answer_losses`. Token embeddings are filled up to
    one vocabulary with zeros."""
    weights = {}
    for named in zip(*(model.named_parameters() for model in models), strict=True):
        name, parts = named[0][0].removesuffix(".weight").split(".")[-1], [p.detach() for _, p in named]
        if name == "token":
            parts = [F.pad(part, (0, 0, 0, vocabulary - len(part))) for part in parts]
        weights[name] = torch.stack([part.t() if name in PRODUCTS else part for part in parts])
    return weights


def answer_losses(w: Weights, x_SBT: Tensor, y_SB: Tensor, allowed_SV: Tensor, n_head: int) -> Tensor:
    """The loss of each of S models of one layer at its last position, all that counts here, [S]. Products are of the
    type of the matrices `PRODUCTS`. `allowed_SV` is -inf for tokens that a model does not have.

    Queries, keys and values depend on a token and its position alone. They are computed once for each of the R pairs of
    the two, the rows of a table. All examples of a model end with one token, so that there is one query; then the sums
    of attention, over values and over weights, are sums of rows of the table, and a product with a matrix that marks
    each example's rows.
    """
    (S, B, T), (V, D), low = x_SBT.shape, w["token"].shape[1:], w["qkv"].dtype
    row_SBT = x_SBT + V * torch.arange(T)
    last = torch.arange(S), row_SBT[:, 0, -1]
    assert (row_SBT[..., -1] == last[1][:, None]).all(), "all examples of a model have to end with the same token"
    marked_SBR = torch.zeros(S, B, T * V, dtype=low).scatter_(2, row_SBT, 1.0)

    def norm(x: Tensor, name: str) -> Tensor:
        return (F.layer_norm(x, (D,)) * w[name][:, None]).to(low)

    table_SRD = (w["token"][:, None] + w["position"][:, :, None]).flatten(1, 2)
    q_SRD, k_SRD, v_SRD = (norm(table_SRD, "attention_norm") @ w["qkv"]).float().chunk(3, dim=2)
    score_SRH = (k_SRD * q_SRD[last][:, None]).unflatten(2, (n_head, -1)).sum(3) / math.sqrt(D // n_head)
    e_SRH = (score_SRH - score_SRH.detach().amax(1, keepdim=True)).exp()
    value_SRD = (v_SRD.unflatten(2, (n_head, -1)) * e_SRH[..., None]).flatten(2)
    sums_SBE = (marked_SBR @ torch.cat((value_SRD, e_SRH), dim=2).to(low)).float()
    y_SBHK, sum_SBH = sums_SBE[..., :D].unflatten(2, (n_head, -1)), sums_SBE[..., D:]
    y_SBD = (y_SBHK * sum_SBH.reciprocal()[..., None]).flatten(2).to(low)
    x_SBD = table_SRD[last][:, None] + y_SBD @ w["out"]
    x_SBD = x_SBD + F.gelu(norm(x_SBD, "mlp_norm") @ w["up"]) @ w["down"]
    logits_SBV = (norm(x_SBD, "norm") @ w["token"].to(low).mT).float() + allowed_SV[:, None]
    return F.cross_entropy(logits_SBV.flatten(0, 1), y_SB.flatten(), reduction="none").view(S, B).mean(1)


def stacked(plans: Sequence[Plan], low: torch.dtype | None = None) -> Step:
    """Several runs of one ratio as one program, clipped run by run, with float32 masters. Its products are of the type
    `low`, by default the one that the runner has on this machine."""
    spec, parts = plans[0].spec, [dataset.load(plan.spec.data) for plan in plans]
    low = low or PRECISIONS[machine.resolve({"device": "cpu"}).precision]
    vocabulary = max(tokens.vocabulary for tokens in parts)
    batches = [Batches(plan.spec, tokens, CPU, Group()) for plan, tokens in zip(plans, parts, strict=True)]
    models = [start(plan, tokens.vocabulary) for plan, tokens in zip(plans, parts, strict=True)]
    masters = stack(models, vocabulary)
    allowed_SV = torch.stack([torch.arange(vocabulary) < tokens.vocabulary for tokens in parts]).float().log()
    update = updater(masters, spec.train)

    def step(number: int) -> list[float]:
        drawn = [each.train(number) for each in batches]
        x_SBT, y_SB = torch.stack([b.inputs_BT for b in drawn]), torch.stack([b.targets_BU[:, -1] for b in drawn])
        w = {name: p.detach().to(low if name in PRODUCTS else p.dtype) for name, p in masters.items()}
        leaves = [t.requires_grad_() for t in w.values()]
        losses_S = answer_losses(w, x_SBT, y_SB, allowed_SV, spec.model.n_head)
        update(dict(zip(w, torch.autograd.grad(losses_S.sum(), leaves), strict=True)), number)
        return losses_S.tolist()

    return step


WAYS: dict[str, Callable[[Sequence[Plan]], Step]] = {"plain": plain, "ours": ours, "stacked": stacked}


def jobs(plans: Sequence[Plan], way: str) -> list[list[Plan]]:
    """What a process trains at a time: a run, or all runs of a ratio. The slowest first."""
    ratios = sorted({plan.spec.model.mlp_ratio for plan in plans}, reverse=True)
    each = [[plan for plan in plans if plan.spec.model.mlp_ratio == ratio] for ratio in ratios]
    return each if way == "stacked" else [[plan] for some in each for plan in some]


def end(seconds: Sequence[float], workers: int) -> float:
    """When the last of some workers ends, each of which takes the next job as soon as it is free."""
    ends = [0.0] * workers
    for taken in seconds:
        heapq.heapreplace(ends, ends[0] + taken)
    return max(ends)


def _work(way: str, threads: int, steps: int, waiting: Any, done: Any) -> None:
    """A process that trains some steps of one job after another, and tells the seconds that each would take."""
    torch.set_num_threads(threads)
    while (task := waiting.get()) is not None:
        number, job = task
        seconds = timed(WAYS[way](job), steps)
        done.put((number, seconds[0] + (job[0].spec.train.steps - 1) * statistics.median(seconds[1:])))


def whole(plans: Sequence[Plan], way: str, workers: int, threads: int, steps: int) -> tuple[float, float]:
    """Seconds of the whole grid, and the cores that others took."""
    context = multiprocessing.get_context("spawn")
    waiting, done = context.Queue(), context.Queue()
    todo = jobs(plans, way)
    with Others() as others:
        processes = [context.Process(target=_work, args=(way, threads, steps, waiting, done)) for _ in range(workers)]
        for task in [*enumerate(todo), *[None] * workers]:
            waiting.put(task)
        for process in processes:
            process.start()
        seconds = dict(done.get(timeout=600) for _ in todo)
        for process in processes:
            process.join()
    return end([seconds[number] for number in range(len(todo))], workers), others.cores


COLUMNS: Columns = {
    "what": lambda r: r["what"],
    "s": lambda r: f"{r['seconds']:.0f}",
    "times faster": lambda r: f"{r['speedup']:.2f}",
    "others' cores": lambda r: f"{r['others']:.2f}",
}


def rows(plans: Sequence[Plan], steps: int, rounds: int, console: Console) -> list[Row]:
    """A row for each way; plain PyTorch has the number of threads that is faster for it."""
    cores = os.cpu_count() or 1
    ways = {
        f"plain PyTorch, one run after another, {cores} threads": ("plain", 1, cores),
        "plain PyTorch, one run after another, 1 thread": ("plain", 1, 1),
        f"the runner, {cores} processes": ("ours", cores, 1),
        f"{len(jobs(plans, 'stacked')[0])} runs stacked, {cores} processes": ("stacked", cores, 1),
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, (way, workers, threads) in ways.items():
            with console.status(f"round {number + 1} of {rounds}: {name}"):
                found[name].append(whole(plans, way, workers, threads, steps))
    best = {name: min(each) for name, each in found.items()}
    base = min(seconds for name, (seconds, _) in best.items() if ways[name][0] == "plain")
    return [
        {
            "what": name, "seconds": seconds, "speedup": base / seconds, "others": others, "runs": len(plans),
            "timed_steps": steps, "rounds": rounds,
        }
        for name, (seconds, others) in best.items()
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40, help="steps of each run that are timed")
    parser.add_argument("--rounds", type=int, default=2, help="rounds in which the ways take turns")
    options, console = parser.parse_args(), Console()
    plans = experiment.load("tasks").plans("laptop")
    table = rows(plans, options.steps, options.rounds, console)
    title = f"modular arithmetic: {len(plans)} runs of {plans[0].spec.train.steps} steps"
    report("grid", title, table, COLUMNS, console)


if __name__ == "__main__":
    main()
