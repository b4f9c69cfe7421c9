"""Many runs on many machines: Ray hands them out, and what they make travels back to the caller.

Machines share no disk. A run trains in a folder of its own machine, and streams what the caller should have: lines,
progress, each commit of its checkpoint while it is the newest, and at last its evidence. The caller writes them into
its own folder after checking them, so that a run whose worker is lost goes on elsewhere from the commit that was sent
last. Corpora travel the other way, to machines that lack them.
"""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from runner import lock
from runner.data import corpora, openwebtext
from runner.errors import Held, UserError
from runner.evidence import archive, checkpoint, code, log, state
from runner.evidence.state import Action
from runner.evidence.status import Status
from runner.files import write_atomic
from runner.launch import progress
from runner.launch.cluster import machines
from runner.launch.cluster.client import connect, first_line, ray_module
from runner.launch.cluster.messages import PULSE, Commit, Manifest, Message, Order, Result, Taken
from runner.launch.cluster.worker import work
from runner.launch.events import Ended, Line, Tell
from runner.launch.local import interruptible
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.training.progress import Progress

LOSSES = 3  # workers that a run may lose without a new commit in between


class Workers:
    """The machines of a Ray cluster, which is joined when it is first needed."""

    def __init__(self, address: str | None) -> None:
        self._address, self._joined = address, contextlib.ExitStack()
        self._there = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._joined.close()

    def resolve(self, wishes: dict[str, Any]) -> Placement:
        """What a machine of the cluster offers."""
        self._join()
        return machines.resolve(wishes)

    def train(self, plans: Sequence[Plan], root: Path, placement: Placement, tell: Tell) -> dict[str, Status]:
        """Train the plans; a status by run name, as from `runner.launch.local.Workers.train`."""
        self._join()
        return train(plans, root, placement, tell)

    def agree(self, value: Any) -> Any:
        """What all processes of a group should go by; there is one."""
        return value

    def _join(self) -> None:
        if not self._there:
            self._joined.enter_context(connect(self._address))
            self._there = True


def train(plans: Sequence[Plan], root: Path, placement: Placement, tell: Tell) -> dict[str, Status]:
    """Train the plans on the cluster that `connect` joined; returns a status by run name, as
    `runner.launch.local.Workers.train` does.

    A run takes `placement.threads` CPUs and, on CUDA, one of `placement.jobs` parts of a GPU. `tell` hears what it
    hears from the processes of one machine. Machines with other code, or none that is large enough, are a `UserError`.
    """
    machines.check(placement)
    return _Sweep(plans, root, placement, tell).go()


@dataclass
class _Job:
    """A run that was handed out, and its stream of messages."""

    plan: Plan
    folder: Path
    identity: str
    stream: Any
    held: contextlib.ExitStack
    file: progress.File
    where: str = ""  # the machine, once it has begun
    commit: checkpoint.Checkpoint | None = None  # the newest that has arrived


class _Desk:
    """An actor beside the caller, where workers ask whether they should stop."""

    def __init__(self) -> None:
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True

    def asks_to_stop(self) -> bool:
        return self.stopped


@dataclass
class _Sweep:
    plans: Sequence[Plan]
    root: Path
    placement: Placement
    tell: Tell
    running: list[_Job] = field(default_factory=list)
    statuses: dict[str, Status] = field(default_factory=dict)
    losses: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.ray = ray_module()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self.ray.get_runtime_context().get_node_id(), soft=False)
        self.desk = self.ray.remote(num_cpus=0, scheduling_strategy=here)(_Desk).remote()
        # Lost workers are our affair: Ray would begin again with what the run was given at first.
        resources = {"num_cpus": self.placement.threads, "num_gpus": machines.share(self.placement), "max_retries": 0}
        self.work = self.ray.remote(**resources)(work)
        # Token shards are too many to be sent: a machine that lacks them says how to load them.
        names = {plan.spec.data.corpus for plan in self.plans} - {openwebtext.NAME}
        self.texts = {name: self.ray.put(corpora.load(name)) for name in names}

    def go(self) -> dict[str, Status]:
        waiting, told, alone = list(self.plans), False, False
        # A second Ctrl-C leaves by KeyboardInterrupt: runs end at once, and keep the commits that have arrived.
        with interruptible(self._stop), contextlib.suppress(KeyboardInterrupt):
            try:
                while (waiting and not self.stopped) or self.running:
                    if self.stopped and not told:
                        told = True
                        self.desk.stop.remote()
                        for job in self.running:
                            if not job.where:  # it has not begun, and need not
                                self.ray.cancel(job.stream)
                    slots = machines.slots(machines.offered(), self.placement) if waiting and not self.stopped else 0
                    while waiting and len(self.running) < slots:
                        self._begin(waiting.pop(0))
                    if waiting and not self.running and not slots and not self.stopped:
                        if not alone:
                            self.tell(Line("no machine is left for a run: it waits for one; Ctrl-C ends it"))
                        alone = True
                        time.sleep(PULSE)
                    waiting[:0] = self._listen()
            finally:
                for job in self.running:
                    self.ray.cancel(job.stream, force=True)
                    job.held.close()
        return {plan.name: self.statuses.get(plan.name, Status.STOPPED) for plan in self.plans}

    def _stop(self) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True

    def _begin(self, plan: Plan) -> None:
        """Hold the run's folder and hand the run out, with the newest commit that stands there."""
        folder, identity = plan.folder(self.root), state.plan_identity(plan)
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(lock.hold(folder))
            except Held as error:
                self.tell(Line(f"{plan.name}: {error}"))
                return self._end(plan, Status.FAILED)
            found = state.inspect(plan, self.root)
            if found.action == Action.SKIP:
                return self._end(plan, Status(found.status))
            if found.status == Status.OUTDATED:
                old = log.read_manifest(folder)
                assert old is not None
                self.tell(Line(f"{plan.name}: the run before it was moved to {state.set_aside(folder, old)}"))
            checkpoint.sweep_up(folder / "checkpoint")
            packed = checkpoint.pack(folder / "checkpoint", identity)
            commit = self.ray.put(packed) if packed else None
            order = Order(plan, self.placement, code.overall(), self.texts.get(plan.spec.data.corpus), commit)
            stream = self.work.remote(order, self.desk)
            file = held.enter_context(progress.File(folder))
            self.running.append(_Job(plan, folder, identity, stream, held.pop_all(), file))

    def _listen(self) -> list[Plan]:
        """Take in what has arrived; returns the plans of lost workers, to be handed out again."""
        if not self.running:
            return []
        streams = [job.stream for job in self.running]
        ready, _ = self.ray.wait(streams, num_returns=len(streams), timeout=0.1)
        again = []
        for job in [job for job in self.running if any(job.stream is stream for stream in ready)]:
            try:
                messages = self.ray.get(next(job.stream))
            except self.ray.exceptions.RayTaskError as error:  # one run that fails must not take the others with it
                where = f" on {job.where}" if job.where else ""
                self.tell(Line(f"{job.plan.name}{where}: {_reason(error.cause)}"))
                self._close(job, Status.FAILED)
            except (self.ray.exceptions.RayError, StopIteration) as error:
                again += self._lose(job, error)
            else:
                self._take_in(job, messages)
        return again

    def _take_in(self, job: _Job, messages: list[Message]) -> None:
        try:
            for message in messages:
                match message:
                    case Taken(where):
                        job.where = where
                    case Manifest(content):
                        if json.loads(content)["identity"] != job.identity:
                            raise UserError(f"the manifest that arrived from {job.where} is another run's")
                        write_atomic(job.folder / "manifest.json", content)
                    case Commit(packed):
                        job.commit = checkpoint.unpack(job.folder / "checkpoint", packed, job.identity)
                        self.losses.pop(job.plan.name, None)
                    case Result(status, evidence):
                        if evidence:
                            archive.receive(evidence, job.folder, job.identity)
                            if job.commit:
                                checkpoint.prune(job.folder / "checkpoint", [job.commit])
                        self._close(job, status)
                    case Progress():
                        job.file.note(message)
                        self.tell(message)
                    case Line():
                        self.tell(message)
        except UserError as error:
            self.tell(Line(f"{job.plan.name}: {error}"))
            self.ray.cancel(job.stream, force=True)
            self._close(job, Status.FAILED)

    def _lose(self, job: _Job, error: Exception) -> list[Plan]:
        """A worker or its machine is gone: the plan, where it should go on elsewhere."""
        if self.stopped:
            self._close(job, Status.STOPPED)
            return []
        name = job.plan.name
        self.losses[name] += 1
        lost = f"{name}: its worker on {job.where or 'the cluster'} was lost ({type(error).__name__})"
        if self.losses[name] >= LOSSES:
            self.tell(Line(f"{lost}, {LOSSES} times without a new checkpoint: look for want of memory there"))
            self._close(job, Status.FAILED)
            return []
        step = checkpoint.last_step(job.folder / "checkpoint")
        goes_on = f"goes on from step {step}" if step else "begins again, for it had sent no checkpoint"
        self.tell(Line(f"{lost}; it {goes_on} with another"))
        self._close(job)
        return [job.plan]

    def _close(self, job: _Job, status: Status | None = None) -> None:
        self.running.remove(job)
        job.held.close()
        if status:
            self._end(job.plan, status)

    def _end(self, plan: Plan, status: Status) -> None:
        self.statuses[plan.name] = status
        self.tell(Ended(plan.name, status))


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {first_line(error)}"
