"""A planned run: its specification and its name."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runner.plan.spec import RunSpec


@dataclass(frozen=True)
class Plan:
    """A run that an experiment plans; `placement` has the settings of this run that override those of its sweep."""

    experiment: str
    profile: str
    name: str
    spec: RunSpec
    placement: dict[str, Any] = field(default_factory=dict, hash=False)

    def folder(self, root: Path) -> Path:
        """The run's folder, `<root>/<experiment>/<profile>/<name>`."""
        return root / self.experiment / self.profile / self.name
