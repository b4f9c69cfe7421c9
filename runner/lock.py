"""Locks a run's folder, so that only one process trains it. The kernel releases a dead process' lock: none is stale."""

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from runner.errors import Held


@dataclass(frozen=True)
class Holder:
    """The process that holds a run's lock; the defaults mean that the lock file does not name it."""

    pid: int | None = None
    host: str = ""
    since: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since}" if self.pid else "another process"


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder for the length of the block. Raises `Held`, which names the holder, where another
    process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as file:
        for wait in (0.05, 0.1, 0.2, 0.4, None):  # `holder` takes the lock too, for a moment
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if wait is None:
                    who = holder(folder) or Holder()
                    raise Held(f"{folder} is held by {who}: wait for it, or stop that process") from None
                time.sleep(wait)
        file.truncate(0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json.dumps({"pid": os.getpid(), "host": platform.node(), "since": now}))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder(folder: Path) -> Holder | None:
    """The process that holds the lock of a run's folder; None where no process does."""
    try:
        file = (folder / "lock").open("r+")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            try:
                return Holder(**json.load(file))
            except (ValueError, TypeError):
                return Holder()
    return None
