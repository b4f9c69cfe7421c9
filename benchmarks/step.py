"""Measure the training step against the plain reference: `python -m benchmarks.step`, and `--sweep` for a whole sweep.

Ours is what `runner train` does: its precision, its loop, its data, its log. The reference and ours live in processes
of their own, as what ours does to the allocator must not help the reference, and step in turn, so that a busy machine
slows both. Rounds that other processes disturbed are measured again.
"""

import argparse
import multiprocessing
import resource
import statistics
import time
from dataclasses import replace
from multiprocessing.connection import Connection

import torch
from rich.console import Console

from benchmarks import sweep
from benchmarks.results import Columns, Row, report
from benchmarks.stepper import DISTURBED, LAPTOP, PAPER, VOCAB, Others, loop, reference
from runner.models.gpt.spec import GPTSpec
from runner.plan.spec import TrainSpec


def flops(spec: GPTSpec, batch: int) -> int:
    """Floating-point operations of the matrix products of a step, backward as twice forward, attention causal."""
    tokens, pairs = batch * spec.block_size, batch * spec.block_size * (spec.block_size + 1) // 2
    weights = (spec.n_layer * 4 * spec.d_model**2 + 2 * spec.d_model * sum(spec.d_ffs)) + VOCAB * spec.d_model
    return 3 * (2 * tokens * weights + spec.n_layer * 4 * pairs * spec.d_model)


def peak() -> float:
    """Seconds of a bfloat16 product of 4096-square matrices."""
    a, b = torch.randn(2, 4096, 4096).bfloat16()
    out, seconds = torch.empty_like(a), []
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def serve(pipe: Connection, name: str, model: GPTSpec, train: TrainSpec, threads: int) -> None:
    """A process that trains steps on demand and answers (seconds, peak bytes)."""
    torch.set_num_threads(threads)
    began: list[float] = []

    def answer(seconds: float) -> None:
        pipe.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))

    def turn() -> bool:
        """Between two steps of the loop: tell how long the last one took, and wait for the next."""
        if began:
            answer(time.perf_counter() - began.pop())
        if not pipe.recv():
            return False
        began.append(time.perf_counter())
        return True

    if name == "ours":
        return loop(model, train, threads, turn)
    step, number = (reference(model, train) if name == "reference" else None), 0
    while pipe.recv():
        start = time.perf_counter()
        if step:
            step(number)
        answer(time.perf_counter() - start if step else peak())
        number += 1


def alternate(model: GPTSpec, train: TrainSpec, rounds: int) -> tuple[dict[str, list[float]], Row, float]:
    """Seconds of each of `rounds` steps by name, taken in turn after two to warm up; peak memory by name; and the
    cores that others took in the mean round that counted."""
    context, threads = multiprocessing.get_context("spawn"), torch.get_num_threads()
    pipes, processes, kept = {}, [], []
    for name in ("reference", "ours", "peak"):
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, name, model, train, threads), daemon=True))
        processes[-1].start()
    for attempt in range(3 * rounds + 2):
        with Others(process.pid for process in processes) as others:
            answers = {}
            for name, pipe in pipes.items():
                pipe.send(True)
                answers[name] = pipe.recv()
        if attempt >= 2:
            kept.append((others.cores, answers))
        if sum(cores < DISTURBED for cores, _ in kept) == rounds:
            break
    for pipe, process in zip(pipes.values(), processes, strict=True):
        pipe.send(False)
        process.join()
    kept = sorted(kept, key=lambda pair: pair[0])[:rounds]
    seconds = {name: [answers[name][0] for _, answers in kept] for name in pipes}
    return seconds, {name: answers[name][1] for name in pipes}, statistics.mean(cores for cores, _ in kept)


def rows(ratios: list[float], rounds: int, console: Console) -> list[Row]:
    table = []
    for ratio in ratios:
        model, train = replace(PAPER[0], mlp_ratio=ratio), PAPER[1]
        with console.status(f"r = {ratio:g}: {rounds} steps of each, in turn"):
            seconds, memory, others = alternate(model, train, rounds)
        work, tokens = flops(model, train.batch_size), train.batch_size * model.block_size
        top = 2 * 4096**3 / min(seconds["peak"])
        base, best = (pick(seconds["reference"]) for pick in (statistics.median, min))
        for name in ("reference", "ours"):
            median, fastest = statistics.median(seconds[name]), min(seconds[name])
            table.append(
                {
                    "mlp_ratio": ratio, "what": name, "seconds": median, "fastest": fastest,
                    "tokens_per_second": tokens / median, "flops_per_second": work / median,
                    "peak_flops_per_second": top, "peak_share": work / median / top, "peak_bytes": memory[name],
                    "speedup": base / median, "speedup_of_fastest": best / fastest, "others": others, "steps": rounds,
                }
            )  # fmt: skip
    return table


SWEEP_COLUMNS: Columns = {
    "what": lambda r: r["what"],
    "s": lambda r: f"{r['seconds']:.0f}",
    "times faster": lambda r: f"{r['speedup']:.2f}",
    "others' cores": lambda r: f"{r['others']:.2f}",
}
STEP_COLUMNS: Columns = {
    "r": lambda r: f"{r['mlp_ratio']:g}",
    "what": lambda r: r["what"],
    "s/step": lambda r: f"{r['seconds']:.2f}",
    "tokens/s": lambda r: f"{r['tokens_per_second']:,.0f}",
    "GFLOP/s": lambda r: f"{r['flops_per_second'] / 1e9:,.0f}",
    "of peak": lambda r: f"{r['peak_share']:.0%}",
    "peak GB": lambda r: f"{r['peak_bytes'] / 1e9:.1f}",
    "times faster": lambda r: f"{r['speedup']:.2f}",
    "others' cores": lambda r: f"{r['others']:.2f}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratios", type=float, nargs="+", default=[1.0, 2.0, 3.0, 4.0, 5.0])
    parser.add_argument("--steps", type=int, default=7, help="steps of each, in turn")
    parser.add_argument("--sweep", action="store_true", help="the laptop sweep instead of the paper step")
    parser.add_argument("--sweep-steps", type=int, default=LAPTOP[1].steps, help="steps of each of its runs")
    parser.add_argument("--reference-steps", type=int, default=100, help="steps that the plain loop is timed on")
    options, console = parser.parse_args(), Console()
    if options.sweep:
        table = sweep.rows(options.sweep_steps, options.reference_steps, console)
        title = f"laptop sweep: {table[0]['runs']} runs of {table[0]['steps']} steps"
        return report("sweep", title, table, SWEEP_COLUMNS, console)
    table = rows(options.ratios, options.steps, console)
    report("step", f"paper step, medians of {options.steps} in turn", table, STEP_COLUMNS, console)


if __name__ == "__main__":
    main()
