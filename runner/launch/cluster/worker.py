"""The worker side of a run on a cluster: trains it in a temporary folder and streams its results to the caller."""

import contextlib
import hashlib
import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from runner import lock
from runner.data import corpora
from runner.data.cache import cache_folder
from runner.errors import UserError
from runner.evidence import checkpoint, code, log, state
from runner.evidence.status import ENDED, EVIDENCE, Status
from runner.files import sha256, write_atomic
from runner.launch.cluster import machines
from runner.launch.cluster.client import ray_module
from runner.launch.cluster.messages import PULSE, Accepted, Manifest, Message, Order, Result, Saved
from runner.launch.events import Line
from runner.training import machine
from runner.training.progress import Progress

ABANDONED = 60.0  # seconds after which a folder without a lock is taken for that of a lost worker


def work(order: Order, stop_flag: Any) -> Iterator[list[Message]]:
    """Train a run on this machine; yields its messages to the caller. `stop_flag` is the caller's actor that says
    whether to stop.

    Raises a `UserError` where this machine has other code than the caller.
    """
    ray, plan = ray_module(), order.plan
    ip = ray.util.get_node_ip_address()
    if code.overall() != order.code:  # this machine may have joined after the sweep started
        raise UserError(machines.other_code(ip, code.overall(), order.code))
    yield [Accepted(ip)]
    if ray.get(stop_flag.is_set.remote()):
        yield [Result(Status.STOPPED, {})]
        return
    if order.text is not None:
        _cache_corpus(plan.spec.data.corpus, order.text)
    stopping, outbox = threading.Event(), _Outbox()
    with _scratch() as root, ThreadPoolExecutor(1) as thread:
        folder, identity = plan.folder(root), state.plan_identity(plan)
        if order.checkpoint is not None:
            checkpoint.unpack(folder / "checkpoint", ray.get(order.checkpoint), identity)
        sent = checkpoint.last_step(folder / "checkpoint")
        manifest = False
        training = thread.submit(_train, order, root, outbox, stopping)
        try:
            while not training.done():
                wait([training], timeout=PULSE)
                if ray.get(stop_flag.is_set.remote()):
                    stopping.set()
                messages = outbox.take()
                begun = None if manifest else log.read_manifest(folder)
                if begun and begun["status"] == Status.RUNNING:  # that of an ended run comes with its evidence
                    messages.append(Manifest((folder / "manifest.json").read_bytes()))
                    manifest = True
                sent = _add_checkpoint(folder, identity, sent, messages)
                if messages:
                    yield messages
        finally:
            stopping.set()  # so that a cancelled task leaves no thread behind
        yield outbox.take()
        status = Status(training.result())
        messages = []
        _add_checkpoint(folder, identity, sent, messages)
        names = EVIDENCE if status in ENDED else ()
        evidence = {name: (folder / name).read_bytes() for name in names if (folder / name).is_file()}
        yield [*messages, Result(status, evidence)]


class _Outbox:
    """What a run has reported since the last `take`: every line, and the latest progress."""

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


def _train(order: Order, root: Path, outbox: _Outbox, stopping: threading.Event) -> str:
    machine.keep_kernels()
    if order.placement.device == "cpu":
        os.environ["OMP_NUM_THREADS"] = str(order.placement.threads)  # must be set before torch is imported
    from runner.training import loop

    return loop.train(order.plan, root, order.placement, outbox.report, outbox.lines.put, stopping.is_set)


def _add_checkpoint(folder: Path, identity: str, sent: int | None, messages: list[Message]) -> int | None:
    """Add the newest checkpoint to `messages`, unless `sent`, the step of the last one sent, is its step; returns the
    step of the last one sent or added."""
    step = checkpoint.last_step(folder / "checkpoint")
    if step == sent:
        return sent
    packed = None
    with contextlib.suppress(FileNotFoundError):  # training writes and removes checkpoints meanwhile: retry next time
        packed = checkpoint.pack(folder / "checkpoint", identity)
    if packed is None:
        return sent
    messages.append(Saved(packed))
    return max(int(path.partition("/")[0]) for path in packed if path.endswith("/commit.json"))


def _cache_corpus(name: str, text: Any) -> None:
    """Put the corpus into this machine's cache, unless it is there; `text` is a reference to the caller's bytes."""
    corpus = corpora.named(name)
    path = cache_folder() / corpus.filename
    if path.is_file() and sha256(path) == corpus.sha256:
        return
    content = ray_module().get(text)
    if hashlib.sha256(content).hexdigest() != corpus.sha256:
        raise UserError(f"{name} arrived without matching its checksum: run the same command again")
    write_atomic(path, content)


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary folder on this machine for one run; folders that lost workers have left are removed."""
    home = (cache_folder() / "ray").resolve()
    home.mkdir(parents=True, exist_ok=True)
    for path in home.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another worker has removed it
            if time.time() - path.stat().st_mtime > ABANDONED and lock.holder(path) is None:
                shutil.rmtree(path, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(dir=home))
    try:
        with lock.hold(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
