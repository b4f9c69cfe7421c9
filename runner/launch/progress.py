"""A run's progress in a small file beside its lock, for other processes to read. Never part of its evidence."""

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from runner import lock
from runner.training.progress import Progress

NAME = "progress.json"
EVERY = 2.0  # seconds between two writes


@dataclass(frozen=True)
class Standing:
    """A run's progress: `step` of `steps` updates are done; `left` is the estimated seconds until the end, None where
    there is no estimate yet."""

    step: int
    steps: int
    loss: float
    left: float | None


class File:
    """Writes `progress.json` into a run's folder, at most once in `EVERY` seconds, and removes it at the end."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = folder / NAME, clock
        self._first: tuple[int, float] | None = None
        self._written = -EVERY

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._written > 0:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def note(self, progress: Progress) -> None:
        """Write the progress, unless the last write is less than `EVERY` seconds ago. A write that fails is ignored: a
        full disk is reported by the run itself."""
        now = self._clock()
        self._first = self._first or (progress.step, now)
        if now - self._written < EVERY:
            return
        step, began = self._first
        made = progress.step - step
        left = (progress.steps - progress.step) * (now - began) / made if made else None
        standing = Standing(progress.step, progress.steps, progress.loss, left)
        scratch = self._path.with_name(f".{NAME}.{os.getpid()}")
        with contextlib.suppress(OSError):
            scratch.write_text(json.dumps(asdict(standing) | {"pid": os.getpid(), "written": now}))
            os.replace(scratch, self._path)
            self._written = now


def read(folder: Path, now: float | None = None) -> Standing | None:
    """The present progress of the run in this folder; None where no process trains it, or none was written yet."""
    holder = lock.holder(folder)
    try:
        found = json.loads((folder / NAME).read_text())
        if holder is None or found.pop("pid") != holder.pid:  # left by a process that was killed
            return None
        since = (time.time() if now is None else now) - found.pop("written")
        standing = Standing(**found)
    except (OSError, ValueError, TypeError, KeyError):
        return None
    left = None if standing.left is None else max(0.0, standing.left - since)
    return Standing(standing.step, standing.steps, standing.loss, left)
