"""Checkpoints: weights, optimizer state and the log up to them, committed together or not at all.

    checkpoint/log/metrics-00000250.parquet     the rows since the commit before
    checkpoint/00000250/state.safetensors       weights and optimizer state
    checkpoint/00000250/commit.json             the step, and the SHA-256 of every file that belongs to it

The folder of a commit is made under another name and renamed, so it is there whole or not there. A row that no
commit names is not seen. The last two commits are kept: where the newest is damaged, the one before is used, and
the log goes back with it.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from safetensors import SafetensorError

from runner.errors import UserError
from runner.evidence import log
from runner.files import checksum, sha256, write_atomic


@dataclass(frozen=True)
class Commit:
    """A checkpoint that is whole: `files` are paths inside the checkpoint folder with their SHA-256. `due` says that
    the evaluation of its step is still to be made: the run was stopped in the middle of it."""

    step: int
    identity: str
    files: dict[str, str]
    manifest: dict[str, Any]
    due: bool = False

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
    tables: dict[str, pa.Table],
    due: bool = False,
) -> Commit:
    """Commit `state` together with the log rows since the commit `before`, a table a log.

    Where `before` is of the same step, whose evaluation was due, this commit takes its place, and its rows.
    """
    pieces = {f"log/{kind}-{step:08d}.parquet": (kind, rows) for kind, rows in tables.items()}
    for path, (kind, rows) in pieces.items():
        if before and path in before.segments:
            rows = pa.concat_tables([log.read(folder / path, log.SCHEMAS[kind]), rows])
        log.write(folder / path, rows)
    from safetensors.torch import (
        save as save_tensors,  # late: it imports torch, which `runner status` must not
    )

    tensors = save_tensors(state)
    files = {**(before.segments if before else {}), **{path: sha256(folder / path) for path in pieces}}
    files[f"{step:08d}/state.safetensors"] = hashlib.sha256(tensors).hexdigest()
    commit = Commit(step, identity, files, manifest, due)
    _place(folder, commit, tensors)
    prune(folder, [commit, before] if before else [commit])
    return commit


def pack(folder: Path, identity: str) -> dict[str, bytes] | None:
    """The newest whole commit of this identity as content by path, to be sent elsewhere; None where there is none."""
    for step in reversed(_steps(folder)):
        damage, commit = _damage(folder, step)
        if damage is None and commit is not None and commit.identity == identity:
            return {path: (folder / path).read_bytes() for path in (*commit.files, f"{commit.folder}/commit.json")}
    return None


def unpack(folder: Path, packed: dict[str, bytes], identity: str) -> Commit:
    """Write what `pack` made elsewhere, after all of it has been checked; a `UserError` where it does not hold.

    As after `save`, the commit before it is kept.
    """
    ends = [path for path in packed if path.endswith("/commit.json")]
    commit = _parse(packed[ends[0]], ends[0].partition("/")[0]) if len(ends) == 1 else None
    if commit is None or commit.identity != identity or set(packed) != {*commit.files, *ends}:
        raise UserError(f"{folder.parent}: what arrived is no whole checkpoint of this run: send it again")
    state = f"{commit.folder}/state.safetensors"
    for path, digest in commit.files.items():
        if path != state and not re.fullmatch(rf"log/({'|'.join(log.SCHEMAS)})-\d{{8}}\.parquet", path):
            raise UserError(f"{folder.parent}: the checkpoint that arrived names {path}, which belongs to none")
        if hashlib.sha256(packed[path]).hexdigest() != digest:
            raise UserError(f"{folder.parent}: {path} arrived without matching its checksum: send it again")
    for path in commit.segments:
        write_atomic(folder / path, packed[path])
    before = [_read(folder / f"{step:08d}" / "commit.json") for step in _steps(folder) if step < commit.step]
    _place(folder, commit, packed[state])
    prune(folder, [commit, *[kept for kept in before[-1:] if kept and kept.identity == identity]])
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


def logs(folder: Path, commit: Commit) -> dict[str, pa.Table]:
    """The logs up to a commit, by kind: those that have rows."""
    found: dict[str, list[pa.Table]] = {}
    for path in commit.segments:
        kind = path.removeprefix("log/").partition("-")[0]
        found.setdefault(kind, []).append(log.read(folder / path, log.SCHEMAS[kind]))
    return {kind: pa.concat_tables(parts) for kind, parts in found.items()}


def weights(folder: Path, identity: str) -> dict[str, Any]:
    """The tensors of the newest whole commit of this identity; a `UserError` where there is none."""
    found = latest(folder, identity, lambda line: None)
    if found is None:
        raise UserError(f"{folder} holds no whole checkpoint of this run: train it first")
    if not found[1]:
        raise UserError(f"{folder} holds no weights: its run kept none, as its placement says")
    return found[1]


def last_step(folder: Path) -> int | None:
    """The step of the newest commit, unchecked; None where there is none."""
    return max(_steps(folder), default=None)


def prune(folder: Path, kept: Iterable[Commit]) -> None:
    """Remove all commits but these: older ones, and those that were found damaged or are another run's."""
    names = {commit.folder for commit in kept}
    for step in _steps(folder):
        if f"{step:08d}" not in names:
            shutil.rmtree(folder / f"{step:08d}")


def sweep_up(folder: Path) -> None:
    """Remove what a killed process left half-written; to be called by the holder of the run's lock."""
    for path in folder.glob(".*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _place(folder: Path, commit: Commit, tensors: bytes) -> None:
    """Make the commit's own folder, whole or not at all; its pieces of the log are there already."""
    scratch = folder / f".{commit.folder}.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        write_atomic(scratch / "state.safetensors", tensors)
        write_atomic(scratch / "commit.json", json.dumps({"sha256": checksum(vars(commit)), **vars(commit)}, indent=1))
        target = folder / commit.folder
        if target.exists():  # a damaged or abandoned commit of the same step
            shutil.rmtree(target)
        os.replace(scratch, target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _tensors(commit: Path) -> dict[str, Any]:
    from safetensors.torch import load  # late, as above

    return load((commit / "state.safetensors").read_bytes())


def _steps(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()) if folder.is_dir() else []


def _read(path: Path) -> Commit | None:
    """The commit that a file describes; None where it cannot be read, or not believed."""
    try:
        return _parse(path.read_bytes(), path.parent.name)
    except OSError:
        return None


def _parse(content: bytes, name: str) -> Commit | None:
    """The commit that the content of a folder's commit.json describes; None where it is not to be believed."""
    try:
        body = json.loads(content)
        whole = body.pop("sha256") == checksum(body) and f"{body['step']:08d}" == name
        return Commit(**body) if whole else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _damage(folder: Path, step: int) -> tuple[str | None, Commit | None]:
    """What is wrong with a commit, and the commit as far as it can be read."""
    commit = _read(folder / f"{step:08d}" / "commit.json")
    if commit is None:
        return "commit.json does not match its checksum", None
    for path, digest in commit.files.items():
        if not (folder / path).is_file():
            return f"{path} is missing", commit
        if sha256(folder / path) != digest:
            return f"{path} does not match its checksum", commit
    return None, commit
