"""`runner baselines`: what counting is worth on an experiment's text."""

from typing import Annotated

import typer

from runner.cli import options
from runner.cli.terminal import say
from runner.evidence import baselines
from runner.launch import baselines as counting
from runner.plan import experiment


def count_baselines(
    name: Annotated[
        str | None, typer.Argument(metavar="[EXPERIMENT]", help="All that there are on text, unless named.")
    ] = None,
    profile: options.Profile = "laptop",
    runs: options.Root = options.RUNS,
) -> None:
    """Count the n-grams of an experiment's training text, and keep what they score beside its runs. A sweep does so at
    its end; `--runs logs` counts for runs that are published already."""
    for loaded in map(experiment.load, [name] if name else experiment.names()):
        plans = loaded.plans(profile)
        reason = counting.why_not(loaded, plans)
        if reason and name is None:
            say(f"{loaded.name}: no baselines: {reason}")
            continue
        made = counting.make(loaded, plans, runs)
        path = made or runs / loaded.name / profile / baselines.NAME
        say(f"{counting.summary(path)}{'' if made else ' (unchanged)'}")
