"""Trains many runs on the machines of a Ray cluster; their results are sent back to the caller.

Machines need no common disk. A run trains in a temporary folder of its machine and streams messages to the caller:
lines, progress, its newest checkpoint, and at the end its evidence. The caller checks them and writes them into its own
folder, so that a run whose worker is lost continues on another machine from the last checkpoint that was sent. Corpora
are sent the other way, to machines that lack them.
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

from runner import lock
from runner.data import corpora, openwebtext, stories
from runner.errors import Held, UserError
from runner.evidence import archive, checkpoint, code, log, state
from runner.evidence.state import Action
from runner.evidence.status import Status
from runner.files import write_atomic
from runner.launch import progress
from runner.launch.cluster import machines
from runner.launch.cluster.client import connect, first_line, ray_module
from runner.launch.cluster.messages import PULSE, Accepted, Manifest, Message, Order, Result, Saved
from runner.launch.cluster.worker import work
from runner.launch.events import Emit, Ending, Line, RunEnded
from runner.launch.local import interrupt, interruptible
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.training.progress import Progress

MOST_LOST = 3  # workers that a run may lose without a new checkpoint in between


class Workers:
    """The machines of a Ray cluster, which is connected to when it is first needed."""

    def __init__(self, address: str | None) -> None:
        self._address, self._connection = address, contextlib.ExitStack()
        self._connected = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()

    def resolve(self, wishes: dict[str, Any]) -> Placement:
        """The placement of a run on a machine of the cluster, see `machines.resolve`."""
        self._connect()
        return machines.resolve(wishes)

    def train(self, plans: Sequence[Plan], root: Path, placement: Placement, emit: Emit) -> dict[str, Status]:
        """Train the plans; returns the statuses by run name, as `runner.launch.local.Workers.train` does."""
        self._connect()
        return train(plans, root, placement, emit)

    def begin(self, plans: Sequence[Plan], root: Path, placement: Placement, emit: Emit) -> Ending:
        """Take plans to be trained when the result is called, which returns their statuses."""
        return partial(self.train, plans, root, placement, emit)

    def broadcast(self, value: Any, wishes: dict[str, Any]) -> Any:
        """The value itself: no process has another one."""
        return value

    def _connect(self) -> None:
        if not self._connected:
            self._connection.enter_context(connect(self._address))
            self._connected = True


def train(plans: Sequence[Plan], root: Path, placement: Placement, emit: Emit) -> dict[str, Status]:
    """Train the plans on the cluster of `connect`; returns the statuses by run name, as
    `runner.launch.local.Workers.train` does, and emits the same events.

    A run takes `placement.threads` CPUs and, on CUDA, 1 / `placement.jobs` of a GPU. Raises a `UserError` where a
    machine has other code than the caller, or where no machine is large enough for a run.
    """
    machines.check(placement)
    return _Sweep(plans, root, placement, emit).go()


@dataclass
class _Job:
    """A run that a worker has been given, and its stream of messages."""

    plan: Plan
    folder: Path
    identity: str
    stream: Any
    held: contextlib.ExitStack
    file: progress.File
    ip: str = ""  # of the machine, once it has started
    saved: checkpoint.Checkpoint | None = None  # the newest that has arrived


class _StopFlag:
    """An actor on the caller's machine, from which workers read whether they should stop."""

    def __init__(self) -> None:
        self.value = False

    def set(self) -> None:
        self.value = True

    def is_set(self) -> bool:
        return self.value


@dataclass
class _Sweep:
    plans: Sequence[Plan]
    root: Path
    placement: Placement
    emit: Emit
    running: list[_Job] = field(default_factory=list)
    statuses: dict[str, Status] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)  # workers, by run, since its last checkpoint
    stopped: bool = False

    def __post_init__(self) -> None:
        self.ray = ray_module()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self.ray.get_runtime_context().get_node_id(), soft=False)
        self.stop_flag = self.ray.remote(num_cpus=0, scheduling_strategy=here)(_StopFlag).remote()
        # No retries by Ray: it would start the run again from the checkpoint of its first order.
        resources = {"num_cpus": self.placement.threads, "num_gpus": machines.share(self.placement), "max_retries": 0}
        self.work = self.ray.remote(**resources)(work)
        # Token shards and half a million stories are too large to be sent: a machine loads the stories by itself, and
        # the error of one that lacks tokens names the command that loads them.
        names = {plan.spec.data.corpus for plan in self.plans} - {openwebtext.NAME, stories.NAME}
        self.texts = {name: self.ray.put(corpora.load(name)) for name in names}

    def go(self) -> dict[str, Status]:
        waiting, stop_sent, warned = list(self.plans), False, False
        # A second Ctrl-C raises KeyboardInterrupt: runs end at once, and keep the checkpoints that have arrived.
        with interruptible(self._stop, interrupt), contextlib.suppress(KeyboardInterrupt):
            try:
                while (waiting and not self.stopped) or self.running:
                    if self.stopped and not stop_sent:
                        stop_sent = True
                        self.stop_flag.set.remote()
                        for job in self.running:
                            if not job.ip:  # it has not started
                                self.ray.cancel(job.stream)
                    slots = machines.slots(machines.offered(), self.placement) if waiting and not self.stopped else 0
                    while waiting and len(self.running) < slots:
                        self._begin(waiting.pop(0))
                    if waiting and not self.running and not slots and not self.stopped:
                        if not warned:
                            self.emit(Line("no machine of the cluster is left: waiting for one; Ctrl-C ends it"))
                        warned = True
                        time.sleep(PULSE)
                    waiting[:0] = self._listen()
            finally:
                for job in self.running:
                    self.ray.cancel(job.stream, force=True)
                    job.held.close()
        return {plan.name: self.statuses.get(plan.name, Status.STOPPED) for plan in self.plans}

    def _stop(self) -> None:
        self.stopped = True

    def _begin(self, plan: Plan) -> None:
        """Lock the run's folder and give the run to a worker, with the newest checkpoint in the folder."""
        folder, identity = plan.folder(self.root), state.plan_identity(plan)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(lock.hold(folder))
            except Held as error:
                self.emit(Line(f"{plan.name}: {error}"))
                return self._end(plan, Status.FAILED)
            current = state.inspect(plan, self.root)
            if current.action == Action.SKIP:
                return self._end(plan, Status(current.status))
            if current.status == Status.OUTDATED:
                old = log.read_manifest(folder)
                assert old is not None
                self.emit(Line(f"{plan.name}: the earlier run was moved to {state.set_aside(folder, old)}"))
            checkpoint.sweep_up(folder / "checkpoint")
            packed = checkpoint.pack(folder / "checkpoint", identity)
            reference = self.ray.put(packed) if packed else None
            order = Order(plan, self.placement, code.overall(), self.texts.get(plan.spec.data.corpus), reference)
            stream = self.work.remote(order, self.stop_flag)
            file = held.enter_context(progress.File(folder))
            self.running.append(_Job(plan, folder, identity, stream, held.pop_all(), file))

    def _listen(self) -> list[Plan]:
        """Process the messages that have arrived; returns the plans of lost workers, to be started again."""
        if not self.running:
            return []
        streams = [job.stream for job in self.running]
        ready, _ = self.ray.wait(streams, num_returns=len(streams), timeout=0.1)
        again = []
        for job in [job for job in self.running if any(job.stream is stream for stream in ready)]:
            try:
                messages = self.ray.get(next(job.stream))
            except self.ray.exceptions.RayTaskError as error:  # a run that fails must not stop the others
                where = f" on {job.ip}" if job.ip else ""
                self.emit(Line(f"{job.plan.name}{where}: {_reason(error.cause)}"))
                self._close(job, Status.FAILED)
            except (self.ray.exceptions.RayError, StopIteration) as error:
                again += self._lose(job, error)
            else:
                self._process(job, messages)
        return again

    def _process(self, job: _Job, messages: list[Message]) -> None:
        try:
            for message in messages:
                match message:
                    case Accepted(ip):
                        job.ip = ip
                    case Manifest(content):
                        if json.loads(content)["identity"] != job.identity:
                            raise UserError(
                                f"the manifest that {job.ip} sent belongs to another run: run the same command again"
                            )
                        write_atomic(job.folder / "manifest.json", content)
                    case Saved(packed):
                        job.saved = checkpoint.unpack(job.folder / "checkpoint", packed, job.identity)
                        self.lost.pop(job.plan.name, None)
                    case Result(status, evidence):
                        if evidence:
                            archive.receive(evidence, job.folder, job.identity)
                            if job.saved:
                                checkpoint.prune(job.folder / "checkpoint", [job.saved])
                        self._close(job, status)
                    case Progress():
                        job.file.note(message)
                        self.emit(message)
                    case Line():
                        self.emit(message)
        except UserError as error:
            self._refuse(job, f"{error}")
        except OSError as error:  # the others save where they are, and may have room
            self._refuse(job, f"what arrived cannot be written to {job.folder} ({error.strerror}): make room there")

    def _refuse(self, job: _Job, why: str) -> None:
        """End a run that cannot go on here."""
        self.emit(Line(f"{job.plan.name}: {why}"))
        self.ray.cancel(job.stream, force=True)
        self._close(job, Status.FAILED)

    def _lose(self, job: _Job, error: Exception) -> list[Plan]:
        """Handle the loss of a worker or its machine; returns the plan if it is to be started again, else nothing."""
        if self.stopped:
            self._close(job, Status.STOPPED)
            return []
        name = job.plan.name
        self.lost[name] += 1
        lost = f"{name}: its worker on {job.ip or 'the cluster'} was lost ({type(error).__name__})"
        if self.lost[name] >= MOST_LOST:
            self.emit(Line(f"{lost}, {MOST_LOST} times without a new checkpoint: check the memory of that machine"))
            self._close(job, Status.FAILED)
            return []
        step = checkpoint.last_step(job.folder / "checkpoint")
        again = "no checkpoint was sent, so another worker starts it from step 0"
        self.emit(Line(f"{lost}; {f'another worker continues from step {step}' if step else again}"))
        self._close(job)
        return [job.plan]

    def _close(self, job: _Job, status: Status | None = None) -> None:
        self.running.remove(job)
        job.held.close()
        if status:
            self._end(job.plan, status)

    def _end(self, plan: Plan, status: Status) -> None:
        self.statuses[plan.name] = status
        self.emit(RunEnded(plan.name, status))


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
