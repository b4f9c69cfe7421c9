"""Measure the grid of modular arithmetic, sixty small runs: `python -m benchmarks.grid`.

Its runs are trained one after another in plain PyTorch; by the runner, in a process for each core; and stacked, by
`torch.func`, in a process for each core. Each run's first step and the median of some others are timed, and the sum is
extrapolated to all of its steps. Rounds take turns, and the least disturbed of each way counts.
"""

import argparse
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
from torch.func import grad_and_value, vmap

from benchmarks.reference import Answers, trainer
from benchmarks.results import Columns, Row, report
from benchmarks.stacked import updater
from benchmarks.stepper import CPU, Others, timed
from runner.data import dataset
from runner.plan import experiment
from runner.plan.plan import Plan
from runner.training import machine
from runner.training.batches import Batches
from runner.training.engine import Engine
from runner.training.group import Group
from runner.training.optimizer import learning_rate

LOW = torch.bfloat16  # of the products of what is stacked
Step = Callable[[int], object]
Weights = dict[str, Tensor]


def plain(plans: Sequence[Plan]) -> Step:
    """Plain eager float32 PyTorch, on the batches of a run."""
    (plan,) = plans
    tokens, spec = dataset.load(plan.spec.data), plan.spec
    step, batches = trainer(Answers(spec.model, tokens.vocabulary), spec.train), Batches(spec, tokens, CPU, Group())

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


def answer_loss(w: Weights, x_BT: Tensor, y_B: Tensor, allowed_V: Tensor, n_head: int) -> Tensor:
    """The loss of one model of one layer at its last position, all that counts here. Keys and values depend on a token
    and its position alone: they are computed once for each pair of the two, and picked by products with one-hot rows;
    the query, the MLP and the output are computed at the last position. `allowed_V` is -inf for tokens that the model
    does not have."""
    (B, T), D, low = x_BT.shape, w["token"].shape[1], LOW
    tables_TVD = w["token"] + w["position"][:, None]
    n_TVD = (F.layer_norm(tables_TVD, (D,)) * w["attention_norm"]).to(low)
    hot_TBV = (x_BT.t()[..., None] == torch.arange(len(w["token"]))).to(low)
    kv_TBE = hot_TBV @ (n_TVD @ w["qkv"][D:].t().to(low))
    k_BTHK, v_BTHK = (part.float().view(T, B, n_head, -1).transpose(0, 1) for part in kv_TBE.chunk(2, dim=-1))
    q_BHK = (hot_TBV[-1] @ (n_TVD[-1] @ w["qkv"][:D].t().to(low))).float().view(B, n_head, -1)
    score_BTH = (q_BHK[:, None] * k_BTHK).sum(-1) / math.sqrt(q_BHK.shape[-1])
    y_BD = (score_BTH.softmax(1)[..., None] * v_BTHK).sum(1).flatten(1)
    x_BD = hot_TBV[-1].float() @ tables_TVD[-1] + (y_BD.to(low) @ w["out"].t().to(low)).float()
    n_BD = (F.layer_norm(x_BD, (D,)) * w["mlp_norm"]).to(low)
    x_BD = x_BD + (F.gelu(n_BD @ w["up"].t().to(low)) @ w["down"].t().to(low)).float()
    logits_BV = (F.layer_norm(x_BD, (D,)) * w["norm"]).to(low) @ w["token"].t().to(low)
    log_BV = (logits_BV.float() + allowed_V).log_softmax(1)
    return -log_BV.gather(1, y_B[:, None]).mean()


GRADIENTS = vmap(grad_and_value(answer_loss), in_dims=(0, 0, 0, 0, None))


def weights(plan: Plan, vocabulary: int) -> Weights:
    """A model of one layer as plain PyTorch starts it, by the names of `answer_loss`."""
    torch.manual_seed(plan.spec.seed)
    state = Answers(plan.spec.model, vocabulary).state_dict()
    return {name.removesuffix(".weight").split(".")[-1]: t for name, t in state.items() if not name.startswith("head")}


def stacked(plans: Sequence[Plan]) -> Step:
    """Several runs of one ratio as one program, clipped run by run, with float32 masters. A vocabulary is
    filled up to the largest."""
    spec, parts = plans[0].spec, [dataset.load(plan.spec.data) for plan in plans]
    vocabulary = max(tokens.vocabulary for tokens in parts)
    batches = [Batches(plan.spec, tokens, CPU, Group()) for plan, tokens in zip(plans, parts, strict=True)]
    models = [weights(plan, vocabulary) for plan in plans]
    masters = {name: torch.stack([model[name] for model in models]) for name in models[0]}
    allowed_SV = torch.stack([torch.arange(vocabulary) < tokens.vocabulary for tokens in parts]).float().log()
    update = updater(masters, spec.train)

    def step(number: int) -> list[float]:
        drawn = [each.train(number) for each in batches]
        x_SBT, y_SB = torch.stack([b.inputs_BT for b in drawn]), torch.stack([b.targets_BU[:, -1] for b in drawn])
        found, losses_S = GRADIENTS(masters, x_SBT, y_SB, allowed_SV, spec.model.n_head)
        update(found, number)
        return losses_S.tolist()

    return step


WAYS: dict[str, Callable[[Sequence[Plan]], Step]] = {"plain": plain, "ours": ours, "stacked": stacked}


def jobs(plans: Sequence[Plan], way: str) -> list[list[Plan]]:
    """What a process trains at a time: a run, or half of the runs of a ratio. The slowest first."""
    plans = sorted(plans, key=lambda plan: -plan.spec.model.mlp_ratio)
    if way != "stacked":
        return [[plan] for plan in plans]
    size = len(plans) // len({plan.spec.model.mlp_ratio for plan in plans}) // 2
    return [list(plans[start : start + size]) for start in range(0, len(plans), size)]


def _work(way: str, threads: int, steps: int, waiting: Any, done: Any) -> None:
    """A process that trains some steps of one job after another, and tells the seconds that each would take."""
    torch.set_num_threads(threads)
    while (job := waiting.get()) is not None:
        seconds = timed(WAYS[way](job), steps)
        done.put(seconds[0] + (job[0].spec.train.steps - 1) * statistics.median(seconds[1:]))


def whole(plans: Sequence[Plan], way: str, workers: int, threads: int, steps: int) -> tuple[float, float]:
    """Seconds of the whole grid, and the cores that others took. Workers end together but for their last job."""
    context = multiprocessing.get_context("spawn")
    waiting, done = context.Queue(), context.Queue()
    todo = jobs(plans, way)
    with Others() as others:
        processes = [context.Process(target=_work, args=(way, threads, steps, waiting, done)) for _ in range(workers)]
        for job in [*todo, *[None] * workers]:
            waiting.put(job)
        for process in processes:
            process.start()
        total = sum(done.get(timeout=600) for _ in todo)
        for process in processes:
            process.join()
    return total / workers, others.cores


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
