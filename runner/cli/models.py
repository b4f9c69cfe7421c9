"""`runner describe`: the sizes and costs of models."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from runner.cli import options
from runner.cli.terminal import console
from runner.errors import UserError
from runner.models.registry import ModelSpec
from runner.plan import experiment, presets
from runner.plan.presets import VOCABULARY

if TYPE_CHECKING:
    from runner.models.cost import Description  # which imports torch


def describe_model(
    name: Annotated[
        str, typer.Argument(metavar="MODEL", help="A named model, such as d12_mlp3x, or a kind, such as wavenet.")
    ],
    context: Annotated[
        int | None, typer.Option(help="Tokens of a sequence; the model's block size if left out.")
    ] = None,
    settings: options.Settings = None,
    vocabulary: Annotated[
        int, typer.Option(min=1, max=10_000_000, help="Tokens that it knows; GPT-2's if left out.")
    ] = VOCABULARY,
) -> None:
    """Show what a model costs, without training it: parameters by part, FLOPs per token, bytes of activations and KV
    cache."""
    from runner.models import cost

    if name in experiment.names():
        raise UserError(f"{name!r} is an experiment, not a model: name a model; models: {', '.join(presets.CONFIGS)}")
    spec = experiment.model(name, options.settings(settings or []))
    length = spec.block_size if context is None else context
    if not 1 <= length <= spec.block_size:
        raise UserError(f"--context {length} must lie between 1 and the model's block_size = {spec.block_size}")
    console.print(table(name, spec, cost.describe(spec, vocabulary, length)))


def table(name: str, spec: ModelSpec, costs: "Description") -> Table:
    """The sizes and costs of a model as a table for the terminal."""
    lines = [*spec.details(), f"sequences of {costs.context} tokens, products in {costs.dtype}"]
    shape = f"{name}: " + "\n".join(lines)
    grid = Table(
        title=shape,
        box=None,
        pad_edge=False,
        title_justify="left",
        title_style="",
        show_header=False,
        min_width=max(map(len, shape.splitlines())),
    )
    grid.add_column("")
    grid.add_column("", justify="right")
    grid.add_column("", justify="right")
    for part, count in costs.parameters.items():
        grid.add_row(f"parameters: {part}", f"{count:,}", f"{count / costs.total():.1%}")
    grid.add_row("parameters", f"{costs.total():,}", "")
    for part, flops in costs.flops.items():
        grid.add_row(f"training FLOPs per token: {part}", f"{flops / 1e6:,.1f} M", f"{flops / costs.work():.1%}")
    grid.add_row("training FLOPs per token", f"{costs.work() / 1e6:,.1f} M", "")
    grid.add_row("… without the output layer", f"{costs.work(output=False) / 1e6:,.1f} M", "")
    grid.add_row("activations kept per sequence", f"{costs.activation / 1e6:,.1f} MB", "")
    grid.add_row("… of these attention weights", f"{costs.scores / 1e6:,.1f} MB", "")
    grid.add_row("KV cache per token", f"{costs.kv_cache:,} bytes", "")
    return grid
