"""Checkpoints: weights, optimizer state and the log up to them, committed together or not at all.

    checkpoint/log/metrics-00000250.parquet     the rows since the commit before
    checkpoint/00000250/state.safetensors       weights and optimizer state
    checkpoint/00000250/commit.json             the step, and the SHA-256 of every file that belongs to it

The folder of a commit is made under another name and renamed, so it is there whole or not there. A row that no
commit names is not seen. The last two commits are kept: where the newest is damaged, the one before is used, and
the log goes back with it.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from safetensors import SafetensorError

from runner import log
from runner.errors import UserError
from runner.files import sha256, write_atomic

KEPT = 2


@dataclass(frozen=True)
class Commit:
    """A checkpoint that is whole: `files` are paths inside the checkpoint folder with their SHA-256."""

    step: int
    identity: str
    files: dict[str, str]
    manifest: dict[str, Any]

    @property
    def folder(self) -> str:
        """The commit's own folder."""
        return f"{self.step:08d}"

    @property
    def segments(self) -> dict[str, str]:
        """The pieces of the log that belong to it, oldest first."""
        return {path: digest for path, digest in self.files.items() if path.startswith("log/")}


def save(
    folder: Path,
    before: Commit | None,
    step: int,
    identity: str,
    manifest: dict[str, Any],
    state: dict[str, Any],
    metrics: pa.Table,
    timing: pa.Table,
) -> Commit:
    """Commit `state` together with the log rows since the commit `before`."""
    pieces = {f"log/metrics-{step:08d}.parquet": metrics, f"log/timing-{step:08d}.parquet": timing}
    for path, rows in pieces.items():
        log.write(folder / path, rows)
    from safetensors.torch import (
        save as save_tensors,  # late: it imports torch, which `runner status` must not
    )

    scratch = folder / f".{step:08d}.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        write_atomic(scratch / "state.safetensors", save_tensors(state))
        files = {**(before.segments if before else {}), **{path: sha256(folder / path) for path in pieces}}
        files[f"{step:08d}/state.safetensors"] = sha256(scratch / "state.safetensors")
        commit = Commit(step, identity, files, manifest)
        write_atomic(scratch / "commit.json", json.dumps(vars(commit), indent=1, sort_keys=False))
        target = folder / commit.folder
        if target.exists():  # a damaged or abandoned commit of the same step
            shutil.rmtree(target)
        os.replace(scratch, target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise
    prune(folder)
    return commit


def latest(folder: Path, identity: str, say: Callable[[str], None]) -> tuple[Commit, dict[str, Any]] | None:
    """The newest commit of this identity that is whole, with its tensors; each damaged one is said in a line."""
    for step in reversed(_steps(folder)):
        damage, commit = _damage(folder, step)
        if commit and commit.identity != identity:
            continue
        if damage is None and commit is not None:
            try:
                return commit, _tensors(folder / commit.folder)
            except SafetensorError as error:
                damage = f"state.safetensors cannot be read ({error})"
        earlier = [s for s in _steps(folder) if s < step]
        back = f"going back to step {earlier[-1]}, and the log with it" if earlier else "starting again from step 0"
        say(f"{folder.parent}: the checkpoint of step {step} is damaged ({damage}); {back}")
    return None


def rows(folder: Path, commit: Commit, kind: str, schema: pa.Schema) -> pa.Table:
    """The log up to a commit: `kind` is "metrics" or "timing"."""
    parts = [log.read(folder / path, schema) for path in commit.segments if path.startswith(f"log/{kind}-")]
    return pa.concat_tables(parts)


def weights(folder: Path) -> dict[str, Any]:
    """The tensors of the newest whole commit, whatever its identity; a `UserError` where there is none."""
    for step in reversed(_steps(folder)):
        path = folder / f"{step:08d}" / "state.safetensors"
        commit = _read(folder / f"{step:08d}" / "commit.json")
        if commit and path.is_file() and sha256(path) == commit.files.get(f"{step:08d}/state.safetensors"):
            return _tensors(path.parent)
    raise UserError(f"{folder} holds no whole checkpoint: train the run first")


def last_step(folder: Path) -> int | None:
    """The step of the newest commit, unchecked; None where there is none."""
    return (_steps(folder) or [None])[-1]


def prune(folder: Path, kept: int = KEPT) -> None:
    """Remove all but the newest commits."""
    for old in _steps(folder)[:-kept]:
        shutil.rmtree(folder / f"{old:08d}")


def _tensors(commit: Path) -> dict[str, Any]:
    from safetensors.torch import load  # late, as above

    return load((commit / "state.safetensors").read_bytes())


def _steps(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()) if folder.is_dir() else []


def _read(path: Path) -> Commit | None:
    try:
        return Commit(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _damage(folder: Path, step: int) -> tuple[str | None, Commit | None]:
    """What is wrong with a commit, and the commit as far as it can be read."""
    commit = _read(folder / f"{step:08d}" / "commit.json")
    if commit is None:
        return "commit.json cannot be read", None
    for path, digest in commit.files.items():
        if not (folder / path).is_file():
            return f"{path} is missing", commit
        if sha256(folder / path) != digest:
            return f"{path} does not match its checksum", commit
    return None, commit
