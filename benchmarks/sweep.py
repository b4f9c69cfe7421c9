"""The whole laptop sweep, ours in real processes, against the plain loop one run after another, and against all seeds
of a ratio stacked into one program."""

import multiprocessing
import os
import statistics
import tempfile
import time
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console

from benchmarks import stacked, stepper
from benchmarks.stepper import LAPTOP, Others, timed

RATIOS, SEEDS = (1.0, 2.0, 3.0, 4.0, 5.0), 5


def _work(jobs: Any, steps: int) -> None:
    """A worker: one thread, one run after another."""
    torch.set_num_threads(1)
    while (job := jobs.get()) is not None:
        ratio, seed = job
        step = stepper.ours(replace(LAPTOP[0], mlp_ratio=ratio), LAPTOP[1], seed)
        for i in range(steps):
            step(i)


def ours(steps: int, workers: int, cache: str) -> tuple[float, float]:
    """Seconds from the start of the processes to the end of the last run, and the cores that others took."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    context = multiprocessing.get_context("spawn")
    jobs = context.Queue()
    for ratio in sorted(RATIOS, reverse=True):  # the longest first, so that the workers end together
        for seed in range(SEEDS):
            jobs.put((ratio, seed))
    with Others() as others:
        start = time.perf_counter()
        processes = [context.Process(target=_work, args=(jobs, steps)) for _ in range(workers)]
        for process in processes:
            jobs.put(None)
            process.start()
        for process in processes:
            process.join()
            if process.exitcode:
                raise SystemExit(f"a worker of the sweep failed with status {process.exitcode}")
        seconds = time.perf_counter() - start
    return seconds, others.cores


def reference(steps: int) -> tuple[float, float]:
    """Median seconds a step, averaged over the ratios, with all threads of this machine; and others' cores."""
    medians = []
    with Others() as others:
        for ratio in RATIOS:
            step = stepper.reference(replace(LAPTOP[0], mlp_ratio=ratio), LAPTOP[1])
            seconds = timed(step, steps + 1)
            medians.append(statistics.median(seconds[1:]))
    return statistics.mean(medians), others.cores


def together(steps: int, timed_steps: int, cache: str) -> tuple[float, float]:
    """Seconds of the whole sweep with the seeds of a ratio in one program: its first step, which compiles, and
    `timed_steps` others, extrapolated; and others' cores."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    total = 0.0
    with Others() as others:
        for ratio in RATIOS:
            step = stacked.stepper(replace(LAPTOP[0], mlp_ratio=ratio), LAPTOP[1], SEEDS)
            seconds = timed(step, timed_steps + 1)
            total += seconds[0] + (steps - 1) * statistics.median(seconds[1:])
    return total, others.cores


def rows(steps: int, reference_steps: int, console: Console) -> list[dict[str, Any]]:
    """The plain loop is timed before, between and after ours, and its least disturbed time is extrapolated."""
    workers, runs = os.cpu_count() or 1, len(RATIOS) * SEEDS
    parts, times = [], {}
    with tempfile.TemporaryDirectory() as cache, console.status("the sweep of 25 laptop runs") as status:
        for name in ("cold cache", "warm cache"):
            status.update(f"reference, {reference_steps} steps a ratio")
            parts.append(reference(reference_steps))
            status.update(f"ours, {name}: {runs} runs of {steps} steps on {workers} processes")
            times[f"ours, {workers} processes, {name}"] = ours(steps, workers, cache)
        status.update(f"reference, {reference_steps} steps a ratio")
        parts.append(reference(reference_steps))
        status.update(f"{SEEDS} seeds stacked, {reference_steps} steps a ratio")
        label = f"{SEEDS} seeds stacked in one program (from {reference_steps} steps a ratio)"
        times[label] = together(steps, reference_steps, f"{cache}/stacked")
    seconds, cores = min(parts)
    base = seconds * runs * steps
    label = f"plain loop, {torch.get_num_threads()} threads (from {reference_steps} steps a ratio)"
    table = [{"what": label, "seconds": base, "speedup": 1.0, "others": cores, "runs": runs, "steps": steps}]
    for name, (seconds, cores) in times.items():
        row = {"what": name, "seconds": seconds, "speedup": base / seconds}
        table.append({**row, "others": cores, "runs": runs, "steps": steps})
    return table
