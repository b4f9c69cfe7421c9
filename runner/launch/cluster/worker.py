"""A run on a machine of the cluster: it trains in a folder of its own and streams what the caller should have."""

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
from runner.evidence.status import ENDED, Status
from runner.files import sha256, write_atomic
from runner.launch.cluster import machines
from runner.launch.cluster.client import ray_module
from runner.launch.cluster.messages import PULSE, Commit, Manifest, Message, Order, Result, Taken
from runner.launch.events import Line
from runner.training.progress import Progress

ABANDONED = 60.0  # seconds after which a folder that no process holds is a lost worker's


def work(order: Order, desk: Any) -> Iterator[list[Message]]:
    """A run on a machine of the cluster, as a stream of what the caller should have."""
    ray, plan = ray_module(), order.plan
    where = ray.util.get_node_ip_address()
    if code.overall() != order.code:  # it may have joined after the sweep began
        raise UserError(machines.other_code(where, code.overall(), order.code))
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


def _train(order: Order, root: Path, box: _Box, stopping: threading.Event) -> str:
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
    content = ray_module().get(text)
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
