"""`runner baselines`: n-gram counts to compare an experiment's models with."""

from typing import Annotated

import typer

from runner.cli import options
from runner.cli.experiments import having
from runner.cli.terminal import say
from runner.evidence import baselines
from runner.launch import baselines as counting


def count_baselines(
    name: Annotated[
        str | None, typer.Argument(metavar="[EXPERIMENT]", help="One experiment; all that read text if left out.")
    ] = None,
    profile: options.Profile = options.PROFILE,
    runs: options.Root = options.RUNS,
) -> None:
    """Compute the losses of n-gram counts on an experiment's text, and store them beside its runs. A sweep does this at
    its end; `--runs logs` does it for published runs."""
    options.existing(runs)
    for loaded in having(profile, name):
        plans = loaded.plans(profile)
        reason = counting.why_not(loaded, plans)
        if reason and name is None:
            say(f"{loaded.name}: no baselines: {reason}")
            continue
        written = counting.make(loaded, plans, runs)
        path = written or runs / loaded.name / profile / baselines.NAME
        say(f"{counting.summary(path)}{'' if written else ' (unchanged)'}")
