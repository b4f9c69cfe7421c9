"""`runner describe`: models."""

from typing import Annotated

import typer

from runner.cli import options
from runner.cli.terminal import console
from runner.errors import UserError
from runner.plan import experiment, presets


def describe_model(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="Such as d12_mlp3x.")],
    context: Annotated[
        int | None, typer.Option(help="Tokens of a sequence; the model's whole block unless named.")
    ] = None,
    settings: options.Settings = None,
) -> None:
    """What a model costs before it is trained: parameters by part, FLOPs a token, bytes of activations and cache."""
    from runner.models import cost

    spec = experiment.model(name, options.settings(settings or []))
    length = spec.block_size if context is None else context
    if not 1 <= length <= spec.block_size:
        raise UserError(f"--context {length} must lie between 1 and the model's block_size = {spec.block_size}")
    console.print(cost.table(name, spec, cost.describe(spec, presets.VOCABULARY, length)))
