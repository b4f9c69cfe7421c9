"""What a sweep tells while it goes, for a terminal or anybody else to show. Importable without torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.data import openwebtext
from runner.evidence.state import State
from runner.evidence.status import Status
from runner.training.progress import Progress


@dataclass(frozen=True)
class Line:
    """Something that a person should know."""

    text: str


@dataclass(frozen=True)
class Unplanned:
    """A run's folder that no plan of the experiment names."""

    folder: Path


@dataclass(frozen=True)
class Found:
    """What stands in a run's folder, what is done with the run, and why."""

    run: str
    state: State


@dataclass(frozen=True)
class Loading:
    """How far a corpus of `wanted` tokens has been loaded."""

    corpus: str
    wanted: int
    progress: openwebtext.Progress


@dataclass(frozen=True)
class Loaded:
    """A corpus is there."""

    corpus: str


@dataclass(frozen=True)
class Begun:
    """`runs` runs are about to be trained."""

    title: str
    runs: int


@dataclass(frozen=True)
class Ended:
    """One of them has ended."""

    run: str
    status: Status


@dataclass(frozen=True)
class Over:
    """All of them have, with a status each."""

    statuses: dict[str, Status]
    seconds: float


@dataclass(frozen=True)
class Decided:
    """What an experiment's rule says to the runs so far."""

    experiment: str
    reason: str


Event = Line | Unplanned | Found | Loading | Loaded | Begun | Progress | Ended | Over | Decided
Tell = Callable[[Event], None]
