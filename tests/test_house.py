"""The plan of the house: who may import whom."""

import ast
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

# What analysis may take from runner. Corpora are pinned by checksum, and what a tokenizer makes of one is a count: the
# same wherever it is made, as a model's cost is, so no run has to leave it behind.
READABLE = {
    "data.corpora",
    "data.counts",
    "data.measures",
    "data.tokenizers",
    "errors",
    "files",
    "lock",
    "evidence.baselines",
    "evidence.log",
    "evidence.status",
    "models.cost",
    "plan.experiment",
    "plan.plan",
    "plan.presets",
    "plan.spec",
}
# What analysis.reproduce may take as well.
STARTS = {"launch", "evidence", "data.cache", "data.corpora", "data.openwebtext"}
# What a bare GPU machine has.
BARE = {"torch", "numpy", "pyarrow", "rich", "safetensors", "sentencepiece", "tiktoken", "typer"}
# What single modules and folders ask for, and the rest can do without.
OPTIONAL = {"cluster": {"ray"}, "wordpiece": {"tokenizers"}}


def dotted(path: Path) -> str:
    """The name under which a module is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """The dotted names that a file imports, `from a import b` as a.b."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "runner").rglob("*.py")), ids=dotted)
def test_the_runner_needs_nothing_that_a_bare_machine_lacks(path: Path):
    tops = {name.split(".")[0] for name in imports(path)}
    optional = OPTIONAL.get(path.stem) or OPTIONAL.get(path.parent.name, set())
    assert tops <= BARE | optional | {"runner"} | sys.stdlib_module_names


@pytest.mark.parametrize("path", sorted((ROOT / "analysis").rglob("*.py")), ids=dotted)
def test_analysis_reads_evidence_and_trains_nothing(path: Path):
    names = imports(path)
    assert not [name for name in names if name.split(".")[0] == "torch"]
    taken = {name.removeprefix("runner.") for name in names if name.startswith("runner.")}
    readable = READABLE | (STARTS if path.stem == "reproduce" else set())
    assert not {name for name in taken if not any(f"{name}.".startswith(f"{known}.") for known in readable)}


FLOORS = {
    "runner": ("errors files settings lock", "models", "data", "plan", "evidence", "training", "launch", "cli"),
    "analysis": ("study", "build", "site", "reproduce", "cli"),
}  # each may import from those before it


@pytest.mark.parametrize("path", sorted((ROOT / "runner").rglob("*.py")), ids=dotted)
def test_each_floor_of_the_runner_stands_on_those_below(path: Path):
    assert not above(path, "runner"), "it imports upwards"


@pytest.mark.parametrize("path", sorted((ROOT / "analysis").rglob("*.py")), ids=dotted)
def test_each_floor_of_the_analysis_stands_on_those_below(path: Path):
    assert not above(path, "analysis"), "it imports upwards"


def above(path: Path, package: str) -> list[str]:
    """What a module imports from floors above its own; it has to be on one."""
    floor = {room: height for height, rooms in enumerate(FLOORS[package]) for room in rooms.split()}
    mine = path.relative_to(ROOT / package).with_suffix("").parts[0]
    if mine == "notebooks":  # no part of the package: of it, they stand on study alone
        mine = "study"
    if mine == "__init__":
        return []
    assert mine in floor, f"{path} is on no floor: {', '.join(floor)}"
    return sorted(
        name for name in imports(path) if name.startswith(f"{package}.") and floor[name.split(".")[1]] > floor[mine]
    )


@pytest.mark.parametrize("package", ["runner", "analysis"])
def test_modules_import_only_downwards(package: str):
    """No cycles: each module can be read with only those below it in mind."""
    modules = {dotted(path): path for path in (ROOT / package).rglob("*.py") if path.stem != "__init__"}
    below = {}
    for module, path in modules.items():
        names = {name for name in imports(path) if name.startswith(f"{package}.")}
        below[module] = {m for m in modules if any(f"{name}.".startswith(f"{m}.") for name in names)} - {module}
    settled: set[str] = set()
    while ready := {module for module, needs in below.items() if module not in settled and needs <= settled}:
        settled |= ready
    assert settled == set(modules), f"cycle among {sorted(set(modules) - settled)}"
