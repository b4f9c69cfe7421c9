"""One process a run. The kernel lets a dead process' lock go, so none is ever stale."""

import fcntl
import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from runner.errors import UserError


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the run's folder, or raise a `UserError` that says who does and since when."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+") as file:
        for wait in (0.05, 0.1, 0.2, 0.4, None):  # one that only looks (`holder`) is gone in a moment
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if wait is None:
                    who = holder(folder) or "another process"
                    raise UserError(f"{folder} is held by {who}: wait for it, or stop that process") from None
                time.sleep(wait)
        file.truncate(0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json.dumps({"pid": os.getpid(), "host": platform.node(), "since": now}))
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)


def holder(folder: Path) -> str | None:
    """Who holds the run's folder, in words; None where nobody does."""
    try:
        file = (folder / "lock").open("r+")
    except FileNotFoundError:
        return None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            try:
                who = json.load(file)
                return f"process {who['pid']} on {who['host']} since {who['since']}"
            except (ValueError, KeyError):
                return "another process"
    return None
