"""Experiments: one TOML file each, expanded into the runs of one profile."""

import difflib
import itertools
import re
import tomllib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.spec import RunSpec, check, from_dict

FOLDER = Path(__file__).parent / "experiments"
SCRATCH = "scratch"  # where runs go that a person varied by hand, so that no experiment's figures take them in


@dataclass(frozen=True)
class Plan:
    """One run as an experiment means it: what it is (spec) and what it is called."""

    experiment: str
    profile: str
    name: str
    spec: RunSpec

    def folder(self, root: Path) -> Path:
        """Where the run leaves its evidence."""
        return root / self.experiment / self.profile / self.name


@dataclass(frozen=True)
class Experiment:
    """A parsed experiment file."""

    name: str
    title: str
    pattern: str
    axes: dict[str, list[Any]]
    profiles: dict[str, dict[str, Any]]
    where: str

    def placement(self, profile: str) -> dict[str, Any]:
        """The profile's settings that decide where and how a run goes, never its numbers."""
        return dict(self._profile(profile).get("placement", {}))

    def seeds(self, profile: str) -> int:
        """How many paired seeds the profile trains: 0, 1, …"""
        seeds = self._profile(profile).get("seeds", 1)
        if not isinstance(seeds, int) or seeds < 1:
            raise UserError(
                f"{self.where} [profiles.{profile}]: seeds = {seeds!r} must be a whole number of at least 1"
            )
        return seeds

    def plans(self, profile: str) -> list[Plan]:
        """Every run of the profile, seed by seed, so that a stopped sweep holds whole comparisons."""
        plans = [
            self.plan(profile, dict(zip(self.axes, values, strict=True)), seed)
            for seed in range(self.seeds(profile))
            for values in itertools.product(*self.axes.values())
        ]
        twice = [name for name, count in Counter(plan.name for plan in plans).items() if count > 1]
        if twice:
            raise UserError(
                f"{self.where}: several runs are called {twice[0]}: let name = {self.pattern!r} tell apart "
                f"what is swept ({', '.join(self.axes)})"
            )
        return plans

    def plan(self, profile: str, point: dict[str, Any], seed: int) -> Plan:
        """One run: the profile with the settings of `point` (dotted path → value) on top."""
        tables = {k: v for k, v in self._profile(profile).items() if k not in ("seeds", "placement")}
        where = f"{self.where} [profiles.{profile}]"
        for path, value in point.items():
            tables = _with(tables, path.split("."), value, where)
        spec = replace(from_dict(tables, where), seed=seed)
        try:
            name = self.pattern.format(seed=seed, **{p.rsplit(".", 1)[-1]: getattr_path(spec, p) for p in self.axes})
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.where}: name = {self.pattern!r} cannot be filled ({error}); it may use seed and the "
                f"last parts of the axes: {', '.join(self.axes)}"
            ) from None
        if not re.fullmatch(r"[\w.,=+-]+", name) or name.startswith("."):
            raise UserError(f"{self.where}: a run cannot be called {name!r}: use letters, digits and . , = + - _")
        return Plan(self.name, profile, name, check(spec, where))

    def variant(self, profile: str, settings: dict[str, Any], seed: int) -> Plan:
        """A run with a person's own settings; one that the experiment does not plan goes to the scratch folder."""
        plan = self.plan(profile, settings, seed)
        for known in self.plans(profile):
            if known.spec == plan.spec:
                return known
        extra = "".join(f"-{p.rsplit('.', 1)[-1]}={v}" for p, v in sorted(settings.items()) if p not in self.axes)
        return replace(plan, experiment=SCRATCH, name=f"{self.name}-{plan.name}{extra}".replace(" ", ""))

    def _profile(self, profile: str) -> dict[str, Any]:
        if profile not in self.profiles:
            raise UserError(f"unknown profile {profile!r} of {self.name}; known: {', '.join(self.profiles)}")
        return self.profiles[profile]


def names(folder: Path = FOLDER) -> list[str]:
    """The experiments that exist."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load(name: str, folder: Path = FOLDER) -> Experiment:
    """An experiment by its name, or by the path of a TOML file."""
    path = Path(name) if name.endswith(".toml") else folder / f"{name}.toml"
    if not path.is_file():
        known = names(folder)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
        raise UserError(f"unknown experiment {name!r}{hint}")
    try:
        data = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {error}") from None
    for key in ("title", "name", "axes", "profiles"):
        if key not in data:
            raise UserError(f"{path}: no {key}; an experiment has title, name, axes and profiles")
    for key, kind in (("title", str), ("name", str), ("axes", dict), ("profiles", dict)):
        if not isinstance(data[key], kind):
            raise UserError(f"{path}: {key} must be a {'text' if kind is str else 'table'}, not {data[key]!r}")
    for axis, values in data["axes"].items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{path}: axis {axis} must be a list of values, such as [1, 2, 3]")
    return Experiment(path.stem, data["title"], data["name"], data["axes"], data["profiles"], str(path.name))


def getattr_path(spec: Any, path: str) -> Any:
    """`spec.model.mlp_ratio` for "model.mlp_ratio"."""
    for part in path.split("."):
        spec = getattr(spec, part)
    return spec


def _with(tables: dict[str, Any], path: list[str], value: Any, where: str) -> dict[str, Any]:
    """A copy of nested `tables` with one leaf set."""
    head, *rest = path
    if not rest:
        return {**tables, head: value}
    inner = tables.get(head, {})
    if not isinstance(inner, dict):
        raise UserError(f"{where}: {head} is a value, not a table")
    return {**tables, head: _with(inner, rest, value, where)}
