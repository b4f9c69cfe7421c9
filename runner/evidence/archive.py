"""Copies evidence from `runs/` to `logs/`, or from another machine in a small archive."""

import io
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from runner.errors import Damaged, UserError
from runner.evidence import baselines, log
from runner.evidence.status import ENDED, EVIDENCE
from runner.files import write_atomic

LARGEST = 16 * 2**20  # bytes of an archive: small enough to be copied by hand from a machine without a network


def ended(root: Path, experiment: str | None = None, profile: str | None = None) -> list[log.Run]:
    """Every run under `root` that has ended, checked against its manifest."""
    pattern = f"{experiment or '*'}/{profile or '*'}/*/manifest.json"
    runs = [log.read_run(path.parent) for path in sorted(Path(root).glob(pattern))]
    found = [run for run in runs if run and run.manifest["status"] in ENDED]
    for run in found:
        log.check(run)
    return found


def without_manifest(root: Path) -> list[Path]:
    """The folders under `root` that lie where runs do and have no manifest."""
    return [path for path in sorted(root.glob("*/*/*/")) if not (path / "manifest.json").exists()]


def publish(runs: Iterable[log.Run], logs: Path) -> list[Path]:
    """Copy evidence, and no checkpoints, into `logs`; returns the folders that were new or changed. Raises a
    `UserError`, before anything is written, where a published run of the same identity has evidence that this one
    lacks."""
    runs, changed = list(runs), []
    targets = [logs / run.manifest["experiment"] / run.manifest["profile"] / run.name for run in runs]
    for run, target in zip(runs, targets, strict=True):
        _check_kept(run, target)
    for run, target in zip(runs, targets, strict=True):
        if not _same(run, target):
            _replace(run, target, logs)
            changed.append(target)
    return changed


def _replace(run: log.Run, target: Path, logs: Path) -> None:
    """Copy a run's evidence to `target`: beside it at first, so that what is there is lost only to what is complete."""
    logs.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".", dir=logs) as scratch:
        files = {name: (run.path / name).read_bytes() for name in (*run.manifest["files"], "manifest.json")}
        copied = _staged(files, target, scratch)
        if copied is None or copied.manifest != run.manifest:
            raise UserError(f"{run.path} has changed while it was copied: run the same command again")
        log.check(copied)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            os.replace(target, Path(scratch, "before"))
        os.replace(copied.path, target)


def publish_baselines(files: Iterable[Path], logs: Path) -> list[Path]:
    """Copy files of baselines into `logs`; returns those that were new or changed."""
    changed = []
    for path in files:
        target, content = logs.joinpath(*path.parts[-3:]), path.read_bytes()
        if not target.is_file() or target.read_bytes() != content:
            write_atomic(target, content)
            changed.append(target)
    return changed


def pack(runs: Iterable[log.Run], archive: Path, counted: Iterable[Path] = ()) -> int:
    """Write evidence and files of baselines into one archive; returns its size in bytes. Raises a `UserError` above 16
    MiB."""
    if archive.is_dir():
        raise UserError(f"{archive} is a folder: name the archive's file, such as {archive / 'logs.tar'}")
    if not archive.parent.is_dir():
        raise UserError(f"{archive.parent} does not exist: make that folder, or name an archive in another one")
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as tar:
        for run in runs:
            inside = PurePosixPath(run.manifest["experiment"], run.manifest["profile"], run.name)
            for name in (*run.manifest["files"], "manifest.json"):
                tar.add(run.path / name, str(inside / name))
        for path in counted:
            tar.add(path, str(PurePosixPath(*path.parts[-3:])))
    if len(sink.getvalue()) > LARGEST:
        raise UserError(
            f"{archive} would have {len(sink.getvalue()):,} bytes, more than {LARGEST:,}: pack one "
            "experiment (--experiment) or one profile (--profile) at a time"
        )
    write_atomic(archive, sink.getvalue())
    return len(sink.getvalue())


def unpack(archive: Path, logs: Path) -> list[Path]:
    """Extract an archive's evidence into `logs`, after checking all of it; returns the folders of runs and the files of
    baselines that are new or changed. Raises a `UserError` for a file that is no archive of ended runs."""
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
        except FileNotFoundError:
            raise UserError(f"{archive} does not exist: name an archive that `runner pack` made") from None
        except tarfile.ReadError:
            raise Damaged(f"{archive} is no archive, or damaged: name one that `runner pack` made, whole") from None
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise Damaged(f"{archive} cannot be unpacked ({error}): fetch it again") from None
        runs, counted = ended(Path(scratch)), baselines.files(Path(scratch))
        if not runs:
            raise UserError(f"{archive} holds no run that has ended: pack runs that finished")
        return publish(runs, logs) + publish_baselines(counted, logs)


def receive(files: dict[str, bytes], folder: Path, identity: str) -> None:
    """Write the evidence of an ended run, as content by file name, into the run's folder.

    All of it is checked first, and the manifest is written last: a folder with a manifest is complete. Raises a
    `UserError` for evidence of another identity, or evidence that does not match its manifest.
    """
    with tempfile.TemporaryDirectory() as scratch:
        run = _staged({name: files[name] for name in set(files) & set(EVIDENCE)}, folder, scratch)
        if run is None or run.manifest["identity"] != identity:
            raise UserError(f"{folder}: what arrived is not the evidence of this run: train it again")
        log.check(run)
        for name in (*run.manifest["files"], "manifest.json"):
            write_atomic(folder / name, files[name])


def _staged(files: dict[str, bytes], folder: Path, scratch: str) -> log.Run | None:
    """The evidence, as content by file name, that is to stand in `folder`, written to `scratch` to be checked there."""
    staged = Path(scratch, *folder.parts[-3:])
    for name, content in files.items():
        write_atomic(staged / name, content)
    return log.read_run(staged)


def _check_kept(run: log.Run, target: Path) -> None:
    kept = log.read_manifest(target)
    if kept and kept["identity"] == run.manifest["identity"]:
        lost = [name for name in kept["files"] if name not in run.manifest["files"]]
        if lost:
            raise UserError(
                f"{run.path} lacks {', '.join(lost)}, which {target} has and would lose: make it there (`runner draw` "
                f"makes samples), or remove {target} first"
            )


def _same(run: log.Run, target: Path) -> bool:
    names = (*run.manifest["files"], "manifest.json")
    return all((target / n).is_file() and (target / n).read_bytes() == (run.path / n).read_bytes() for n in names)
