"""Many runs on many machines: Ray hands them out, and what they make travels back to the caller.

Machines share no disk. A run trains in a folder of its own machine, and streams what the caller should have: lines,
progress, each commit of its checkpoint while it is the newest, and at last its evidence. The caller writes them into
its own folder after checking them, so that a run whose worker is lost goes on elsewhere from the commit that was sent
last. Corpora travel the other way, to machines that lack them.
"""

import contextlib
import hashlib
import json
import math
import os
import queue
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from runner import lock
from runner.data import corpora, openwebtext
from runner.data.cache import cache_folder
from runner.errors import Held, UserError
from runner.evidence import archive, checkpoint, code, log, state
from runner.evidence.state import Action
from runner.evidence.status import ENDED, Status
from runner.files import sha256, write_atomic
from runner.launch import progress
from runner.launch.events import Ended, Line, Tell
from runner.launch.local import interruptible
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.training import machine
from runner.training.progress import Progress

PULSE = 0.5  # seconds between a worker's messages, and until it hears that it should stop
LOSSES = 3  # workers that a run may lose without a new commit in between
ABANDONED = 60.0  # seconds after which a folder that no process holds is a lost worker's


@dataclass(frozen=True)
class Taken:
    """A machine has begun with a run."""

    where: str


@dataclass(frozen=True)
class Manifest:
    """The run's manifest as it begins."""

    content: bytes


@dataclass(frozen=True)
class Commit:
    """A commit of the run's checkpoint, as `runner.evidence.checkpoint.pack` makes it."""

    packed: dict[str, bytes]


@dataclass(frozen=True)
class Result:
    """How the run ended, and its evidence by name; none where it has not ended."""

    status: Status
    evidence: dict[str, bytes]


Message = Line | Progress | Taken | Manifest | Commit | Result  # what a worker sends to the caller


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
        return resolve(wishes)

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


@contextlib.contextmanager
def connect(address: str | None) -> Iterator[None]:
    """Be joined to the Ray cluster at HOST:PORT, or else at RAY_ADDRESS, or to that of this machine.

    A `UserError` where Ray is not installed, or no cluster answers there.
    """
    ray = _ray()
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    _reach(address)
    before = signal.getsignal(signal.SIGTERM)  # Ray puts a handler of its own in its place
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"--address {address}: no Ray cluster can be joined there ({_first_line(error)}): start one with "
            "`ray start --head`, join this machine to it with `ray start --address=HOST:PORT`, and name its HOST:PORT"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, before)


def resolve(wishes: dict[str, Any]) -> Placement:
    """What `runner.training.machine.resolve` finds on a machine of the cluster, which need not be like the caller's.

    A device that no machine has, or a setting that is unknown, is a `UserError`.
    """
    machines = _machines()
    if not machines:
        raise UserError("no machine of the cluster offers CPUs: join one with `ray start --address=HOST:PORT`")
    with_gpu = [each for each in machines if each.gpus]
    device = wishes.get("device") or ("cuda" if with_gpu else None)
    if device and ":" in device:
        raise UserError(f"device {device!r}: Ray chooses which GPU a run gets; name cuda")
    chosen = with_gpu[0] if device == "cuda" and with_gpu else machines[0]
    gpus = 0.01 if chosen.gpus and device == "cuda" else 0  # without a share of it Ray hides the GPU
    (placement,) = _ask([chosen], machine.resolve, wishes | {"device": device}, num_gpus=gpus)
    if placement.device == "cpu" and "threads" not in wishes:
        placement = replace(placement, threads=max(1, int(chosen.cpus) // placement.jobs))
    return placement


def train(plans: Sequence[Plan], root: Path, placement: Placement, tell: Tell) -> dict[str, Status]:
    """Train the plans on the cluster that `connect` joined; returns a status by run name, as
    `runner.launch.local.Workers.train` does.

    A run takes `placement.threads` CPUs and, on CUDA, one of `placement.jobs` parts of a GPU. `tell` hears what it
    hears from the processes of one machine. Machines with other code, or none that is large enough, are a `UserError`.
    """
    machines = _machines()
    for each, theirs in zip(machines, _ask(machines, _code), strict=True):
        if theirs != code.overall():
            raise UserError(_other_code(each.ip, theirs, code.overall()))
    if not _slots(machines, placement):
        gpu = f" and {_share(placement)} of a GPU" if _share(placement) else ""
        raise UserError(f"no machine of the cluster has {placement.threads} CPUs{gpu} for a run: lower --threads")
    return _Sweep(plans, root, placement, tell).go()


@dataclass(frozen=True)
class _Machine:
    id: str
    ip: str
    cpus: float
    gpus: float


@dataclass(frozen=True)
class _Order:
    """What a worker is given; `text` and `commit` are references to the corpus' bytes and to a packed checkpoint."""

    plan: Plan
    placement: Placement
    code: str
    text: Any | None
    commit: Any | None


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
    commit: checkpoint.Commit | None = None  # the newest that has arrived


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
        self.ray = _ray()
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(self.ray.get_runtime_context().get_node_id(), soft=False)
        self.desk = self.ray.remote(num_cpus=0, scheduling_strategy=here)(_Desk).remote()
        # Lost workers are our affair: Ray would begin again with what the run was given at first.
        resources = {"num_cpus": self.placement.threads, "num_gpus": _share(self.placement), "max_retries": 0}
        self.work = self.ray.remote(**resources)(_work)
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
                    slots = _slots(_machines(), self.placement) if waiting and not self.stopped else 0
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
            order = _Order(plan, self.placement, code.overall(), self.texts.get(plan.spec.data.corpus), commit)
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


def _work(order: _Order, desk: Any) -> Iterator[list[Message]]:
    """A run on a machine of the cluster, as a stream of what the caller should have."""
    ray, plan = _ray(), order.plan
    where = ray.util.get_node_ip_address()
    if code.overall() != order.code:  # it may have joined after the sweep began
        raise UserError(_other_code(where, code.overall(), order.code))
    yield [Taken(where)]
    if ray.get(desk.asks_to_stop.remote()):
        yield [Result(Status.STOPPED, {})]
        return
    if order.text is not None:
        _keep(plan.spec.data.corpus, order.text)
    stopping, box = threading.Event(), _Box()
    with _scratch() as root, ThreadPoolExecutor(1) as thread:
        folder, identity = plan.folder(root), state.plan_identity(plan)
        if order.commit is not None:
            checkpoint.unpack(folder / "checkpoint", ray.get(order.commit), identity)
        sent = checkpoint.last_step(folder / "checkpoint")
        manifest = False
        training = thread.submit(_train, order, root, box, stopping)
        try:
            while not training.done():
                wait([training], timeout=PULSE)
                if ray.get(desk.asks_to_stop.remote()):
                    stopping.set()
                messages = box.take()
                if not manifest and (folder / "manifest.json").is_file():
                    messages.append(Manifest((folder / "manifest.json").read_bytes()))
                    manifest = True
                sent = _newest(folder, identity, sent, messages)
                if messages:
                    yield messages
        finally:
            stopping.set()  # a task that is cancelled leaves no thread behind
        yield box.take()
        status = Status(training.result())
        messages = []
        _newest(folder, identity, sent, messages)
        names = log.EVIDENCE if status in ENDED else ()
        evidence = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
        yield [*messages, Result(status, evidence)]


class _Box:
    """What a run has said since it was last asked: every line, and the last progress."""

    def __init__(self) -> None:
        self.lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.progress: Progress | None = None

    def report(self, now: Progress) -> None:
        self.progress = now

    def take(self) -> list[Message]:
        messages: list[Message] = []
        with contextlib.suppress(queue.Empty):
            while True:
                messages.append(Line(self.lines.get_nowait()))
        now, self.progress = self.progress, None
        return [*messages, now] if now else messages


def _train(order: _Order, root: Path, box: _Box, stopping: threading.Event) -> str:
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str((cache_folder() / "inductor").resolve()))
    if order.placement.device == "cpu":
        os.environ["OMP_NUM_THREADS"] = str(order.placement.threads)  # read when torch is imported
    from runner.training import loop

    return loop.train(order.plan, root, order.placement, box.report, box.lines.put, stopping.is_set)


def _newest(folder: Path, identity: str, sent: int | None, messages: list[Message]) -> int | None:
    """Add the newest commit to `messages` if it was not sent; returns the step of the commit that was sent last."""
    step = checkpoint.last_step(folder / "checkpoint")
    if step == sent:
        return sent
    packed = None
    with contextlib.suppress(FileNotFoundError):  # training makes and removes commits meanwhile: the next time, then
        packed = checkpoint.pack(folder / "checkpoint", identity)
    if packed is None:
        return sent
    messages.append(Commit(packed))
    return max(int(path.partition("/")[0]) for path in packed if path.endswith("/commit.json"))


def _keep(name: str, text: Any) -> None:
    """See to it that this machine's cache has the corpus: where it has not, from the caller."""
    known = corpora.named(name)
    path = cache_folder() / known.filename
    if path.is_file() and sha256(path) == known.sha256:
        return
    content = _ray().get(text)
    if hashlib.sha256(content).hexdigest() != known.sha256:
        raise UserError(f"{name} arrived without matching its checksum: run the same command again")
    write_atomic(path, content)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A folder on this machine for one run; those that lost workers left are removed."""
    home = (cache_folder() / "ray").resolve()
    home.mkdir(parents=True, exist_ok=True)
    for path in home.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another worker was faster
            if time.time() - path.stat().st_mtime > ABANDONED and lock.holder(path) is None:
                shutil.rmtree(path, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=home))
    try:
        with lock.hold(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _machines() -> list[_Machine]:
    """The machines of the cluster that offer CPUs to runs."""
    return [
        _Machine(node["NodeID"], node["NodeManagerAddress"], has["CPU"], has.get("GPU", 0.0))
        for node in _ray().nodes()
        if node["Alive"] and (has := node["Resources"]).get("CPU")
    ]


def _ask(machines: Sequence[_Machine], function: Callable[..., Any], *words: Any, **options: Any) -> list[Any]:
    """What `function` returns on each machine; a machine without this project is a `UserError`."""
    ray = _ray()
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as At

    answers = []
    for each in machines:
        # The process ends with its answer, so that no run finds torch imported with another number of threads.
        task = ray.remote(
            num_cpus=0, max_retries=0, max_calls=1, scheduling_strategy=At(each.id, soft=False), **options
        )
        answers.append(task(function).remote(*words))
    found = []
    for each, answer in zip(machines, answers, strict=True):
        try:
            found.append(ray.get(answer))
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise type(error.cause)(f"{each.ip}: {error.cause}") from None
            raise UserError(
                f"{each.ip} cannot run this project ({_first_line(error.cause)}): install it there, at the same "
                "commit and with the same Python"
            ) from None
    return found


def _code() -> str:
    return code.overall()


def _slots(machines: Sequence[_Machine], placement: Placement) -> int:
    """How many runs the machines can have side by side."""
    share = _share(placement)
    slots = 0
    for m in machines:
        by_cpu = int(m.cpus // placement.threads)
        slots += min(by_cpu, int(m.gpus / share + 1e-6)) if share else by_cpu
    return slots


def _share(placement: Placement) -> float:
    """The part of a GPU that a run takes; Ray counts in ten-thousandths, so it is rounded down."""
    return math.floor(10_000 / placement.jobs) / 10_000 if placement.device == "cuda" else 0


def _reach(address: str) -> None:
    """A `UserError` where nothing listens; Ray itself would try for a minute, and then end the process."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not host or not colon or not port.isdigit() or "/" in host:
        raise UserError(f"--address {address} must be HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--address {address} cannot be reached ({error}): start Ray there with `ray start --head`, or name "
            "where it listens"
        ) from None


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError(
            "--engine ray needs Ray, which is not installed: pip install 'magic-number[ray]' (in this folder: "
            "pip install '.[ray]'), or leave --engine out"
        ) from None
    return ray


def _other_code(where: str, theirs: str, ours: str) -> str:
    return f"{where} has other code ({theirs}, the caller has {ours}): bring it to the caller's commit"


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
