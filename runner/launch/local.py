"""Many runs on one machine, side by side in processes that are kept from one run, and one experiment, to the next.

Importable without torch: only the workers need it. Threads, precision and compilation are each run's own.
"""

import contextlib
import gc
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from runner.data.cache import cache_folder
from runner.errors import UserError
from runner.evidence.status import Status
from runner.launch import progress
from runner.launch.events import Ended, Event, Line, Tell
from runner.plan.placement import Placement, checked
from runner.plan.plan import Plan
from runner.training import machine
from runner.training.progress import Progress

DIED = "a worker process died, perhaps for want of memory: run the same command to go on"
GRACE = 10.0  # seconds in which workers may save when one of them has died


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


class Workers:
    """Processes that train, started when they are first needed; each has imported torch once and for all."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._slots: list[ProcessPoolExecutor] = []  # a process each, so that fewer jobs leave the others asleep
        self._messages: Any = None
        self._stopping: Any = None
        self._silent: set[str] = set()  # runs that have said all they had to say

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Let runs that go on save, and end the processes."""
        if self._slots:
            self._stopping.value = 1
            for slot in self._slots:
                slot.shutdown()
            self._slots = []

    def resolve(self, wishes: dict[str, Any]) -> Placement:
        """What `runner.training.machine.resolve` finds, asked in a worker, as this process has no torch."""
        checked(wishes)  # before a process is started for them
        self._open(min(wishes.get("jobs", 1), os.cpu_count() or 1))
        return self.ask(machine.resolve, wishes)

    def ask(self, function: Callable[..., Any], *words: Any) -> Any:
        """What `function`, which may need torch, returns in a worker."""
        return next(self.ask_each(function, [words]))

    def ask_each(self, function: Callable[..., Any], words: Sequence[tuple[Any, ...]], jobs: int = 1) -> Iterator[Any]:
        """What `function` returns for each tuple of words, in their order; `jobs` of them are asked side by side."""
        jobs = min(len(words), jobs)
        self._open(jobs)
        futures = [self._slots[i % jobs].submit(function, *each) for i, each in enumerate(words)]
        for future in futures:
            try:
                yield future.result()
            except BrokenProcessPool:
                raise UserError(DIED) from None

    def agree(self, value: Any) -> Any:
        """What all processes of a group should go by; there is one."""
        return value

    def train(self, plans: Sequence[Plan], root: Path, placement: Placement, tell: Tell) -> dict[str, Status]:
        """Train the plans, `placement.jobs` at once; returns a status by run name: finished, diverged, stopped (saved
        before it ended) or failed (said in a line). `tell` hears the runs' events in this process."""
        jobs = min(placement.jobs, len(plans))
        self._open(jobs)
        statuses: dict[str, Status] = {}
        with interruptible(self._stop):
            waiting, free = list(plans), list(range(jobs))
            running: dict[Future[str], tuple[Plan, int]] = {}
            try:
                while (waiting and not self._stopping.value) or running:
                    while waiting and free and not self._stopping.value:
                        plan, slot = waiting.pop(0), free.pop(0)
                        running[self._slots[slot].submit(_train, plan, root, placement)] = plan, slot
                    done, _ = wait(running, timeout=0.1, return_when=FIRST_COMPLETED)
                    self._listen(tell)
                    for future in done:
                        plan, slot = running.pop(future)
                        free = sorted([*free, slot])
                        statuses[plan.name] = self._status(future, plan, tell)
                        tell(Ended(plan.name, statuses[plan.name]))
            except BrokenProcessPool:
                tell(Line(DIED))
                self._stop()
                _kill(
                    grace=GRACE
                )  # it may have died with a lock of the queue, for which the others would wait for ever
                self._listen(tell)
            except BaseException:
                self._stop()
                raise
        return {plan.name: statuses.get(plan.name, Status.STOPPED) for plan in plans}

    def _open(self, jobs: int) -> None:
        """See to it that there are as many processes."""
        if not self._slots:
            # Compiled kernels are kept with the data, so that the next sweep need not make them again.
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((cache_folder() / "inductor").resolve()))
            self._messages = self._context.Queue()
            # Without a lock, which a worker that is killed could take with it.
            self._stopping = self._context.RawValue("b", 0)
        while len(self._slots) < jobs:
            slot = ProcessPoolExecutor(1, self._context, _start, (self._messages, self._stopping))
            slot.submit(_import)
            self._slots.append(slot)

    def _stop(self) -> None:
        self._stopping.value = 1

    def _status(self, future: Future[str], plan: Plan, tell: Tell) -> Status:
        if not isinstance(future.exception(), BrokenProcessPool):
            self._listen(tell, until=plan.name)
        try:
            return Status(future.result())
        except BrokenProcessPool:
            raise
        except UserError as error:
            tell(Line(f"{plan.name}: {error}"))
        except Exception as error:  # one run that fails must not take the others with it
            tell(Line(f"{plan.name}: {type(error).__name__}: {(str(error).splitlines() or [''])[0]}"))
        return Status.FAILED

    def _listen(self, tell: Tell, until: str | None = None) -> None:
        """Tell what has arrived; with `until`, all that this run had to say."""
        with contextlib.suppress(queue.Empty):
            while until is None or until not in self._silent:
                message = self._messages.get(timeout=GRACE) if until else self._messages.get_nowait()
                if isinstance(message, _Silent):
                    self._silent.add(message.run)
                else:
                    tell(message)
        self._silent.discard(until or "")


class Group:
    """The processes that torchrun started, this one among them: each run is trained by all of them together."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def resolve(self, wishes: dict[str, Any]) -> Placement:
        """What this process' machine offers to its share of the group."""
        return machine.resolve(wishes)

    def agree(self, value: Any) -> Any:
        """What the leader says, at every process: the others may see no runs, or unfinished ones."""
        from runner.training import group

        return group.Group().from_leader(value)

    def train(self, plans: Sequence[Plan], root: Path, placement: Placement, tell: Tell) -> dict[str, Status]:
        """Train one run after another, as `Workers.train` does; when torchrun is gone, save and leave."""
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
                        _Reporter(tell, file),
                        _Speaker(tell),
                        lambda: stop.is_set() or os.getppid() != parent,
                    )
                statuses[plan.name] = Status(status)
                tell(Ended(plan.name, statuses[plan.name]))
                if status == Status.STOPPED:
                    break
        return {plan.name: statuses.get(plan.name, Status.STOPPED) for plan in plans}


@dataclass(frozen=True)
class _Silent:
    """The last message of a run: nothing that it said comes after it."""

    run: str


@dataclass(frozen=True)
class _Reporter:
    """Takes a run's progress to where it is shown, and into a file for other processes."""

    tell: Tell
    file: progress.File

    def __call__(self, now: Progress) -> None:
        self.tell(now)
        self.file.note(now)


@dataclass(frozen=True)
class _Speaker:
    """Takes a run's lines to where they are shown."""

    tell: Tell

    def __call__(self, text: str) -> None:
        self.tell(Line(text))


@dataclass
class _Worker:
    """What a worker process has from its parent; `busy` while it trains."""

    messages: Any = None
    stopping: Any = None
    busy: bool = False

    def tell(self, event: Event | _Silent) -> None:
        self.messages.put(event)


_worker = _Worker()


def _start(messages: Any, stopping: Any) -> None:
    """Make a new process a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides, and tells by the flag
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _worker.messages, _worker.stopping = messages, stopping
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """When the parent process is gone, save what goes on and exit."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    _worker.stopping.value = 1
    while _worker.busy:
        time.sleep(0.1)
    os._exit(1)


def _import() -> None:
    """Import what training needs, so that workers do so at the same time."""
    import runner.training.loop  # noqa: F401


def _train(plan: Plan, root: Path, placement: Placement) -> str:
    """Train one run in a worker."""
    from runner.training.loop import train

    _worker.busy = True
    try:
        with progress.File(plan.folder(root)) as file:
            reporter = _Reporter(_worker.tell, file)
            return train(plan, root, placement, reporter, _Speaker(_worker.tell), _stops)
    finally:
        _release(placement.device)
        _worker.tell(_Silent(plan.name))
        _worker.busy = False


def _release(device: str) -> None:
    """Give a GPU's memory back, which this process would else keep while others train."""
    if device.startswith("cuda"):
        import torch

        gc.collect()
        torch.cuda.empty_cache()


def _stops() -> bool:
    return bool(_worker.stopping.value)


def _kill(grace: float = 0.0) -> None:
    """End the workers, those that have not left by themselves within `grace` seconds."""
    deadline = time.monotonic() + grace
    for child in multiprocessing.active_children():
        child.join(max(0.0, deadline - time.monotonic()))
        child.kill()
