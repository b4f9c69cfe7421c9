"""Many runs on one machine, side by side in processes that outlive a run."""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from runner.data.corpora import cache_folder
from runner.errors import UserError
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.training.group import Group

GRACE = 10.0  # seconds in which workers may save when one of them has died
_worker: dict[str, Any] = {}


@contextlib.contextmanager
def interruptible(stop: Callable[[], None]) -> Iterator[None]:
    """Ctrl-C and SIGTERM call `stop`, so that runs save before they leave; a second one kills the workers."""
    asked = 0

    def handle(number: int, frame: Any) -> None:
        nonlocal asked
        asked += 1
        stop()
        if asked > 1:
            _kill()

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
    if Group().size > 1:
        return _together(plans, root, placement, tell)
    context = multiprocessing.get_context("spawn")
    # Compiled kernels are kept with the data, so that the next sweep need not make them again.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((cache_folder() / "inductor").resolve()))
    messages = context.Queue()
    stopped = context.RawValue("b", 0)  # without a lock, which a worker that is killed could take with it
    if placement.device == "cpu":
        os.environ["OMP_NUM_THREADS"] = str(placement.threads)  # read when a worker imports torch
    pool = ProcessPoolExecutor(min(placement.jobs, len(plans)), context, _start, (messages, stopped))
    statuses: dict[str, str] = {}
    with interruptible(lambda: setattr(stopped, "value", 1)):
        waiting = list(plans)
        running: dict[Future, Plan] = {}
        try:
            while (waiting and not stopped.value) or running:
                # Handed out one by one: what waits in a pool's own queue could not be taken back when it stops.
                while waiting and len(running) < placement.jobs and not stopped.value:
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
            stopped.value = 1
            _kill(grace=GRACE)  # it may have died with a lock of the pool, for which the others would wait for ever
        finally:
            stopped.value = 1
            pool.shutdown()
            _drain(messages, tell)
    return statuses | {plan.name: "stopped" for plan in plans if plan.name not in statuses}


def _together(
    plans: Sequence[Plan], root: Path, placement: Placement, tell: Callable[[str, Any], None]
) -> dict[str, str]:
    """One run after another, each by all processes that torchrun started; when it is gone, they save and leave."""
    from runner.training.loop import train

    statuses, asked, parent = {}, [], os.getppid()
    with interruptible(lambda: asked.append(True)):
        for plan in plans:
            statuses[plan.name] = train(
                plan,
                root,
                placement,
                lambda p: tell("progress", p),
                lambda line: tell("line", line),
                lambda: bool(asked) or os.getppid() != parent,
            )
            tell("end", (plan.name, statuses[plan.name]))
            if statuses[plan.name] == "stopped":
                break
    return statuses | {plan.name: "stopped" for plan in plans if plan.name not in statuses}


def _kill(grace: float = 0.0) -> None:
    """End the workers, those that have not left by themselves within `grace` seconds."""
    deadline = time.monotonic() + grace
    for child in multiprocessing.active_children():
        child.join(max(0.0, deadline - time.monotonic()))
        child.kill()


def _status(future: Future, plan: Plan, tell: Callable[[str, Any], None]) -> str:
    try:
        return future.result()
    except BrokenProcessPool:
        raise
    except UserError as error:
        tell("line", f"{plan.name}: {error}")
    except Exception as error:  # one run that fails must not take the others with it
        tell("line", f"{plan.name}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
    return "failed"


def _drain(messages: Any, tell: Callable[[str, Any], None]) -> None:
    with contextlib.suppress(queue.Empty):
        while True:
            tell(*messages.get_nowait())


def _start(messages: Any, stopped: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and tells by the flag
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _worker.update(messages=messages, stopped=stopped, busy=False)
    threading.Thread(target=_outlive_nobody, daemon=True).start()


def _outlive_nobody() -> None:
    """When the parent is gone, save what goes on and leave."""
    multiprocessing.parent_process().join()
    _worker["stopped"].value = 1
    while _worker["busy"]:
        time.sleep(0.1)
    os._exit(1)


def _train(plan: Plan, root: Path, placement: Placement) -> str:
    from runner.training.loop import train

    put, stopped = _worker["messages"].put, _worker["stopped"]
    _worker["busy"] = True
    try:
        return train(
            plan,
            root,
            placement,
            lambda progress: put(("progress", progress)),
            lambda line: put(("line", line)),
            lambda: bool(stopped.value),
        )
    finally:
        _worker["busy"] = False
