"""Writes files atomically, and computes checksums."""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

SCRATCH = "scratch"  # the folder, and so the experiment, of runs that no experiment plans: no figure includes them


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file to write to, which replaces `path` when the block ends; after an error `path` is as before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with scratch.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, content: bytes | str) -> None:
    """Replace `path` by a file of this content; readers, also after a crash, see the old file or the new one."""
    with atomic(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def checksum(body: dict[str, Any]) -> str:
    """The SHA-256 of plain JSON types, in hexadecimal; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
