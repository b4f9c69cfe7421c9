"""Sees to it that the tokens which runs read are here before they are asked for."""

from collections.abc import Iterable

from runner.data import corpora, dataset, hub, openwebtext, shards
from runner.errors import Absent
from runner.launch.events import Line, Loaded, Loading, Tell
from runner.plan.experiment import Experiment
from runner.plan.plan import Plan


def preferred(loaded: Experiment, profile: str, tell: Tell) -> None:
    """Load the corpus for which a profile names a stand-in, or say that the stand-in is read. To be called before runs
    are planned, as their data depend on it."""
    name = loaded.preferred(profile)
    if name is None or corpora.here(name):
        return
    try:
        corpora.load(name, lambda text: tell(Line(text)))
    except (hub.Unreachable, Absent) as error:
        stand_in = loaded.plans(profile)[0].spec.data.corpus
        tell(Line(f"{error}; without it {loaded.name} reads {stand_in} instead, and its figures say so"))


def wanted(plans: Iterable[Plan]) -> int:
    """How many tokens of openwebtext the plans read."""
    return max((dataset.last(p.spec.data) for p in plans if p.spec.data.corpus == openwebtext.NAME), default=0)


def here(tokens: int) -> bool:
    """Whether so many tokens of openwebtext were loaded before."""
    return sum(shard.tokens for shard in shards.read_index(openwebtext.folder())) >= tokens


def load(tokens: int, tell: Tell) -> None:
    """Load at least so many tokens of openwebtext, and say what is there."""
    name = openwebtext.NAME
    try:
        stream = openwebtext.load(
            tokens, lambda text: tell(Line(text)), lambda progress: tell(Loading(name, tokens, progress))
        )
    finally:
        tell(Loaded(name))
    documents = sum(shard.documents for shard in stream.shards)
    tell(
        Line(
            f"{name}: {len(stream):,} tokens, {documents:,} documents, {len(stream.shards)} shards, "
            f"in {openwebtext.folder()}"
        )
    )
