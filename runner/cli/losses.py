"""`runner losses`: what the runs of an experiment ended with."""

import json
import math
from typing import Annotated, Any

import typer
from rich.table import Table

from runner.cli import options
from runner.cli.terminal import console, say
from runner.errors import UserError
from runner.evidence import baselines, log, planned
from runner.evidence.status import Status
from runner.files import SCRATCH
from runner.launch import baselines as counting
from runner.plan import experiment
from runner.plan.plan import Plan


def show_losses(
    name: Annotated[
        str, typer.Argument(metavar="EXPERIMENT", help="An experiment, a TOML file, or scratch for single runs.")
    ],
    profile: options.Profile = options.PROFILE,
    runs: options.Root = options.RUNS,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a list of objects instead, each with the run's specification and whether it is planned so.",
        ),
    ] = False,
) -> None:
    """Show the losses of the runs that have ended: of each split at its last evaluation, and the least on validation
    text with its step. In nats a token; n-gram counts of the same text are named below."""
    loaded = None if name == SCRATCH else experiment.load(name)
    called = loaded.name if loaded else name
    plans = {plan.name: plan for plan in planned.plans(loaded, profile, runs)} if loaded else {}
    ended = log.read_runs(runs, called, profile)
    if not ended:
        raise UserError(
            f"no run of {called}, {profile} profile, has ended in {runs}: train one, or name another folder with --runs"
        )
    other = [] if loaded is None else [run.name for run in ended if not _as_planned(run, plans.get(run.name))]
    rows = [_row(run) | {"planned": None if loaded is None else run.name not in other} for run in ended]
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    splits = list(dict.fromkeys(split for row in rows for split in row["last"]))
    table = Table("run", *splits, "least val", "at step", "steps", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        least = row["least_val"] or {"loss": None, "step": None}
        steps = f"diverged at {row['diverged_at']}" if row["status"] == Status.DIVERGED else str(row["steps"])
        losses = [_shown(row["last"].get(split)) for split in splits]
        table.add_row(row["run"], *losses, _shown(least["loss"]), _shown(least["step"]), steps)
    console.print(table)
    if other:
        say(f"not as the experiment plans them now, see `runner status`: {', '.join(other)}")
    counts = runs / called / profile / baselines.NAME
    if counts.is_file():
        say(counting.summary(counts))


def _as_planned(run: log.Run, plan: Plan | None) -> bool:
    return plan is not None and planned.as_planned(run.manifest, plan)


def _row(run: log.Run) -> dict[str, Any]:
    """The losses of a run, with what tells it from others."""
    spec, measured = run.manifest["spec"], run.metrics().to_pylist()
    val = [row for row in measured if row["split"] == "val" and math.isfinite(row["loss"])]
    least, last = min(val, key=lambda row: row["loss"], default=None), run.final_losses(("train", "val", "test"))
    return {
        "run": run.name,
        "seed": run.manifest["seed"],
        "status": run.manifest["status"],
        "steps": spec["train"]["steps"],
        "diverged_at": run.manifest.get("diverged_at"),
        "last": {split: loss if math.isfinite(loss) else None for split, loss in last.items()},  # JSON has no NaN
        "least_val": {"loss": least["loss"], "step": least["step"]} if least else None,
        "spec": spec,
    }


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
