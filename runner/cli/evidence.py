"""`runner publish`, `pack` and `unpack`: copy the evidence of ended runs, and the baselines beside them."""

from pathlib import Path
from typing import Annotated

import typer

from runner.cli import options
from runner.cli.terminal import say
from runner.errors import UserError
from runner.evidence import archive, baselines, planned, state
from runner.files import SCRATCH
from runner.plan import experiment
from runner.plan.spec import as_dict, differences


def publish_runs(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT", help="The experiment whose runs to publish.")],
    profile: options.Profile = options.PROFILE,
    runs: options.Root = options.RUNS,
    folder: options.Logs = options.LOGS,
) -> None:
    """Copy the evidence of an experiment's ended runs, without checkpoints, into logs/, for Git and the site."""
    loaded = experiment.load(name)
    plans = {plan.name: plan for plan in planned.plans(loaded, profile, runs)}
    known = [run for run in archive.ended(runs, loaded.name, profile) if run.name in plans]
    ended = [run for run in known if planned.as_planned(run.manifest, plans[run.name])]
    for run in known:
        if run not in ended:
            plan = plans[run.name]
            changed = [*differences(run.manifest["spec"], as_dict(plan.spec)), *state.moved(run.manifest, plan)]
            say(f"{loaded.name}/{run.name} is not published: its specification changed since: {', '.join(changed)}")
    if not ended:
        how = "has ended as it is planned now" if known else "has ended"
        raise UserError(f"{runs}/{loaded.name}/{profile} holds no run that {how}: train the sweep first")
    fresh = archive.publish(ended, folder)
    counted = archive.publish_baselines(baselines.files(runs, loaded.name, profile), folder)
    runs_there = f"{len(ended)} run{'s' * (len(ended) > 1)}"
    say(f"{runs_there}, {len(fresh)} of them new or changed in {folder / loaded.name / profile}")
    for path in counted:
        say(f"{path} is new or changed")


def pack_runs(
    target: Annotated[Path, typer.Argument(metavar="LOGS.tar", help="The archive to write.")],
    runs: options.Root = options.RUNS,
    name: Annotated[str | None, typer.Option("--experiment", help="One experiment; all of them if left out.")] = None,
    profile: Annotated[str | None, typer.Option(help="One profile; all of them if left out.")] = None,
) -> None:
    """Write the evidence of all ended runs into one archive of at most 16 MiB, to copy it to another machine. Runs in
    runs/scratch are left out."""
    ended = [run for run in archive.ended(runs, name, profile) if run.manifest["experiment"] != SCRATCH]
    if not ended:
        called = f" of {name}" if name else " of an experiment"
        within = f" in the profile {profile}" if profile else ""
        raise UserError(f"{runs} holds no run{called} that has ended{within}: check the names, or train one first")
    size = archive.pack(ended, target, baselines.files(runs, name, profile))
    say(f"{len(ended)} runs in {target}, {size / 2**20:.1f} MiB")


def unpack_runs(
    source: Annotated[Path, typer.Argument(metavar="LOGS.tar", help="An archive of `runner pack`.")],
    folder: options.Logs = options.LOGS,
) -> None:
    """Extract the evidence of an archive into logs/, after checking all of it."""
    fresh = archive.unpack(source, folder)
    for path in fresh:
        say(f"{path}")
    say(f"{len(fresh) or 'nothing is'} new or changed in {folder}")
