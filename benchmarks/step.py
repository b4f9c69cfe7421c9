"""Measure the training step against the plain reference: `python -m benchmarks.step`, and `--sweep` for a whole sweep.

The reference and ours live in processes of their own (what ours does to the allocator must not help the reference) and
step in turn, so that a busy machine slows both.
"""

import argparse
import multiprocessing
import os
import platform
import resource
import statistics
import tempfile
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.reference import Reference, trainer
from runner.engine import Engine
from runner.optimizer import learning_rate
from runner.spec import ModelSpec, TrainSpec

RESULTS = Path(__file__).parent / "results"
VOCAB = 65
PAPER = (ModelSpec(), TrainSpec())
LAPTOP = (ModelSpec(n_layer=2, n_head=4, d_model=64, block_size=64), TrainSpec(steps=1500, batch_size=32))
SWEEP_RATIOS, SWEEP_SEEDS = (1.0, 2.0, 3.0, 4.0, 5.0), 5


def flops(spec: ModelSpec, batch: int) -> int:
    """Floating-point operations of the matrix products of a step, backward as twice forward, attention causal."""
    tokens, pairs = batch * spec.block_size, batch * spec.block_size * (spec.block_size + 1) // 2
    weights = spec.n_layer * (4 * spec.d_model**2 + 2 * spec.d_model * spec.d_ff) + VOCAB * spec.d_model
    return 3 * (2 * tokens * weights + spec.n_layer * 4 * pairs * spec.d_model)


def batch_of(model: ModelSpec, train: TrainSpec) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randint(VOCAB, (2, train.batch_size, model.block_size), generator=generator))


def stepper(name: str, model: ModelSpec, train: TrainSpec, seed: int = 0) -> Any:
    """A function of a step's number that trains it and waits for the loss."""
    x_BT, y_BT = batch_of(model, train)
    if name == "reference":
        torch.manual_seed(seed)
        step = trainer(Reference(model, VOCAB), train)
        return lambda i: float(step(x_BT, y_BT, learning_rate(train, i))[0])
    engine = Engine(model, train, VOCAB, seed, torch.device("cpu"), "bf16", compile=True)
    return lambda i: float(engine.step(x_BT, y_BT, i)[0])


def peak() -> float:
    """Seconds of a bfloat16 product of 4096-square matrices."""
    a, b = torch.randn(2, 4096, 4096).bfloat16()
    out = torch.empty_like(a)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def serve(pipe: Connection, name: str, model: ModelSpec, train: TrainSpec, threads: int) -> None:
    """A process that trains steps on demand and answers (seconds, peak bytes)."""
    torch.set_num_threads(threads)
    step = peak if name == "peak" else stepper(name, model, train)
    number = 0
    while pipe.recv():
        start = time.perf_counter()
        seconds = step() if name == "peak" else (step(number), time.perf_counter() - start)[1]
        number += 1
        pipe.send((seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024))


def alternate(model: ModelSpec, train: TrainSpec, rounds: int) -> dict[str, tuple[list[float], int]]:
    """Seconds of each of `rounds` steps, taken in turn after one to warm up, and peak memory."""
    context, threads = multiprocessing.get_context("spawn"), torch.get_num_threads()
    pipes, processes, seconds, memory = {}, [], {}, {}
    for name in ("reference", "ours", "peak"):
        pipes[name], theirs = context.Pipe()
        processes.append(context.Process(target=serve, args=(theirs, name, model, train, threads), daemon=True))
        processes[-1].start()
        seconds[name] = []
    for _ in range(rounds + 1):
        for name, pipe in pipes.items():
            pipe.send(True)
            took, memory[name] = pipe.recv()
            seconds[name].append(took)
    for pipe in pipes.values():
        pipe.send(False)
    for process in processes:
        process.join()
    return {name: (times[1:], memory[name]) for name, times in seconds.items()}


def step_rows(ratios: list[float], rounds: int, console: Console) -> list[dict[str, Any]]:
    rows = []
    for ratio in ratios:
        model, train = replace(PAPER[0], mlp_ratio=ratio), PAPER[1]
        with console.status(f"r = {ratio:g}: {rounds} steps of each, in turn"):
            measured = alternate(model, train, rounds)
        work, tokens = flops(model, train.batch_size), train.batch_size * model.block_size
        top = 2 * 4096**3 / min(measured.pop("peak")[0])
        base, best = (pick(measured["reference"][0]) for pick in (statistics.median, min))
        for name, (seconds, memory) in measured.items():
            median = statistics.median(seconds)
            rows.append(
                {
                    "mlp_ratio": ratio, "what": name, "seconds": median, "fastest": min(seconds),
                    "tokens_per_second": tokens / median, "flops_per_second": work / median,
                    "peak_flops_per_second": top, "peak_share": work / median / top, "peak_bytes": memory,
                    "speedup": base / median, "speedup_of_fastest": best / min(seconds), "steps": rounds,
                }
            )  # fmt: skip
    return rows


def work(jobs: Any, steps: int, barrier: Any) -> None:
    """A worker of the sweep: one thread, one run after another."""
    torch.set_num_threads(1)
    barrier.wait()
    while (job := jobs.get()) is not None:
        ratio, seed = job
        step = stepper("ours", replace(LAPTOP[0], mlp_ratio=ratio), LAPTOP[1], seed)
        for i in range(steps):
            step(i)


def sweep_ours(steps: int, workers: int, cache: str) -> float:
    """Seconds from the start of the processes to the end of the last of 25 runs."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    context = multiprocessing.get_context("spawn")
    jobs, barrier = context.Queue(), context.Barrier(workers)
    for ratio in sorted(SWEEP_RATIOS, reverse=True):  # the longest first, so that the workers end together
        for seed in range(SWEEP_SEEDS):
            jobs.put((ratio, seed))
    start = time.perf_counter()
    processes = [context.Process(target=work, args=(jobs, steps, barrier)) for _ in range(workers)]
    for process in processes:
        jobs.put(None)
        process.start()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit(f"a worker of the sweep failed with status {process.exitcode}")
    return time.perf_counter() - start


def sweep_reference(steps: int) -> float:
    """Median seconds a step, averaged over the ratios, with all threads of this machine."""
    medians = []
    for ratio in SWEEP_RATIOS:
        step = stepper("reference", replace(LAPTOP[0], mlp_ratio=ratio), LAPTOP[1])
        seconds = []
        for i in range(steps + 1):
            start = time.perf_counter()
            step(i)
            seconds.append(time.perf_counter() - start)
        medians.append(statistics.median(seconds[1:]))
    return statistics.mean(medians)


def sweep_rows(steps: int, reference_steps: int, console: Console) -> list[dict[str, Any]]:
    workers, runs = os.cpu_count() or 1, len(SWEEP_RATIOS) * SWEEP_SEEDS
    with tempfile.TemporaryDirectory() as cache, console.status("the sweep of 25 laptop runs") as status:
        parts = []
        times = {}
        for name in ("cold cache", "warm cache"):
            status.update(f"reference, {reference_steps} steps a ratio")
            parts.append(sweep_reference(reference_steps))
            status.update(f"ours, {name}: {runs} runs of {steps} steps on {workers} processes")
            times[name] = sweep_ours(steps, workers, cache)
        parts.append(sweep_reference(reference_steps))
    base = statistics.mean(parts) * runs * steps
    label = f"plain loop, one after another (from {3 * reference_steps} steps a ratio)"
    rows = [{"what": label, "seconds": base, "speedup": 1.0, "runs": runs, "steps": steps}]
    for name, seconds in times.items():
        label = f"ours, {workers} processes, {name}"
        rows.append({"what": label, "seconds": seconds, "speedup": base / seconds, "runs": runs, "steps": steps})
    return rows


def show(title: str, rows: list[dict[str, Any]], columns: dict[str, Any], console: Console) -> None:
    table = Table(title=title, caption=f"{platform.node()}, {os.cpu_count()} cores, torch {torch.__version__}")
    for name in columns:
        table.add_column(name, justify="left" if name == "what" else "right")
    for row in rows:
        table.add_row(*(form(row) for form in columns.values()))
    console.print(table)


def save(name: str, rows: list[dict[str, Any]], console: Console) -> None:
    RESULTS.mkdir(exist_ok=True)
    about = {"torch": torch.__version__, "machine": platform.processor() or platform.machine()}
    about["cores"] = str(os.cpu_count())
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(about), RESULTS / f"{name}.parquet")
    console.print(f"written to {RESULTS / f'{name}.parquet'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ratios", type=float, nargs="+", default=[1.0, 2.0, 3.0, 4.0, 5.0])
    parser.add_argument("--steps", type=int, default=7, help="steps of each, in turn")
    parser.add_argument("--sweep", action="store_true", help="the laptop sweep instead of the paper step")
    parser.add_argument("--sweep-steps", type=int, default=LAPTOP[1].steps, help="steps of each of its runs")
    parser.add_argument("--reference-steps", type=int, default=100, help="steps that the plain loop is timed on")
    options, console = parser.parse_args(), Console()
    if os.getloadavg()[0] > 0.5:
        console.print("[yellow]this machine is busy with other work: two threads then suffer more than one does")
    if options.sweep:
        rows = sweep_rows(options.sweep_steps, options.reference_steps, console)
        columns = {
            "what": lambda r: r["what"],
            "s": lambda r: f"{r['seconds']:.0f}",
            "times faster": lambda r: f"{r['speedup']:.2f}",
        }
        show(f"laptop sweep: {rows[0]['runs']} runs of {rows[0]['steps']} steps", rows, columns, console)
        return save("sweep", rows, console)
    rows = step_rows(options.ratios, options.steps, console)
    columns = {
        "r": lambda r: f"{r['mlp_ratio']:g}",
        "what": lambda r: r["what"],
        "s/step": lambda r: f"{r['seconds']:.2f}",
        "fastest": lambda r: f"{r['fastest']:.2f}",
        "tokens/s": lambda r: f"{r['tokens_per_second']:,.0f}",
        "GFLOP/s": lambda r: f"{r['flops_per_second'] / 1e9:,.0f}",
        "of peak": lambda r: f"{r['peak_share']:.0%}",
        "peak GB": lambda r: f"{r['peak_bytes'] / 1e9:.1f}",
        "times faster": lambda r: f"{r['speedup']:.2f}",
        "by fastest": lambda r: f"{r['speedup_of_fastest']:.2f}",
    }
    show(f"paper step, medians of {options.steps} in turn", rows, columns, console)
    save("step", rows, console)


if __name__ == "__main__":
    main()
