"""Fingerprints the code that decides a run's numbers: the modules that the training loop, the run's kind of model, its
task, its tokenizer and its probes import.

Comments and docstrings do not count, nor do modules that other kinds of models alone import: a change there is no
drift.
"""

import ast
import hashlib
import io
import tokenize
from functools import cache
from pathlib import Path

from runner.data.tasks.registry import TASKS
from runner.data.tokenizers.registry import TOKENIZERS
from runner.models import registry
from runner.plan.spec import RunSpec

ROOT = Path(__file__).parents[2]
LOOP, PROBES = "runner.training.loop", "runner.training.probes"
# Imports are followed into these packages only: the others store, place and show numbers but compute none. Registries
# are left out, as they import every kind, task, tokenizer and probe.
COMPUTING = ("runner.models.", "runner.data.", "runner.plan.", "runner.training.", "runner.settings")


def fingerprint(spec: RunSpec) -> str:
    """The fingerprint of the code behind a run's numbers, 12 hexadecimal digits."""
    return _digest(modules(spec))


def overall() -> str:
    """The fingerprint of all kinds, tasks, tokenizers and probes together: machines that share a sweep must have the
    same."""
    homes = map(_home, [*TASKS.values(), *TOKENIZERS.values()])
    return _digest(_closure(set().union(*map(_kind, registry.KINDS), homes, _probes())))


def modules(spec: RunSpec) -> tuple[str, ...]:
    """The names of the modules that a run's numbers depend on."""
    data, observed = spec.data, spec.eval.probes or spec.eval.attention_logits
    homes = {_home(TASKS[data.task]), _home(TOKENIZERS[data.tokenizer])}
    return _closure(_kind(spec.model.kind) | homes | (_probes() if observed else set()))


def _kind(kind: str) -> set[str]:
    return {place.partition(":")[0] for place in registry.KINDS[kind]}


def _home(cls: type) -> str:
    return cls.__module__


def _probes() -> set[str]:
    """All modules of probes: which of them has a probe is known to their registry alone, which imports torch."""
    found = {path.stem for path in ROOT.joinpath(*PROBES.split(".")).glob("*.py")}
    return {f"{PROBES}.{name}" for name in found - {"__init__", "registry"}}


@cache
def _digest(modules: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for module in modules:
        digest.update(f"{module}\n{_read(module)[0]}\n".encode())
    return digest.hexdigest()[:12]


def _closure(roots: set[str]) -> tuple[str, ...]:
    """The names of the loop, the roots, and all computing modules that they import, directly or not; sorted."""
    found: set[str] = set()
    waiting = {LOOP, *roots}
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= _read(module)[1] - found
    return tuple(sorted(found))


@cache
def _read(module: str) -> tuple[str, frozenset[str]]:
    """A module's source without comments, docstrings and empty lines; and the computing modules that it imports."""
    source = _path(module).read_text(encoding="utf-8")
    lines, names, tree = source.splitlines(), set(), ast.parse(source)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            text = node.body[0]
            assert text.end_lineno is not None
            lines[text.lineno - 1 : text.end_lineno] = [""] * (text.end_lineno - text.lineno + 1)
    bare = "\n".join(line.rstrip() for line in lines if line.strip())
    return bare, frozenset(
        name
        for name in names
        if name.startswith(COMPUTING) and not name.endswith(".registry") and _path(name).is_file()
    )


def _path(module: str) -> Path:
    return ROOT.joinpath(*module.split(".")).with_suffix(".py")
