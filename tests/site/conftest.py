"""The whole way from data to site, once: `make reproduce PROFILE=smoke` in a small house with one post."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.analysis import fake
from tests.conftest import ROOT


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups, also where only this folder is asked for
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process runs all of this folder, so that the site is built once."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("site"))


def call(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a house, with the packages that are there."""
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Call the Makefile with the environment that the tests run in, which it must not make again."""
    return call(
        folder, "make", "--no-print-directory", "--old-file", f"{sys.prefix}/.ready", f"VENV={sys.prefix}", *words
    )


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's code and Makefile, around the notebook, the ledger, the post and the logs of `fake.house`. All
    posts would take minutes: CI reproduces those by themselves."""
    folder = fake.house(tmp_path_factory.mktemp("checkout") / "house").root
    told = shutil.ignore_patterns("__pycache__", "notebooks", "ledger.toml", "references.bib")
    for name in ("analysis", "runner"):
        shutil.copytree(ROOT / name, folder / name, ignore=told, dirs_exist_ok=True)
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def reproduced(checkout: Path) -> subprocess.CompletedProcess[str]:
    """What `make reproduce PROFILE=smoke` said the first time."""
    return make(checkout, "reproduce", "PROFILE=smoke")


@pytest.fixture(scope="session")
def site(request: pytest.FixtureRequest, checkout: Path, reproduced: subprocess.CompletedProcess[str]) -> Path:
    """The site that it built."""
    assert reproduced.returncode == 0, reproduced.stdout + reproduced.stderr
    return checkout / "site"
