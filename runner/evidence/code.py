"""The code that decides a run's numbers: what the training loop and the kind of its model import, computed.

A change elsewhere, of a comment, or of another kind's modules, is no drift.
"""

import ast
import hashlib
import io
import tokenize
from functools import cache
from pathlib import Path

from runner.models import registry

ROOT = Path(__file__).parents[2]
LOOP = "runner.training.loop"
# Followed are these packages: the others keep, place and show what is computed here. Registries only name modules.
COMPUTING = ("runner.models.", "runner.data.", "runner.plan.", "runner.training.", "runner.settings")


@cache
def fingerprint(kind: str) -> str:
    """12 hexadecimal digits that name the code behind the numbers of this kind of model."""
    digest = hashlib.sha256()
    for module in modules(kind):
        digest.update(f"{module}\n{_read(module)[0]}\n".encode())
    return digest.hexdigest()[:12]


def overall() -> str:
    """The same of every kind together, for machines that must agree before they share work."""
    return hashlib.sha256("".join(map(fingerprint, registry.KINDS)).encode()).hexdigest()[:12]


def modules(kind: str) -> list[str]:
    """The names of the modules that the numbers of this kind of model depend on."""
    found: set[str] = set()
    waiting = {LOOP, *(place.partition(":")[0] for place in registry.KINDS[kind])}
    while waiting:
        module = waiting.pop()
        found.add(module)
        waiting |= _read(module)[1] - found
    return sorted(found)


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
