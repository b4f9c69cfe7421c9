"""The plan of the house: who may import whom."""

import ast
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

READABLE = {"configs", "describe", "errors", "experiment", "files", "log", "spec"}  # what analysis may take from runner
BARE = {"torch", "numpy", "pyarrow", "rich", "safetensors", "tiktoken", "typer"}  # what a bare GPU machine has


def imports(path: Path) -> set[str]:
    """The dotted names that a file imports, `from a import b` as a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "runner").glob("*.py")), ids=lambda p: p.stem)
def test_the_runner_needs_nothing_that_a_bare_machine_lacks(path: Path):
    tops = {name.split(".")[0] for name in imports(path)}
    optional = {"ray"} if path.stem == "cluster" else set()
    assert tops <= BARE | optional | {"runner"} | sys.stdlib_module_names


@pytest.mark.parametrize("path", sorted((ROOT / "analysis").rglob("*.py")), ids=lambda p: p.stem)
def test_analysis_reads_evidence_and_trains_nothing(path: Path):
    names = imports(path)
    assert not [name for name in names if name.split(".")[0] == "torch"]
    assert {name.split(".")[1] for name in names if name.startswith("runner.")} <= READABLE


@pytest.mark.parametrize("package", ["runner", "analysis"])
def test_modules_import_only_downwards(package: str):
    """No cycles: each module can be read with only those below it in mind."""
    modules = {path.stem: path for path in (ROOT / package).glob("*.py")}
    below = {}
    for stem, path in modules.items():
        parts = [name.split(".") for name in imports(path) if name.startswith(f"{package}.")]
        below[stem] = {p[1] for p in parts if p[1] in modules} - {stem}
    settled: set[str] = set()
    while ready := {stem for stem, needs in below.items() if stem not in settled and needs <= settled}:
        settled |= ready
    assert settled == set(modules), f"cycle among {sorted(set(modules) - settled)}"
