"""Options that several commands share, and functions that evaluate them."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from runner.errors import UserError
from runner.plan.spec import tables
from runner.settings import OTHER_NAMES


def folder(param: typer.CallbackParam, path: Path) -> Path:
    """The value of an option that names a folder; a `UserError` for a file."""
    if path.is_file():
        raise UserError(f"{param.opts[0]} {path} is a file: name a folder")
    return path


def existing(runs: Path) -> None:
    """Raise a `UserError` where a folder of runs was named that does not exist."""
    if runs != RUNS and not runs.exists():
        raise UserError(f"{runs} does not exist: name a folder of runs with --runs")


PROFILE = "laptop"
Root = Annotated[Path, typer.Option("--runs", help="The folder of runs and their evidence.", callback=folder)]
Logs = Annotated[Path, typer.Option("--logs", help="The folder of published logs.", callback=folder)]
Profile = Annotated[
    str, typer.Option(help="smoke (seconds), laptop (minutes) or paper (hours; best on an accelerator).")
]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; the best one of this machine if left out.")]
Jobs = Annotated[int | None, typer.Option(help="Number of runs to train side by side.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads of each run.")]
Precision = Annotated[str | None, typer.Option(help="Of matrix products: bf16 or float32.")]
Compile = Annotated[bool | None, typer.Option("--compile/--no-compile", help="Whether to use torch.compile.")]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="A setting, such as mlp_ratio=2.5 or train.steps=300; may be repeated."
    ),
]
RUNS, LOGS = Path("runs"), Path("logs")


def given(**options: Any) -> dict[str, Any]:
    """The options that were given on the command line: those that are not None."""
    return {key: value for key, value in options.items() if value is not None}


def settings(given: list[str], axes: Iterable[str] = ()) -> dict[str, Any]:
    """Settings by dotted path, from texts `name=value` whose values are TOML.

    A name, or its part before the first dot, may be a field of exactly one table of the spec, whose name is put before
    it. A name without a dot may also be one of `axes`. Raises a `UserError` for any other, and without a value.
    """
    spec_tables, values = tables(), {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text!r} must be NAME=VALUE, such as mlp_ratio=2.5")
        name = OTHER_NAMES.get(name, name)
        first, dot, _ = name.partition(".")
        homes = [table for table, fields in spec_tables.items() if first in fields]
        if name not in axes and first not in spec_tables and len(homes) == 1:
            name = f"{homes[0]}.{name}"
        elif name not in axes and not dot:
            if name == "seed":
                raise UserError(f"--set {text!r}: the seed is no setting; `runner train` has --seed {value} for it")
            known = ", ".join([*axes, *sorted(field for fields in spec_tables.values() for field in fields)])
            raise UserError(f"--set {text!r}: unknown setting {name!r}; known: {known}")
        try:
            values[name] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            values[name] = value
    return values
