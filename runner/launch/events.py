"""The events that a sweep emits while it runs, for a terminal or another caller to show. Importable without torch."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.data import openwebtext
from runner.evidence.state import State
from runner.evidence.status import Status
from runner.training.progress import Progress


@dataclass(frozen=True)
class Line:
    """A line of text to show: a note or an error."""

    text: str


@dataclass(frozen=True)
class Unplanned:
    """A run's folder that belongs to no plan of the experiment."""

    folder: Path

    def __str__(self) -> str:
        return f"{self.folder.name} is in {self.folder.parent}, but not in the plan: figures leave it out"


@dataclass(frozen=True)
class Inspected:
    """A run's folder was inspected: `state` has the run's status, what the sweep does with it, and why."""

    run: str
    state: State


@dataclass(frozen=True)
class Loading:
    """Progress of loading `wanted` tokens of a corpus."""

    corpus: str
    wanted: int
    progress: openwebtext.Progress


@dataclass(frozen=True)
class Loaded:
    """Loading a corpus has ended, with or without success."""

    corpus: str


@dataclass(frozen=True)
class Started:
    """Training of `runs` runs starts."""

    title: str
    runs: int


@dataclass(frozen=True)
class RunEnded:
    """One of these runs has ended."""

    run: str
    status: Status


@dataclass(frozen=True)
class AllEnded:
    """All of these runs have ended: their statuses by run name, the seconds that they took together, and how many of
    those that were stopped had not begun."""

    statuses: dict[str, Status]
    seconds: float
    not_begun: int = 0

    def __str__(self) -> str:
        counts = {str(status): n for status, n in sorted(Counter(self.statuses.values()).items())}
        if self.not_begun:
            counts[Status.STOPPED] -= self.not_begun
            counts["not begun"] = self.not_begun
        told = ", ".join(f"{n} {word}" for word, n in counts.items() if n)
        return f"{len(self.statuses)} run{'s' * (len(self.statuses) != 1)} in {self.seconds:.0f} s: {told}"


@dataclass(frozen=True)
class Decided:
    """The decision of an experiment's rule, given the runs so far, and its reason."""

    experiment: str
    reason: str

    def __str__(self) -> str:
        return f"{self.experiment}: {self.reason}"


Event = Line | Unplanned | Inspected | Loading | Loaded | Started | Progress | RunEnded | AllEnded | Decided
Emit = Callable[[Event], None]
Ending = Callable[[], dict[str, Status]]  # waits until runs have ended; returns their statuses by run name
