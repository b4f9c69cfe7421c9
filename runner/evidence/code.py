"""The code that decides a run's numbers, computed: what the training loop, its kind of model, its task and its
tokenizer import. A change elsewhere, of a comment, or of another kind's modules, is no drift.
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
LOOP = "runner.training.loop"
# Followed are these packages: the others keep, place and show what is computed here. Registries only name modules.
COMPUTING = ("runner.models.", "runner.data.", "runner.plan.", "runner.training.", "runner.settings")


def fingerprint(spec: RunSpec) -> str:
    """12 hexadecimal digits that name the code behind a run's numbers."""
    return _digest(modules(spec))


def overall() -> str:
    """The same of all kinds, tasks and tokenizers together, for machines that must agree before they share work."""
    homes = map(_home, [*TASKS.values(), *TOKENIZERS.values()])
    return _digest(_closure(set().union(*map(_kind, registry.KINDS), homes)))


def modules(spec: RunSpec) -> tuple[str, ...]:
    """The names of the modules that a run's numbers depend on."""
    data = spec.data
    return _closure(_kind(spec.model.kind) | {_home(TASKS[data.task]), _home(TOKENIZERS[data.tokenizer])})


def _kind(kind: str) -> set[str]:
    return {place.partition(":")[0] for place in registry.KINDS[kind]}


def _home(cls: type) -> str:
    return cls.__module__


@cache
def _digest(modules: tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    for module in modules:
        digest.update(f"{module}\n{_read(module)[0]}\n".encode())
    return digest.hexdigest()[:12]


def _closure(roots: set[str]) -> tuple[str, ...]:
    """The loop and the roots, and all that they import of what computes, by name."""
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
