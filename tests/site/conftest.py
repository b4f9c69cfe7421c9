"""The whole way from data to site, once: `make reproduce PROFILE=smoke` in a copy of the checkout."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

COPIED = (
    "Makefile",
    "analysis",
    "logs",
    "mkdocs.yml",
    "posts",
    "pyproject.toml",
    "requirements.lock",
    "runner",
    "theme",
)


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups, also where only this folder is asked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process runs all of this folder, so that the site is built once."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("site"))


def call(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a copy of the checkout, with the copy's own packages."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call the Makefile with the environment that the tests run in, which it must not make again."""
    return call(
        folder, "make", "--no-print-directory", "--old-file", f"{sys.prefix}/.ready", f"VENV={sys.prefix}", *words
    )


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project's own files."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, folder / name)
    return folder


@pytest.fixture(scope="session")
def reproduced(checkout: Path) -> subprocess.CompletedProcess[str]:
    """What `make reproduce PROFILE=smoke` said the first time."""
    return make(checkout, "reproduce", "PROFILE=smoke")


@pytest.fixture(scope="session")
def built_site(checkout: Path, reproduced: subprocess.CompletedProcess[str]) -> Path:
    """The site that it built."""
    assert reproduced.returncode == 0, reproduced.stdout + reproduced.stderr
    return checkout / "site"
