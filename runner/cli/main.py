"""The `runner` command: a module a noun, and a function a command."""

import sys
from collections.abc import Callable

import typer

from runner.cli import baselines, data, evidence, experiments, models, runs, tokenizers
from runner.cli.terminal import console
from runner.errors import UserError
from runner.training.ranks import here, processes

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Train small language models and keep logs that can be trusted.",
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
    "sample": runs.sample_text,
    "verify": runs.verify_run,
    "publish": evidence.publish_runs,
    "pack": evidence.pack_runs,
    "unpack": evidence.unpack_runs,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """Run the command; bad input is one line on standard error and exit status 2."""
    console.quiet = processes()[0] > 0  # of several processes one speaks
    try:
        app()
    except UserError as error:
        _fail(str(error))
    except OSError as error:  # a folder that cannot be written to, or is no folder
        _fail(f"{error.filename}: {error.strerror}: name another folder, or make room there")


def _fail(line: str) -> None:
    if here()[0] == 0:  # of several processes one complains on each machine, as only the others' may lack something
        print(f"runner: {line}", file=sys.stderr)
    sys.exit(2)
