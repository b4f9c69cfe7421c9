"""The messages between the caller and a worker on another machine."""

from dataclasses import dataclass
from typing import Any

from runner.evidence.status import Status
from runner.launch.events import Line
from runner.plan.placement import Placement
from runner.plan.plan import Plan
from runner.training.progress import Progress

PULSE = 0.5  # seconds between a worker's messages, and between its looks at the stop flag


@dataclass(frozen=True)
class Order:
    """A run for a worker to train.

    code        the fingerprint of the caller's code
    text        a Ray reference to the corpus' bytes; None where the worker loads the corpus itself
    checkpoint  a Ray reference to the packed checkpoint to resume from; None where there is none
    """

    plan: Plan
    placement: Placement
    code: str
    text: Any | None
    checkpoint: Any | None


@dataclass(frozen=True)
class Accepted:
    """The machine with address `ip` has started with the run."""

    ip: str


@dataclass(frozen=True)
class Manifest:
    """The manifest of a run that has started, as the bytes of its file."""

    content: bytes


@dataclass(frozen=True)
class Saved:
    """A new checkpoint of the run, as `runner.evidence.checkpoint.pack` returns it."""

    packed: dict[str, bytes]


@dataclass(frozen=True)
class Result:
    """The status of a run that ended or was stopped, and its evidence as content by file name; empty where it was
    stopped."""

    status: Status
    evidence: dict[str, bytes]


Message = Line | Progress | Accepted | Manifest | Saved | Result  # from a worker to the caller
