"""Loads what runs read before they start: the corpus that a stand-in replaces, and the tokens of OpenWebText."""

from collections.abc import Iterable

from runner.data import corpora, dataset, hub, openwebtext
from runner.errors import Absent
from runner.launch.events import Emit, Line, Loaded, Loading
from runner.plan.experiment import Experiment
from runner.plan.plan import Plan


def preferred(loaded: Experiment, profile: str, emit: Emit) -> None:
    """Load the corpus for which a profile names a stand-in, or say that the stand-in is read. To be called before runs
    are planned, as their data depend on it."""
    name = loaded.preferred(profile)
    if name is None or corpora.here(name):
        return
    try:
        corpora.load(name, lambda text: emit(Line(text)))
    except (hub.Unreachable, Absent) as error:
        stand_in = loaded.plans(profile)[0].spec.data.corpus
        emit(Line(f"{error}; without it {loaded.name} reads {stand_in} instead, and its figures say so"))


def wanted(plans: Iterable[Plan]) -> int:
    """How many tokens of openwebtext the plans need; 0 where none reads it."""
    return max((dataset.last(p.spec.data) for p in plans if p.spec.data.corpus == openwebtext.NAME), default=0)


def load(tokens: int, emit: Emit) -> None:
    """Load at least this many tokens of openwebtext; emits the progress, and at the end how much the cache holds."""
    name = openwebtext.NAME
    try:
        stream = openwebtext.load(
            tokens, lambda text: emit(Line(text)), lambda progress: emit(Loading(name, tokens, progress))
        )
    finally:
        emit(Loaded(name))
    documents = sum(shard.documents for shard in stream.shards)
    emit(
        Line(
            f"{name}: {len(stream):,} tokens, {documents:,} documents, {len(stream.shards)} shards, "
            f"in {openwebtext.folder()}"
        )
    )
