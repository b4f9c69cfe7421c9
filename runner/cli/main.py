"""The `runner` command: one module of this package for each group of subcommands, one function for each of them."""

import sys
from collections.abc import Callable

import typer

from runner.cli import baselines, data, evidence, experiments, losses, models, runs, tokenizers
from runner.cli.terminal import console
from runner.errors import UserError
from runner.training.ranks import local_processes, processes

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train small language models, and keep logs that can be verified.",
)
COMMANDS: dict[str, Callable[..., None]] = {
    "list": experiments.list_all,
    "data": data.load_data,
    "tokenizer": tokenizers.show_tokenizer,
    "sweep": experiments.sweep_all,
    "train": runs.train_one,
    "baselines": baselines.count_baselines,
    "describe": models.describe_model,
    "status": runs.show_status,
    "losses": losses.show_losses,
    "sample": runs.sample_text,
    "draw": runs.draw_samples,
    "verify": runs.verify_run,
    "publish": evidence.publish_runs,
    "pack": evidence.pack_runs,
    "unpack": evidence.unpack_runs,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """Run the command. A `UserError` is printed as one line on standard error, with exit status 2."""
    console.quiet = processes()[0] > 0  # of the processes under torchrun only the first one prints
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except OSError as error:  # such as a folder that is read-only, or is a file
        if error.filename is None:  # such as a full disk behind standard output
            _fail(f"{error.strerror}: make room, or send the output elsewhere")
        _fail(f"{error.filename}: {error.strerror}: name another folder, or make this one writable")


def _fail(line: str) -> None:
    if local_processes()[0] == 0:  # one process of each machine under torchrun: machines may fail for different reasons
        print(f"runner: {line}", file=sys.stderr)
    sys.exit(2)
