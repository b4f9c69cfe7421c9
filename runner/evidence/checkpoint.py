"""Checkpoints: weights, optimizer state and the log rows up to them, written together or not at all.

    checkpoint/log/metrics-00000250.parquet     the rows since the previous checkpoint
    checkpoint/00000250/state.safetensors       weights and optimizer state
    checkpoint/00000250/commit.json             the step, and the SHA-256 of every file that belongs to it

The folder of a checkpoint is written under a temporary name and renamed, so it exists completely or not at all. Rows of
the log count only if a checkpoint lists their file. The last two checkpoints are kept: where the newest is damaged, the
previous one is used, and the log goes back to its step.
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
class Checkpoint:
    """The content of a commit.json.

    files     the SHA-256 of every file that belongs to the checkpoint, by its path in the folder `checkpoint/`
    manifest  the run's manifest at that step
    due       whether the evaluation of its step is still to be done, as the run was stopped in the middle of it
    """

    step: int
    identity: str
    files: dict[str, str]
    manifest: dict[str, Any]
    due: bool = False

    @property
    def folder(self) -> str:
        """The name of its own folder, such as "00000250"."""
        return f"{self.step:08d}"

    @property
    def segments(self) -> dict[str, str]:
        """The files of log rows that belong to it with their SHA-256, oldest first."""
        return {path: digest for path, digest in self.files.items() if path.startswith("log/")}


def save(
    folder: Path,
    before: Checkpoint | None,
    step: int,
    identity: str,
    manifest: dict[str, Any],
    state: dict[str, Any],
    tables: dict[str, pa.Table],
    due: bool = False,
) -> Checkpoint:
    """Write `state` (tensors by name) and the log rows since the checkpoint `before`, one table for each kind of log;
    returns the new checkpoint.

    Where `before` is of the same step and its evaluation was due, the new checkpoint replaces it and includes its rows.
    """
    # Of the same step, the rows go beside those of `before`, which stays whole until the new one is.
    after = "-due" if before and before.step == step else ""
    pieces = {f"log/{kind}-{step:08d}{after}.parquet": rows for kind, rows in tables.items()}
    for path, rows in pieces.items():
        log.write(folder / path, rows)
    from safetensors.torch import (
        save as save_tensors,  # late: it imports torch, which `runner status` must not
    )

    tensors = save_tensors(state)
    files = {**(before.segments if before else {}), **{path: sha256(folder / path) for path in pieces}}
    files[f"{step:08d}/state.safetensors"] = hashlib.sha256(tensors).hexdigest()
    checkpoint = Checkpoint(step, identity, files, manifest, due)
    _place(folder, checkpoint, tensors)
    prune(folder, [checkpoint, *(_before(folder, checkpoint) if before else [])])
    return checkpoint


def pack(folder: Path, identity: str) -> dict[str, bytes] | None:
    """The newest undamaged checkpoint of this identity as content by path, to be sent to another machine; None where
    there is none."""
    for step in reversed(_steps(folder)):
        damage, checkpoint = _damage(folder, step)
        if damage is None and checkpoint is not None and checkpoint.identity == identity:
            return {
                path: (folder / path).read_bytes() for path in (*checkpoint.files, f"{checkpoint.folder}/commit.json")
            }
    return None


def unpack(folder: Path, packed: dict[str, bytes], identity: str) -> Checkpoint:
    """Write a checkpoint that `pack` returned on another machine, after checking all of it; returns the checkpoint.

    The previous checkpoint is kept, as by `save`. Raises a `UserError` where something is missing or does not match its
    checksum, and where the checkpoint belongs to another run.
    """
    ends = [path for path in packed if path.endswith("/commit.json")]
    checkpoint = _parse(packed[ends[0]], ends[0].partition("/")[0]) if len(ends) == 1 else None
    if checkpoint is None or checkpoint.identity != identity or set(packed) != {*checkpoint.files, *ends}:
        raise UserError(f"{folder.parent}: what arrived is no complete checkpoint of this run: send it again")
    state = f"{checkpoint.folder}/state.safetensors"
    for path, digest in checkpoint.files.items():
        if path != state and not re.fullmatch(rf"log/({'|'.join(log.SCHEMAS)})-\d{{8}}(-due)?\.parquet", path):
            raise UserError(
                f"{folder.parent}: the checkpoint that arrived lists {path}, which no checkpoint has: send it again"
            )
        if hashlib.sha256(packed[path]).hexdigest() != digest:
            raise UserError(f"{folder.parent}: {path} arrived without matching its checksum: send it again")
    for path in checkpoint.segments:
        write_atomic(folder / path, packed[path])
    _place(folder, checkpoint, packed[state])
    prune(folder, [checkpoint, *_before(folder, checkpoint)])
    return checkpoint


def _before(folder: Path, checkpoint: Checkpoint) -> list[Checkpoint]:
    """The checkpoint of the same run before this one, if there is one."""
    before = [_read(folder / f"{step:08d}" / "commit.json") for step in _steps(folder) if step < checkpoint.step]
    return [kept for kept in before[-1:] if kept and kept.identity == checkpoint.identity]


def latest(folder: Path, identity: str, say: Callable[[str], None]) -> tuple[Checkpoint, dict[str, Any]] | None:
    """The newest undamaged checkpoint of this identity and its tensors by name; None where there is none. `say` is
    called with one line for each damaged checkpoint."""
    for step in reversed(_steps(folder)):
        damage, checkpoint = _damage(folder, step)
        if checkpoint and checkpoint.identity != identity:
            continue
        if damage is None and checkpoint is not None:
            try:
                return checkpoint, _tensors(folder / checkpoint.folder)
            except SafetensorError as error:
                damage = f"state.safetensors cannot be read ({error})"
        earlier = [s for s in _steps(folder) if s < step]
        back = f"going back to step {earlier[-1]}, and the log with it" if earlier else "starting again from step 0"
        say(f"{folder.parent}: the checkpoint of step {step} is damaged ({damage}); {back}")
    return None


def logs(folder: Path, checkpoint: Checkpoint) -> dict[str, pa.Table]:
    """The logs up to a checkpoint by kind, such as "metrics"; kinds without rows are left out."""
    found: dict[str, list[pa.Table]] = {}
    for path in checkpoint.segments:
        kind = path.removeprefix("log/").partition("-")[0]
        found.setdefault(kind, []).append(log.read(folder / path, log.SCHEMAS[kind]))
    return {kind: pa.concat_tables(parts) for kind, parts in found.items()}


def weights(folder: Path, identity: str) -> dict[str, Any]:
    """The tensors of the newest undamaged checkpoint of this identity, by name. Raises a `UserError` where there is
    none, or one without weights."""
    found = latest(folder, identity, lambda line: None)
    if found is None and not folder.is_dir():
        raise UserError(f"{folder} does not exist: train the run here first; published logs have no checkpoints")
    if found is None:
        raise UserError(
            f"{folder} holds no undamaged checkpoint of this run: train it to its end, or, where it has finished, "
            f"remove {folder.parent} and train it again"
        )
    if not found[1]:
        raise UserError(f"{folder} holds no weights: the placement of its run has weights = false")
    return found[1]


def last_step(folder: Path) -> int | None:
    """The step of the newest checkpoint, which is not checked for damage; None where there is none."""
    return max(_steps(folder), default=None)


def prune(folder: Path, kept: Iterable[Checkpoint]) -> None:
    """Remove all checkpoints but `kept`: older ones, damaged ones, and those of another run."""
    names = {checkpoint.folder for checkpoint in kept}
    for step in _steps(folder):
        if f"{step:08d}" not in names:
            shutil.rmtree(folder / f"{step:08d}")


def sweep_up(folder: Path) -> None:
    """Remove the partly written files of a killed process. Call it only while holding the run's lock."""
    for path in (*folder.glob(".*"), *folder.glob("log/.*")):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _place(folder: Path, checkpoint: Checkpoint, tensors: bytes) -> None:
    """Write the checkpoint's own folder, completely or not at all; its log files have been written before."""
    scratch = folder / f".{checkpoint.folder}.{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        write_atomic(scratch / "state.safetensors", tensors)
        write_atomic(
            scratch / "commit.json", json.dumps({"sha256": checksum(vars(checkpoint)), **vars(checkpoint)}, indent=1)
        )
        target, old = folder / checkpoint.folder, folder / f"{scratch.name}.old"
        if target.exists():  # a checkpoint of the same step: damaged, abandoned, or without its evaluation
            os.replace(target, old)
        os.replace(scratch, target)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def _tensors(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load  # late, as above

    return load((folder / "state.safetensors").read_bytes())


def _steps(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()) if folder.is_dir() else []


def _read(path: Path) -> Checkpoint | None:
    """The checkpoint of a commit.json; None where it cannot be read or does not match its checksum."""
    try:
        return _parse(path.read_bytes(), path.parent.name)
    except OSError:
        return None


def _parse(content: bytes, name: str) -> Checkpoint | None:
    """The checkpoint of a commit.json with this content, in the folder `name`; None where it does not match its
    checksum."""
    try:
        body = json.loads(content)
        whole = body.pop("sha256") == checksum(body) and f"{body['step']:08d}" == name
        return Checkpoint(**body) if whole else None
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _damage(folder: Path, step: int) -> tuple[str | None, Checkpoint | None]:
    """What is wrong with a checkpoint (None where it is undamaged), and the checkpoint (None where it cannot be
    read)."""
    checkpoint = _read(folder / f"{step:08d}" / "commit.json")
    if checkpoint is None:
        return "commit.json does not match its checksum", None
    for path, digest in checkpoint.files.items():
        if not (folder / path).is_file():
            return f"{path} is missing", checkpoint
        if sha256(folder / path) != digest:
            return f"{path} does not match its checksum", checkpoint
    return None, checkpoint
