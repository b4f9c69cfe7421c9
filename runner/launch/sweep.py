"""A sweep: what an experiment plans, what of it stands already, training the rest, and what its rule adds to that.

It knows no terminal: `tell` hears what happens. Importable without torch, and finished without it where nothing is
left to be trained.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from runner.data import corpora, openwebtext
from runner.errors import UserError
from runner.evidence import planned, state
from runner.evidence.status import Status
from runner.launch import baselines, fetch
from runner.launch.events import Begun, Decided, Found, Line, Over, Tell, Unplanned
from runner.plan.experiment import Experiment
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.training.ranks import processes

ENGINES = ("local", "ray")


class Workers(Protocol):
    """What trains plans, here or elsewhere; nothing is started before it is needed."""

    def resolve(self, wishes: dict[str, Any]) -> Placement:
        """The placement that the wishes amount to; `NoDevice` where a named one is not there."""

    def train(self, plans: Sequence[Plan], root: Path, placement: Placement, tell: Tell) -> dict[str, Status]:
        """Train the plans; a status by run name."""

    def agree(self, value: Any) -> Any:
        """A value that all processes of a group go by."""


@contextlib.contextmanager
def workers(engine: str = "local", address: str | None = None) -> Iterator[Workers]:
    """Workers for any number of experiments: processes of this machine, or of the Ray cluster at `address`."""
    if engine not in ENGINES:
        raise UserError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    if address and engine != "ray":
        raise UserError(f"--address {address} is for --engine ray: name that engine too")
    if engine == "ray":
        from runner.launch import cluster

        with cluster.Workers(address) as found:
            yield found
    else:
        from runner.launch import local

        with local.Group() if processes()[1] > 1 else local.Workers() as found:
            yield found


def experiment(
    loaded: Experiment, profile: str, root: Path, wishes: dict[str, Any], workers: Workers, tell: Tell
) -> dict[str, Status]:
    """Train all runs of an experiment that have not ended, and then those that its rule adds; returns a status by name
    of each run that was to be trained. Where one was stopped or failed, the rule is not asked, and nothing is counted;
    else the baselines of its texts are."""
    title, wishes = f"{loaded.title} {profile}", loaded.placement(profile) | wishes
    if processes()[0] == 0:
        fetch.preferred(loaded, profile, tell)
    for folder in planned.unplanned(planned.plans(loaded, profile, root), root):
        tell(Unplanned(folder))
    statuses = runs(title, loaded.plans(profile), root, wishes, workers, tell)
    if {Status.STOPPED, Status.FAILED} & set(statuses.values()):
        return statuses
    decision = workers.agree(planned.decide(loaded, profile, root))
    if decision is not None:
        tell(Decided(loaded.name, decision.reason))
        statuses |= runs(title, decision.more or [], root, wishes, workers, tell)
    if not {Status.STOPPED, Status.FAILED} & set(statuses.values()) and processes()[0] == 0:
        _count(loaded, profile, root, tell)
    return statuses


def _count(loaded: Experiment, profile: str, root: Path, tell: Tell) -> None:
    """Count the baselines of an experiment where they are missing. Its runs stand without them: what is in the way is
    said in a line."""
    try:
        made = baselines.make(loaded, profile, root)
        if made:
            tell(Line(baselines.told(made)))
    except UserError as error:
        tell(Line(str(error)))


def runs(
    title: str, plans: Sequence[Plan], root: Path, wishes: dict[str, Any], workers: Workers, tell: Tell
) -> dict[str, Status]:
    """Train those of the plans that have not ended; returns a status by name of each that was to be trained."""
    tokens = fetch.wanted(plans)
    if tokens:  # before the runs are looked at, as the bytes are part of their identity
        if not fetch.here(tokens):
            workers.resolve(wishes)  # a device that is not there should be said before hours of loading
        fetch.load(tokens, tell)
    todo = list(inspected(plans, root, tell))
    if not todo:
        return {}
    placement = workers.resolve(wishes)
    for name in sorted({plan.spec.data.corpus for plan in todo} - {openwebtext.NAME}):
        corpora.load(name, lambda text: tell(Line(text)))  # once, before workers ask for it together
    began = time.perf_counter()
    tell(Begun(title, len(todo)))
    statuses: dict[str, Status] = {}
    try:
        statuses = workers.train(todo, root, placement, tell)
    finally:
        tell(Over(statuses, time.perf_counter() - began))
    return statuses


def inspected(plans: Sequence[Plan], root: Path, tell: Tell) -> Iterator[Plan]:
    """The plans that are to be trained; says of each what stands in its folder."""
    for plan in plans:
        found = state.inspect(plan, root)
        tell(Found(plan.name, found))
        if found.action != "skip" or processes()[1] > 1:  # several processes skip it together
            yield plan
