"""Many runs on one machine, side by side in processes that outlive a run."""

import contextlib
import multiprocessing
import os
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from runner.corpus import cache_folder
from runner.errors import UserError
from runner.experiment import Plan
from runner.placement import Placement

_worker: dict[str, Any] = {}


@contextlib.contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call `stop`, so that runs save before they leave; a second one ends at once."""

    def handle(number: int, frame: Any) -> None:
        signal.signal(number, before[number])
        stop()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(plans: Sequence[Plan], root: Path, placement: Placement, tell: Callable[[str, Any], None]) -> dict[str, str]:
    """Train the plans, `placement.jobs` at once; returns a status by run name.

    Statuses: "finished", "diverged", "stopped" (saved before it ended), "failed" (said in a line). `tell` hears
    ("progress", Progress), ("line", str) and ("end", (name, status)) in this process.
    """
    context = multiprocessing.get_context("spawn")
    # Compiled kernels are kept with the data, so that the next sweep need not make them again.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((cache_folder() / "inductor").resolve()))
    messages, stopped = context.Queue(), context.Event()
    if placement.device == "cpu":
        os.environ["OMP_NUM_THREADS"] = str(placement.threads)  # read when a worker imports torch
    pool = ProcessPoolExecutor(min(placement.jobs, len(plans)), context, _start, (messages, stopped, os.getpid()))
    statuses: dict[str, str] = {}
    with interruptible(stopped.set):
        waiting = list(plans)
        running: dict[Future, Plan] = {}
        try:
            while (waiting and not stopped.is_set()) or running:
                # Handed out one by one: what waits in a pool's own queue could not be taken back when it stops.
                while waiting and len(running) < placement.jobs and not stopped.is_set():
                    plan = waiting.pop(0)
                    running[pool.submit(_train, plan, root, placement)] = plan
                done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                _drain(messages, tell)
                for future in done:
                    plan = running.pop(future)
                    statuses[plan.name] = _status(future, plan, tell)
                    tell("end", (plan.name, statuses[plan.name]))
        except BrokenProcessPool:
            tell("line", "a worker process died, perhaps for want of memory: run the same command to go on")
            waiting += running.values()
        finally:
            stopped.set()
            pool.shutdown()
            _drain(messages, tell)
    return statuses | {plan.name: "stopped" for plan in plans if plan.name not in statuses}


def _status(future: Future, plan: Plan, tell: Callable[[str, Any], None]) -> str:
    try:
        return future.result()
    except UserError as error:
        tell("line", f"{plan.name}: {error}")
        return "failed"


def _drain(messages: Any, tell: Callable[[str, Any], None]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            tell(*messages.get_nowait())


def _start(messages: Any, stopped: Any, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and tells by the event
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _worker.update(messages=messages, stopped=stopped, parent=parent)


def _train(plan: Plan, root: Path, placement: Placement) -> str:
    from runner.train import train

    put, stopped, parent = _worker["messages"].put, _worker["stopped"], _worker["parent"]
    return train(
        plan,
        root,
        placement,
        lambda p: put(("progress", p)),
        lambda line: put(("line", line)),
        lambda: stopped.is_set() or os.getppid() != parent,
    )
