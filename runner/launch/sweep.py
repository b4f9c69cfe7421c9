"""A sweep: expands an experiment into runs, inspects what is finished, trains the rest, and then what its rule adds.

It prints nothing: every event goes to the callback `emit`. Importable without torch; torch is needed only where there
is a run to train.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from runner.data import corpora, openwebtext
from runner.errors import UserError
from runner.evidence import log, planned, state
from runner.evidence.state import Action
from runner.evidence.status import Status
from runner.launch import baselines, fetch
from runner.launch.events import AllEnded, Decided, Emit, Ending, Event, Inspected, Line, Started, Unplanned
from runner.plan.experiment import Experiment
from runner.plan.placement import Placement, checked
from runner.plan.plan import Plan
from runner.training.probes import names as probes
from runner.training.ranks import local_processes, processes

ENGINES = ("local", "ray")


class Workers(Protocol):
    """Trains plans, on this machine or on others. Processes are started when they are first needed."""

    def resolve(self, wishes: dict[str, Any]) -> Placement:
        """A complete placement from the settings that are given; `NoDevice` where the named device is missing."""

    def begin(self, plans: Sequence[Plan], root: Path, placement: Placement, emit: Emit) -> Ending:
        """Take plans to be trained; the result waits for their end and returns the statuses by run name. On one machine
        they are trained as soon as those before them leave a process free, elsewhere when the result is called."""

    def broadcast(self, value: Any, wishes: dict[str, Any]) -> Any:
        """The leader's value, at every process of a group, once all of them have come here."""


@contextlib.contextmanager
def workers(engine: str = "local", address: str | None = None) -> Iterator[Workers]:
    """Workers for any number of experiments: processes on this machine, or on the Ray cluster at `address`."""
    if engine not in ENGINES:
        raise UserError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    if address and engine != "ray":
        raise UserError(f"--address {address} is for --engine ray: name that engine too")
    if engine == "ray":
        from runner.launch.cluster import workers as cluster

        with cluster.Workers(address) as started:
            yield started
    else:
        from runner.launch import local

        with local.Group() if processes()[1] > 1 else local.Workers() as started:
            yield started


def begin(
    loaded: Experiment,
    profile: str,
    root: Path,
    wishes: dict[str, Any],
    workers: Workers,
    emit: Emit,
    only: str | None = None,
) -> Ending:
    """Hand all runs of an experiment (up to its `limit`) that have not ended to the workers; the result waits for their
    end, trains those that its rule adds, and computes its baselines. Of an experiment in sittings, only the runs of
    those that may begin by now. Of several experiments that are begun before the first one is waited for, each starts
    when the one before leaves a process free.

    only    a shell pattern: of the planned runs, those with such a name

    The result returns the statuses of the runs that were to be trained, by run name. Where one of them was stopped or
    failed, or some were left out, the rule is not applied and no baselines are computed. Raises a `UserError` where no
    run has such a name, and for a wrong setting.
    """
    title, wishes = f"{loaded.title} {profile}", loaded.placement(profile) | wishes
    once_a_machine(partial(fetch.preferred, loaded, profile, emit), wishes, workers)
    plans, everything = loaded.plans(profile), replace(loaded, limit=None)
    known = planned.plans(everything, profile, root) + planned.added(loaded, profile, root)
    for folder in planned.unplanned(known, root):
        emit(Unplanned(folder))
    named = called(plans, only)
    if not named:
        raise UserError(
            f"--only {only or repr(only)}: no run of {loaded.name}, {profile} profile, has such a name; "
            f"known: {', '.join(plan.name for plan in plans[:3])}{', …' * (len(plans) > 3)}"
        )
    alone = processes()[1] == 1  # the runs of a group lie on its leader's disk, so it trains all sittings at once
    due = planned.due(loaded, profile, root) if alone else planned.Due(plans)
    first = _begin_runs(title, [plan for plan in due.plans if plan.name in named], root, wishes, workers, emit)

    def end() -> dict[str, Status]:
        statuses = first()
        if len(named) < len(plans):
            emit(Line(f"{loaded.name}: {len(plans) - len(named)} of {len(plans)} runs left out by --only {only}"))
        if due.waiting:
            emit(Line(f"{loaded.name}: {planned.due(loaded, profile, root)}: run the same command again then"))
        if due.waiting or len(named) < len(plans):
            return statuses
        if {Status.STOPPED, Status.FAILED} & set(statuses.values()):
            return statuses
        decision = workers.broadcast(planned.decide(loaded, profile, root), wishes)
        if decision is not None:
            emit(Decided(loaded.name, decision.reason))
            statuses |= runs(title, decision.more or [], root, wishes, workers, emit)
        if not {Status.STOPPED, Status.FAILED} & set(statuses.values()) and processes()[0] == 0:
            _count(loaded, plans, root, emit)
        return statuses

    return end


def called(plans: Sequence[Plan], only: str | None) -> set[str]:
    """The names of the plans whose name matches the shell pattern `only`, of all of them if there is none."""
    return {plan.name for plan in plans if only is None or fnmatchcase(plan.name, only)}


def once_a_machine(load: Callable[[], None], wishes: dict[str, Any], workers: Workers) -> None:
    """Call `load` in the first process of each machine, while the others of a group wait: what is there then is what
    all of them plan with and read."""
    if local_processes()[0] == 0:
        load()
    workers.broadcast(None, wishes)


def _count(loaded: Experiment, plans: Sequence[Plan], root: Path, emit: Emit) -> None:
    """Compute the missing baselines of an experiment. The runs are valid without them, so an error is emitted as a line
    and does not fail the sweep."""
    try:
        path = baselines.make(loaded, plans, root)
        if path:
            emit(Line(baselines.summary(path)))
    except UserError as error:
        emit(Line(str(error)))


def runs(
    title: str, plans: Sequence[Plan], root: Path, wishes: dict[str, Any], workers: Workers, emit: Emit
) -> dict[str, Status]:
    """Train those of the plans that have not ended; returns the statuses of those that were to be trained, by run
    name."""
    return _begin_runs(title, plans, root, wishes, workers, emit)()


def _begin_runs(
    title: str, plans: Sequence[Plan], root: Path, wishes: dict[str, Any], workers: Workers, emit: Emit
) -> Ending:
    """Hand those of the plans that have not ended to the workers."""
    checked(wishes)  # also where nothing is left to train
    for name in sorted({plan.spec.data.corpus for plan in plans} - {openwebtext.NAME}):
        corpora.named(name)  # an unknown one is refused before anything is begun
    for plan in plans:
        probes.asked(plan.spec.eval)  # as is an unknown probe
    tokens = fetch.wanted(plans)
    if tokens:  # before the runs are inspected, as the corpus' bytes are part of their identity
        if not openwebtext.here(tokens):
            workers.resolve(wishes)  # a missing device should be reported before hours of loading
        once_a_machine(partial(fetch.load, tokens, emit), wishes, workers)
    todo = list(unfinished(plans, root, emit))
    if not todo:
        return dict
    if processes()[0] == 0:  # what cannot be written to is said once, and not by each run
        for folder in {plan.folder(root).parent for plan in todo}:
            folder.mkdir(parents=True, exist_ok=True)
    placement = workers.resolve(wishes)
    for name in sorted({plan.spec.data.corpus for plan in todo} - {openwebtext.NAME}):
        corpora.load(name, lambda text: emit(Line(text)))  # once, before several workers need it at the same time
    heard: list[float] = []  # when the first event came: they may be trained before they are waited for

    def hear(event: Event) -> None:
        if not heard:
            heard.append(time.perf_counter())
        emit(event)

    trained = workers.begin(todo, root, placement, hear)

    def end() -> dict[str, Status]:
        began = min([time.perf_counter(), *heard])
        emit(Started(title, len(todo)))
        statuses: dict[str, Status] = {}
        try:
            statuses = trained()
        finally:
            stopped = [plan for plan in todo if statuses.get(plan.name) == Status.STOPPED]
            not_begun = sum(log.read_manifest(plan.folder(root)) is None for plan in stopped)
            emit(AllEnded(statuses, time.perf_counter() - began, not_begun))
        return statuses

    return end


def unfinished(plans: Sequence[Plan], root: Path, emit: Emit) -> Iterator[Plan]:
    """The plans that are to be trained; emits the state of every plan's folder."""
    for plan in plans:
        current = state.inspect(plan, root)
        emit(Inspected(plan.name, current))
        if current.action != Action.SKIP or processes()[1] > 1:  # the processes of a group skip it together
            yield plan
