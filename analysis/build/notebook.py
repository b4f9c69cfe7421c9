"""Parses notebooks, which are percent scripts with one cell of parameters."""

import ast
import json
import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from runner.errors import UserError

MARKER = re.compile(r"^# %%(?P<rest>.*)$")
PLACE = re.compile(r"\w+(\.\w+)+:\w+")  # module:class, as registries name what is imported when it is asked for
TAGGED = re.compile(r"""tags\s*=\s*\[[^\]]*["']parameters["'][^\]]*\]""")


@dataclass(frozen=True)
class Cell:
    """One cell: "markdown" or "code", its text, and the line of the file on which the text starts."""

    kind: str
    text: str
    line: int
    parameters: bool = False


def cells(source: str) -> list[Cell]:
    """The cells of a percent script. Text before the first marker, such as a YAML header, is left out."""
    found: list[Cell] = []
    for number, line in enumerate(source.splitlines(), 1):
        marker = MARKER.match(line)
        if marker:
            kind = "markdown" if "[markdown]" in marker["rest"] else "code"
            found.append(Cell(kind, "", number + 1, bool(TAGGED.search(marker["rest"]))))
        elif found:
            last = found[-1]
            found[-1] = Cell(last.kind, f"{last.text}{line}\n", last.line, last.parameters)
    return [
        Cell(c.kind, _prose(c.text) if c.kind == "markdown" else c.text.strip("\n"), c.line, c.parameters)
        for c in found
    ]


def title(source: str, otherwise: str) -> str:
    """The first heading of the notebook; `otherwise` where it has none."""
    for cell in cells(source):
        heading = re.search(r"^#\s+(.+)$", cell.text, re.M) if cell.kind == "markdown" else None
        if heading:
            return heading[1].strip()
    return otherwise


def parameters(source: str, where: str) -> dict[str, Any]:
    """The parameters of a notebook with their defaults, from its one cell tagged `parameters`.

    Raises a `UserError` where there is not exactly one such cell, and for a value that is not of a JSON type: papermill
    would turn it into text.
    """
    tagged = [cell for cell in cells(source) if cell.parameters]
    if len(tagged) != 1:
        raise UserError(f'{where}: needs exactly one cell "# %% tags=["parameters"]", and has {len(tagged)}')
    cell, values = tagged[0], {}
    try:
        statements = ast.parse(cell.text).body
    except SyntaxError as error:
        raise UserError(f"{where}:{cell.line + (error.lineno or 1) - 1}: {error.msg}") from None
    for statement in statements:
        line = f"{where}:{cell.line + statement.lineno - 1}"
        target = statement.targets[0] if isinstance(statement, ast.Assign) else getattr(statement, "target", None)
        if not isinstance(target, ast.Name) or getattr(statement, "value", None) is None:
            raise UserError(f"{line}: the parameters cell holds only lines such as name = value")
        try:
            value = ast.literal_eval(statement.value)
            if json.loads(json.dumps(value, allow_nan=False)) != value:
                raise ValueError
        except (ValueError, TypeError):
            raise UserError(
                f"{line}: parameter {target.id} must be of a JSON type (number, text, true or false, list, dict)"
            ) from None
        named = value if isinstance(value, list) else [value]
        if target.id in ("experiment", "experiments") and not all(isinstance(one, str) for one in named):
            raise UserError(f"{line}: parameter {target.id} must be an experiment's name, or a list of names")
        values[target.id] = value
    return values


def reads(known: dict[str, Any], name: str) -> list[str]:
    """The experiments that a notebook with parameters `known` reads: its parameter `experiments`, else that of its
    name."""
    named = known.get("experiments", known.get("experiment", name))
    return [named] if isinstance(named, str) else list(named)


def undeclared(text: str, known: dict[str, Any], name: str) -> list[str]:
    """The experiments that a notebook names in calls of `arms.read` and does not say that it reads, so that a change of
    their runs would not be seen; none where it says that it reads everything."""
    if known.get("everything"):
        return []
    return [one for one in _named(_python(text), "arms.read", 1) if one not in reads(known, name)]


def planned(text: str) -> list[str]:
    """The experiments whose plans a notebook loads by name, on which its results depend whatever runs there are."""
    return list(_named(_python(text), "experiment.load", 0))


def _python(text: str) -> str:
    """A notebook's source without IPython commands."""
    return re.sub(r"^\s*[%!].*$", "", text, flags=re.M)


@lru_cache(maxsize=1024)
def _named(text: str, function: str, place: int) -> tuple[str, ...]:
    """The texts that a source passes to a function, as its argument in this place."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return ()  # its execution reports the error, with the cell
    calls = [node.args for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == function]
    named = (args[place].value for args in calls if len(args) > place and isinstance(args[place], ast.Constant))
    return tuple(dict.fromkeys(map(str, named)))


def imports(path: Path, root: Path) -> list[Path]:
    """The files of the project's modules that a script imports, directly or through others; sorted."""
    seen: dict[str, None] = {}
    waiting = [str(path)]
    while waiting:
        for module in _modules(waiting.pop()):
            file = f"{root}/{module.replace('.', '/')}"
            for candidate in (f"{file}.py", f"{file}/__init__.py"):
                if candidate not in seen and os.path.isfile(candidate):
                    seen[candidate] = None
                    waiting.append(candidate)
    return sorted(map(Path, seen))


def _modules(path: str) -> frozenset[str]:
    with open(path, encoding="utf-8") as file:
        text = file.read()
    return _imported(_python(text) if path.split("/")[-2] == "notebooks" else text)


@lru_cache(maxsize=1024)
def _imported(text: str) -> frozenset[str]:
    """The project's modules that this source imports itself, or names in a text as registries do. Kept by content, as
    every notebook imports the same few modules, and parsing them again for each took most of the time of a build with
    nothing to execute."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return frozenset()  # its execution reports the error, with the cell
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and PLACE.fullmatch(node.value):
            names.add(node.value.partition(":")[0])
    return frozenset(name for name in names if name.split(".")[0] in ("analysis", "runner"))


def _prose(text: str) -> str:
    """The text of a Markdown cell without the comment signs."""
    return "\n".join(re.sub(r"^# ?", "", line) for line in text.splitlines()).strip("\n")
