"""Trains many runs on one machine, side by side, in worker processes that are reused by later runs and experiments.

Importable without torch: only the workers need it. Threads, precision and compilation are set for each run.
"""

import contextlib
import gc
import multiprocessing
import os
import queue
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Self

from runner.errors import UserError
from runner.evidence.status import Status
from runner.launch import estimate, progress
from runner.launch.events import Emit, Ending, Event, Line, RunEnded
from runner.plan.placement import Placement, checked
from runner.plan.plan import Plan
from runner.training import machine
from runner.training.progress import Progress

DIED = (
    "a worker process died, perhaps because memory ran out: run the same command again to continue; smaller "
    "micro-batches (a smaller batch_size, or a larger grad_accumulation) take less memory"
)
KILLED = "stopped at once: what runs had saved before is kept"
TOGETHER = 0.5  # seconds after the first signal in which others are its echo
GRACE = 10.0  # seconds that the other workers have for saving when one of them has died


def _broken(future: Future[Any]) -> bool:
    """Whether the process of a call that has ended has died."""
    return isinstance(future.exception(), BrokenProcessPool)


def _kill(grace: float = 0.0) -> None:
    """Kill the workers that have not ended by themselves within `grace` seconds."""
    deadline = time.monotonic() + grace
    workers = [child for child in multiprocessing.active_children() if isinstance(child, SpawnProcess)]
    for child in workers:  # other children are not ours, such as the kernels of notebooks
        child.join(max(0.0, deadline - time.monotonic()))
        child.kill()


def interrupt() -> None:
    """Do what Ctrl-C does by itself."""
    raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible(stop: Callable[[], None], again: Callable[[], None] | None = None) -> Iterator[None]:
    """Within the block, Ctrl-C and SIGTERM call `stop`, so that runs save before they end, and from the second time
    `again`: without it, the workers are killed. Signals within `TOGETHER` of the first are its echo: `timeout` sends
    its own to the process and then to its group."""
    first: float | None = None

    def handle(number: int, frame: Any) -> None:
        nonlocal first
        if first is None:
            first = time.monotonic()
            stop()
        elif time.monotonic() - first > TOGETHER:
            (again or _kill)()

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Workers:
    """Worker processes of this machine, started when they are first needed; each imports torch once."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._slots: list[ProcessPoolExecutor] = []  # one process each: with fewer jobs, the others stay idle
        self._batches: list[_Batch] = []  # in the order in which they came; those that have ended are gone
        self._running: dict[Future[str], tuple[_Batch, Plan, int]] = {}  # the last is the slot
        self._resolved: dict[tuple[tuple[str, Any], ...], Placement] = {}  # placements, by what was wished for
        self._messages: Any = None
        self._stopping: Any = None
        self._complete: set[Path] = set()  # folders of runs whose last message has been received
        self._killed = False  # by whoever asked a second time to stop

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Let unfinished runs save, and end the processes; at a further interrupt, kill them."""
        slots, self._slots = self._slots, []
        try:
            for slot in slots:
                self._stopping.value = 1
                slot.shutdown()
        except BaseException:  # otherwise this process would wait for ever for workers that nothing ends
            _kill()
            raise

    def resolve(self, wishes: dict[str, Any]) -> Placement:
        """The result of `runner.training.machine.resolve`, called in a worker, as this process has no torch."""
        checked(wishes)  # before a process is started
        asked = tuple(sorted(wishes.items()))
        if asked not in self._resolved:  # once, as a process that trains would answer when its run has ended
            self._open(min(wishes.get("jobs", 1), os.cpu_count() or 1))
            self._resolved[asked] = self.call(machine.resolve, wishes)
        return self._resolved[asked]

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of `function`, which may need torch, called in a worker."""
        return self.call_each(function, [args])[0]

    def call_each(self, function: Callable[..., Any], args: Sequence[tuple[Any, ...]], jobs: int = 1) -> list[Any]:
        """The results of `function` for each tuple of arguments, in their order. The calls begin in that order too,
        `jobs` side by side. An interrupt kills the workers, as nothing of a call is kept."""
        jobs = min(len(args), jobs)
        self._open(jobs)
        futures: list[Future[Any]] = []
        running: dict[Future[Any], ProcessPoolExecutor] = {}
        free = self._slots[:jobs]
        try:
            for each in args:
                if not free:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    free = [running.pop(future) for future in done]
                slot = free.pop(0)
                futures.append(slot.submit(function, *each))
                running[futures[-1]] = slot
            return [future.result() for future in futures]
        except BrokenProcessPool:
            raise UserError(DIED) from None
        except KeyboardInterrupt:
            _kill()
            raise

    def broadcast(self, value: Any, wishes: dict[str, Any]) -> Any:
        """The value itself: no process has another one."""
        return value

    def train(self, plans: Sequence[Plan], root: Path, placement: Placement, emit: Emit) -> dict[str, Status]:
        """Train the plans, `placement.jobs` side by side; `emit` is called in this process with the runs' events. One
        after another they keep their order, in which those that measure time take turns.

        Returns the statuses by run name: finished, diverged, stopped (saved before its end) or failed (its error is
        emitted as a line).
        """
        return self.begin(plans, root, placement, emit)()

    def begin(self, plans: Sequence[Plan], root: Path, placement: Placement, emit: Emit) -> Ending:
        """Take plans to be trained as `train` does, as soon as those that came before leave a process free. They are
        trained while a result of this method is called: it waits for the end of these plans and returns their
        statuses."""
        self._open(min(placement.jobs, len(plans)))
        batch = _Batch(plans, root, placement, emit, list(plans))
        if 1 < placement.jobs < len(plans) and not self._running:
            batch.waiting = self.call(estimate.longest_first, plans, placement)
        self._batches.append(batch)
        return partial(self._end, batch)

    def _end(self, batch: "_Batch") -> dict[str, Status]:
        """Train until a batch has ended; to be stopped, until all that is under way has been saved."""
        with interruptible(self._stop, self._kill):
            try:
                while self._running if self._stopping.value else batch.waiting or self._runs_of(batch):
                    self._step()
            except BrokenProcessPool:
                batch.emit(Line(KILLED if self._killed else DIED))
                self._stop()
                _kill(grace=GRACE)  # it may have held a lock of the queue, for which the others would wait for ever
                self._listen()
                for future in [one for one in self._running if one.done() and not _broken(one)]:
                    self._note(future)  # it has saved, or ended, in that time
                self._running.clear()
            except BaseException:
                self._stop()
                raise
        self._batches.remove(batch)
        return {plan.name: batch.statuses.get(plan.name, Status.STOPPED) for plan in batch.plans}

    def _step(self) -> None:
        """Start runs where processes are free, and take note of what has ended within a moment."""
        free = sorted(set(range(len(self._slots))) - {slot for _, _, slot in self._running.values()})
        for batch in self._batches:
            while batch.waiting and free and free[0] < batch.placement.jobs and not self._stopping.value:
                plan, slot = batch.waiting.pop(0), free.pop(0)
                future = self._slots[slot].submit(_train, plan, batch.root, batch.placement)
                self._running[future] = batch, plan, slot
        done, _ = wait(self._running, timeout=0.1, return_when=FIRST_COMPLETED)
        self._listen()
        for future in done:
            self._note(future)

    def _note(self, future: Future[str]) -> None:
        """Take note of how a run has ended."""
        batch, plan, _ = self._running[future]
        batch.statuses[plan.name] = self._status(future, plan, batch)
        del self._running[future]
        batch.emit(RunEnded(plan.name, batch.statuses[plan.name]))

    def _runs_of(self, batch: "_Batch") -> bool:
        """Whether a run of the batch is under way."""
        return any(one is batch for one, _, _ in self._running.values())

    def _open(self, jobs: int) -> None:
        """Start processes until there are `jobs` of them."""
        if not self._slots:
            machine.keep_kernels()
            self._messages = self._context.Queue()
            # A value without a lock: a killed worker could leave a lock held.
            self._stopping = self._context.RawValue("b", 0)
        while len(self._slots) < jobs:
            slot = ProcessPoolExecutor(1, self._context, _start, (self._messages, self._stopping))
            slot.submit(_import)
            self._slots.append(slot)

    def _stop(self) -> None:
        self._stopping.value = 1

    def _kill(self) -> None:
        self._killed = True
        _kill()

    def _status(self, future: Future[str], plan: Plan, batch: "_Batch") -> Status:
        if not _broken(future):
            self._listen(until=plan.folder(batch.root))
        try:
            return Status(future.result())
        except BrokenProcessPool:
            raise
        except UserError as error:
            batch.emit(Line(f"{plan.name}: {error}"))
        except Exception as error:  # a run that fails must not stop the others
            said = (str(error).splitlines() or [""])[0]
            batch.emit(Line(f"{plan.name}: {type(error).__name__}: {said}{_place(error)}"))
        return Status.FAILED

    def _listen(self, until: Path | None = None) -> None:
        """Emit the events that have arrived; with `until`, wait for the last event of the run in this folder."""
        emits = {plan.folder(batch.root): batch.emit for batch, plan, _ in self._running.values()}
        with contextlib.suppress(queue.Empty):
            while until is None or until not in self._complete:
                folder, event = self._messages.get(timeout=GRACE) if until else self._messages.get_nowait()
                if event is None:
                    self._complete.add(folder)
                elif folder in emits:  # or it has come too late
                    emits[folder](event)
        if until:
            self._complete.discard(until)


class Group:
    """The processes that torchrun started, including this one: all of them train each run together."""

    def __enter__(self) -> Self:
        machine.keep_kernels()
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def resolve(self, wishes: dict[str, Any]) -> Placement:
        """The placement of this process on its machine."""
        return machine.resolve(wishes)

    def broadcast(self, value: Any, wishes: dict[str, Any]) -> Any:
        """The leader's value, at every process: on other machines there may be no runs, or unfinished ones."""
        from runner.training import group

        together = group.Group()
        together.join(self.resolve(wishes).device)
        return together.from_leader(value)

    def begin(self, plans: Sequence[Plan], root: Path, placement: Placement, emit: Emit) -> Ending:
        """Take plans to be trained when the result is called, which returns their statuses."""
        return partial(self.train, plans, root, placement, emit)

    def train(self, plans: Sequence[Plan], root: Path, placement: Placement, emit: Emit) -> dict[str, Status]:
        """Train one run after another; returns what `Workers.train` does. When torchrun has ended, save and stop."""
        from runner.training.loop import train

        statuses: dict[str, Status] = {}
        stop, parent = threading.Event(), os.getppid()
        with interruptible(stop.set):
            for plan in plans:
                with progress.File(plan.folder(root)) as file:
                    status = train(
                        plan,
                        root,
                        placement,
                        _ProgressCallback(emit, file),
                        _LineCallback(emit),
                        lambda: stop.is_set() or os.getppid() != parent,
                    )
                statuses[plan.name] = Status(status)
                emit(RunEnded(plan.name, statuses[plan.name]))
                if status == Status.STOPPED:
                    break
        return {plan.name: statuses.get(plan.name, Status.STOPPED) for plan in plans}


@dataclass
class _Batch:
    """Plans that are trained together: those that wait, and what has become of others."""

    plans: Sequence[Plan]
    root: Path
    placement: Placement
    emit: Emit
    waiting: list[Plan]
    statuses: dict[str, Status] = field(default_factory=dict)


@dataclass(frozen=True)
class _ProgressCallback:
    """Emits a run's progress, and writes it into a file for other processes."""

    emit: Emit
    file: progress.File

    def __call__(self, now: Progress) -> None:
        self.emit(now)
        self.file.note(now)


@dataclass(frozen=True)
class _LineCallback:
    """Emits a run's text as lines."""

    emit: Emit

    def __call__(self, text: str) -> None:
        self.emit(Line(text))


@dataclass
class _Worker:
    """The state of a worker process: the queue and the stop flag of its parent, and the folder of the run that it
    trains."""

    messages: Any = None
    stopping: Any = None
    folder: Path | None = None

    def emit(self, event: Event | None) -> None:
        """Send an event of the run; None is the last one."""
        self.messages.put((self.folder, event))


_worker = _Worker()


def _start(messages: Any, stopping: Any) -> None:
    """Set up a new worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it, and sets the stop flag
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _worker.messages, _worker.stopping = messages, stopping
    messages.cancel_join_thread()  # or it could not end while the parent, which leaves, reads none
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """Wait until the parent process has ended, then let the run save and exit."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    _worker.stopping.value = 1
    while _worker.folder:
        time.sleep(0.1)
    os._exit(1)


def _place(error: BaseException) -> str:
    """Where in this package a worker's exception was raised, as text."""
    frames = re.findall(r'File "[^"]*?(runner/[^"]+)", line (\d+)', str(error.__cause__))
    return f" (at {frames[-1][0]}:{frames[-1][1]})" if frames else ""


def _import() -> None:
    """Import what training needs, so that all workers do it at the same time."""
    import runner.training.loop  # noqa: F401


def _train(plan: Plan, root: Path, placement: Placement) -> str:
    """Train one run in a worker."""
    from runner.training.loop import train

    _worker.folder = plan.folder(root)
    try:
        with progress.File(_worker.folder) as file:
            report = _ProgressCallback(_worker.emit, file)
            return train(plan, root, placement, report, _LineCallback(_worker.emit), _stops)
    finally:
        _release(placement.device)
        _worker.emit(None)
        _worker.folder = None


def _release(device: str) -> None:
    """Free the GPU memory that PyTorch caches in this process, so that other workers can use it."""
    if device.startswith("cuda"):
        import torch

        gc.collect()
        torch.cuda.empty_cache()


def _stops() -> bool:
    return bool(_worker.stopping.value)
