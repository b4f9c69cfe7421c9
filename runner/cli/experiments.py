"""`runner list` and `runner sweep`: list experiments and train them."""

from typing import Annotated

import typer
from rich.table import Table

from runner.cli import options
from runner.cli.display import Display
from runner.cli.terminal import console, say
from runner.errors import UserError
from runner.evidence.status import Status
from runner.launch import sweep
from runner.plan import experiment


def list_all() -> None:
    """List the experiments, and the runs of each profile."""
    table = Table("experiment", "title", "profile", "runs", "steps", "model", box=None, pad_edge=False)
    faults = []
    for name in experiment.names():
        try:
            loaded = experiment.load(name)
            planned = [(profile, loaded.plans(profile)) for profile in loaded.profiles]
        except UserError as error:  # the others are listed all the same
            faults.append(str(error))
            continue
        for profile, plans in planned:
            spec = plans[0].spec
            table.add_row(name, loaded.title, profile, str(len(plans)), str(spec.train.steps), spec.model.shape)
    console.print(table)
    if faults:
        raise UserError("; ".join(faults))


def sweep_all(
    name: Annotated[
        str | None, typer.Argument(metavar="[EXPERIMENT]", help="One experiment; all of them if left out.")
    ] = None,
    profile: options.Profile = options.PROFILE,
    only: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Only the runs with such a name: '*-s0' is the first seed of each arm."),
    ] = None,
    runs: options.Root = options.RUNS,
    device: options.Device = None,
    jobs: options.Jobs = None,
    threads: options.Threads = None,
    precision: options.Precision = None,
    compile: options.Compile = None,
    engine: Annotated[str, typer.Option(help="local (this machine), or ray (a Ray cluster).")] = "local",
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="The Ray cluster; the one of this machine if left out.")
    ] = None,
) -> None:
    """Train all runs of an experiment that are not finished. A sweep can be stopped at any moment; called again, it
    continues. What it trains stands in its file: more seeds or another value of an axis add runs to those that are
    there."""
    wishes = options.given(device=device, jobs=jobs, threads=threads, precision=precision, compile=compile)
    chosen = having(profile, name)
    if only is not None and not name:
        chosen = [loaded for loaded in chosen if sweep.called(loaded.plans(profile), only)]
        if not chosen:
            raise UserError(
                f"--only {only or repr(only)}: no run of any experiment, {profile} profile, has such a name"
            )
    with sweep.workers(engine, address) as workers, Display(console) as display:
        if device:
            workers.resolve(wishes)  # a missing device is reported also where nothing is left to train
        statuses: dict[str, Status] = {}
        for loaded in chosen:
            found = sweep.begin(loaded, profile, runs, wishes, workers, display.handle, only)()
            statuses |= {f"{loaded.name}/{run}": status for run, status in found.items()}
            if Status.STOPPED in found.values():
                break
    leave_unless_ended(statuses)


def having(profile: str, name: str | None) -> list[experiment.Experiment]:
    """The experiment of that name, or all that have the profile; says which of all do not. Raises a `UserError` where
    none has it."""
    if name:
        return [experiment.load(name)]
    everything = [experiment.load(each) for each in experiment.names()]
    found = [loaded for loaded in everything if profile in loaded.profiles]
    if not found:
        raise UserError(f"unknown profile {profile!r}; known: {', '.join(experiment.profiles())}")
    if lacking := [loaded.name for loaded in everything if loaded not in found]:
        say(f"without a {profile} profile, and left out: {', '.join(lacking)}")
    return found


def leave_unless_ended(statuses: dict[str, Status]) -> None:
    """Exit with status 2 where a run failed, else with status 1 where one was stopped."""
    if Status.FAILED in statuses.values():
        raise typer.Exit(2)
    if Status.STOPPED in statuses.values():
        say("run the same command again to continue")
        raise typer.Exit(1)
