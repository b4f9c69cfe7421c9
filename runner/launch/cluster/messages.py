"""What passes between the caller and a worker on another machine."""

from dataclasses import dataclass
from typing import Any

from runner.evidence.status import Status
from runner.launch.events import Line
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.training.progress import Progress

PULSE = 0.5  # seconds between a worker's messages, and until it hears that it should stop


@dataclass(frozen=True)
class Order:
    """What a worker is given; `text` and `commit` are references to the corpus' bytes and to a packed checkpoint."""

    plan: Plan
    placement: Placement
    code: str
    text: Any | None
    commit: Any | None


@dataclass(frozen=True)
class Taken:
    """A machine has begun with a run."""

    where: str


@dataclass(frozen=True)
class Manifest:
    """The run's manifest as it begins."""

    content: bytes


@dataclass(frozen=True)
class Commit:
    """A commit of the run's checkpoint, as `runner.evidence.checkpoint.pack` makes it."""

    packed: dict[str, bytes]


@dataclass(frozen=True)
class Result:
    """How the run ended, and its evidence by name; none where it has not ended."""

    status: Status
    evidence: dict[str, bytes]


Message = Line | Progress | Taken | Manifest | Commit | Result  # what a worker sends to the caller
