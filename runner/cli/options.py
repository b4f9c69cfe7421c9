"""Options that several commands share, and what they amount to."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from runner.errors import UserError
from runner.plan.spec import tables
from runner.settings import OTHER_NAMES

Root = Annotated[Path, typer.Option("--runs", help="Folder in which runs leave their evidence.")]
Profile = Annotated[str, typer.Option(help="smoke (seconds), laptop (minutes) or paper (an accelerator, or patience).")]
Device = Annotated[str | None, typer.Option(help="cuda, mps or cpu; the best one there is unless named.")]
Jobs = Annotated[int | None, typer.Option(help="Runs side by side.")]
Threads = Annotated[int | None, typer.Option(help="Processor threads of one run.")]
Precision = Annotated[str | None, typer.Option(help="bf16 or float32.")]
Compile = Annotated[bool | None, typer.Option("--compile/--no-compile", help="Whether to use torch.compile.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Such as mlp_ratio=2.5 or train.steps=300; may be repeated."),
]
RUNS, LOGS = Path("runs"), Path("logs")


def given(**options: Any) -> dict[str, Any]:
    """Those of the options that a person gave."""
    return {key: value for key, value in options.items() if value is not None}


def settings(given: list[str], axes: Iterable[str] = ()) -> dict[str, Any]:
    """`name=value` options as dotted paths: a bare name is one of the axes, or looked for in the spec's tables."""
    spaces, found = tables(), {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"--set {text!r} must be NAME=VALUE, such as mlp_ratio=2.5")
        name = OTHER_NAMES.get(name, name)
        homes = [name] if name in axes else [f"{table}.{name}" for table, fields in spaces.items() if name in fields]
        if "." not in name and len(homes) != 1:
            known = ", ".join([*axes, *sorted(field for fields in spaces.values() for field in fields)])
            raise UserError(f"--set {text!r}: unknown setting {name!r}; known: {known}")
        try:
            found[name if "." in name else homes[0]] = tomllib.loads(f"v = {value}")["v"]
        except tomllib.TOMLDecodeError:
            found[name if "." in name else homes[0]] = value
    return found
