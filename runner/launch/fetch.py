"""Loads the OpenWebText tokens that runs read, before the runs start."""

from collections.abc import Iterable

from runner.data import dataset, openwebtext, shards
from runner.launch.events import Emit, Line, Loaded, Loading
from runner.plan.plan import Plan


def wanted(plans: Iterable[Plan]) -> int:
    """How many tokens of openwebtext the plans need; 0 where none reads it."""
    return max((dataset.last(p.spec.data) for p in plans if p.spec.data.corpus == openwebtext.NAME), default=0)


def loaded(tokens: int) -> bool:
    """Whether at least this many tokens of openwebtext are in the cache already."""
    return sum(shard.tokens for shard in shards.read_index(openwebtext.folder())) >= tokens


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
