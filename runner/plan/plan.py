"""A planned run: what it is, and what it is called."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.plan.spec import RunSpec


@dataclass(frozen=True)
class Plan:
    """One run as an experiment means it: what it is (spec) and what it is called."""

    experiment: str
    profile: str
    name: str
    spec: RunSpec
    placement: dict[str, Any] = field(default_factory=dict, hash=False)  # what this run asks for, apart from its sweep

    def folder(self, root: Path) -> Path:
        """Where the run leaves its evidence."""
        return root / self.experiment / self.profile / self.name
