"""Experiments: one TOML file each, expanded into the runs of one profile."""

import difflib
import itertools
import re
import tomllib
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from runner.data import corpora, dataset
from runner.data.spec import DataSpec
from runner.errors import UserError
from runner.models.registry import ModelSpec
from runner.plan import budget, presets
from runner.plan.placement import checked
from runner.plan.plan import Plan
from runner.plan.spec import check, from_dict
from runner.settings import OTHER_NAMES

FOLDER = Path(__file__).parents[1] / "experiments"
WHOLE = {"data": {"train": [0, 2**31], "val": [0, 2**31]}}  # room for any block, where no text is meant
OF_PROFILES = ("seeds", "placement", "axes", "stand_in")  # what a profile says besides the settings of a run
SCRATCH = "scratch"  # where runs go that a person varied by hand, so that no experiment's figures take them in


@dataclass(frozen=True)
class Experiment:
    """A parsed experiment file."""

    name: str
    title: str
    pattern: str
    axes: dict[str, list[Any]]
    profiles: dict[str, dict[str, Any]]
    where: str
    rule: dict[str, Any] | None = None
    baselines: bool = True  # whether n-grams are counted beside its runs

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

    def preferred(self, profile: str) -> str | None:
        """The corpus of a profile for which the profile names a stand-in, None where it names none. The stand-in is
        read as long as this corpus is neither in the cache nor in RUNNER_DATA."""
        table = self._profile(profile)
        return str(table["data"]["corpus"]) if "stand_in" in table else None

    def axes_of(self, profile: str) -> dict[str, list[Any]]:
        """What the profile sweeps: its own axes, or those of the experiment."""
        return _axes(self._profile(profile).get("axes", self.axes), f"{self.where} [profiles.{profile}]")

    def plans(self, profile: str, axes: dict[str, list[Any]] | None = None) -> list[Plan]:
        """Every run of the profile, seed by seed, so that a stopped sweep holds whole comparisons."""
        axes = self.axes_of(profile) | (axes or {})
        plans = [
            self.plan(profile, dict(zip(axes, values, strict=True)), seed)
            for seed in range(self.seeds(profile))
            for values in itertools.product(*axes.values())
        ]
        twice = [name for name, count in Counter(plan.name for plan in plans).items() if count > 1]
        if twice:
            raise UserError(
                f"{self.where}: several runs are called {twice[0]}: let name = {self.pattern!r} tell apart "
                f"what is swept ({', '.join(axes)})"
            )
        return plans

    def plan(self, profile: str, point: dict[str, Any], seed: int) -> Plan:
        """One run: the profile with the settings of `point` on top. A point is a value for each axis: of an axis that
        is a setting (a dotted path), its value; of any other, an arm: a table of settings and the `name` they have."""
        tables = {k: v for k, v in self._profile(profile).items() if k not in OF_PROFILES}
        where = f"{self.where} [profiles.{profile}]"
        preferred = self.preferred(profile)
        if preferred and not corpora.here(preferred):
            tables["data"] = self._profile(profile)["stand_in"]
        placement = {}
        for axis, arm in point.items():
            for path, value in _leaves(arm) if isinstance(arm, dict) else [(axis, arm)]:
                if path.startswith("placement."):
                    placement[path.removeprefix("placement.")] = value
                elif path != "name":
                    tables = _with(tables, path.split("."), value, where)
                    if path in ("train.steps", "train.tokens"):  # the one takes the place of the other
                        tables["train"].pop("tokens" if path == "train.steps" else "steps", None)
        spec = replace(from_dict(_resolved(tables, where), where), seed=seed)
        labels = {axis.rsplit(".", 1)[-1]: value for axis, value in point.items()}
        labels |= {p.rsplit(".", 1)[-1]: getattr_path(spec, p) for p in (*self.axes, *point) if hasattr_path(spec, p)}
        labels |= {axis: arm["name"] for axis, arm in point.items() if isinstance(arm, dict)}
        try:
            name = self.pattern.format(seed=seed, **labels)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.where}: name = {self.pattern!r} cannot be filled ({error}); it may use seed and the "
                f"last parts of the axes: {', '.join(point)}"
            ) from None
        if not re.fullmatch(r"[\w.,=+-]+", name) or name.startswith("."):
            raise UserError(f"{self.where}: a run cannot be called {name!r}: use letters, digits and . , = + - _")
        return Plan(self.name, profile, name, check(spec, where), checked(placement, f"{where}: "))

    def variant(self, profile: str, settings: dict[str, Any], seed: int) -> Plan:
        """A run with a person's own settings; one that the experiment does not plan goes to the scratch folder. Of
        arms the first is taken, or the one that `settings` names."""
        axes, point = self.axes_of(profile), {}
        for axis, arms in axes.items():
            if isinstance(arms[0], dict):
                known = {arm["name"]: arm for arm in arms}
                wish = settings.get(axis, arms[0]["name"])
                if wish not in known:
                    raise UserError(f"{self.where}: {axis} has no arm {wish!r}; known: {', '.join(known)}")
                point[axis] = known[wish]
            elif axis == "model.config":
                point[axis] = settings.get(axis, arms[0])
        extra = {path: value for path, value in settings.items() if path not in point}
        plan = self.plan(profile, point | extra, seed)
        for known_plan in self.plans(profile):
            if known_plan.spec == plan.spec and known_plan.placement == plan.placement:
                return known_plan
        label = "".join(f"-{p.rsplit('.', 1)[-1]}={v}" for p, v in sorted(extra.items()) if p not in axes)
        name = _safe(f"{self.name}-{plan.name}{label}".replace(" ", ""))
        return replace(plan, experiment=SCRATCH, name=name)

    def _profile(self, profile: str) -> dict[str, Any]:
        if profile not in self.profiles:
            raise UserError(f"unknown profile {profile!r} of {self.name}; known: {', '.join(self.profiles)}")
        return self.profiles[profile]


def names(folder: Path = FOLDER) -> list[str]:
    """The experiments that exist."""
    return sorted(path.stem for path in folder.rglob("*.toml"))


def load(name: str, folder: Path = FOLDER) -> Experiment:
    """An experiment by its name, or by the path of a TOML file."""
    path = Path(name) if name.endswith(".toml") else next(folder.rglob(f"{name}.toml"), None)
    if path is None or not path.is_file():
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
    if not isinstance(data.get("rule", {}), dict):
        raise UserError(f"{path}: rule must be a table, not {data['rule']!r}")
    counted = data.get("baselines", True)
    if not isinstance(counted, bool):
        raise UserError(f"{path}: baselines must be true or false, not {counted!r}")
    axes = _axes(data["axes"], str(path))
    return Experiment(
        path.stem, data["title"], data["name"], axes, data["profiles"], path.name, data.get("rule"), counted
    )


def model(name: str, settings: dict[str, Any]) -> ModelSpec:
    """A named model with a person's settings on top."""
    tables: dict[str, Any] = {"model": {"config": name}}
    for path, value in settings.items():
        tables = _with(tables, path.split("."), value, name)
    return from_dict(_resolved({"model": tables["model"]}, name) | WHOLE, name).model


def single(name: str, corpus: str, settings: dict[str, Any], seed: int) -> Plan:
    """A run of a named model by itself, in the scratch folder, trained as the public repository of the 3x note trains
    (12 x 42 sequences a step, 4768 steps), with a person's settings on top.

    Of OpenWebText it takes as much as it trains on, after a million tokens for validation; of a small corpus all.
    """
    where = f"runner train {name}"
    train: dict[str, Any] = {"steps": 4768, "batch_size": 504, "learning_rate": 1.8e-3, "min_learning_rate": 0.0}
    if "train.batch_size" not in settings:
        train["grad_accumulation"] = 42
    tables: dict[str, Any] = {"model": {"config": name}, "train": train, "eval": {"every": 128, "splits": ["val"]}}
    for path, value in settings.items():
        tables = _with(tables, path.split("."), value, where)
        if path == "train.tokens":
            tables["train"].pop("steps", None)
    tables = _resolved(tables, where)
    steps = tables["train"]["steps"]
    if isinstance(steps, int):  # a short run has no room for 256 steps of warm-up and 1024 of warm-down
        tables["train"] = {"warmup_steps": min(256, steps // 10), "warmdown_steps": min(1024, steps // 4)} | tables[
            "train"
        ]
    if corpus == "openwebtext":
        train_spec, block = from_dict({"train": tables["train"]}, where).train, tables["model"]["block_size"]
        seen = train_spec.steps * train_spec.batch_size * block
        spans = {"val": [0, 2**20], "train": [2**20, 2**20 + max(seen, block + 1)]}
    else:
        count = len(dataset.load(DataSpec(corpus=corpus, train=(0, 1), val=(0, 1), tokenizer="gpt2")).ids)
        spans = {"val": [0, count // 20], "train": [count // 20, count]}
    tables["data"] = {"corpus": corpus, "tokenizer": "gpt2", **spans} | tables.get("data", {})
    label = "".join(f"-{path.rsplit('.', 1)[-1]}={value}" for path, value in sorted(settings.items()))
    spec = check(replace(from_dict(tables, where), seed=seed), where)
    return Plan(SCRATCH, "paper", _safe(f"{name}-{corpus}{label}-s{seed}"), spec)


def _safe(name: str) -> str:
    """A name that a folder can have."""
    return re.sub(r"[^\w.,=+-]+", "_", name)


def getattr_path(spec: Any, path: str) -> Any:
    """`spec.model.mlp_ratio` for "model.mlp_ratio"."""
    for part in path.split("."):
        spec = getattr(spec, part)
    return spec


def hasattr_path(spec: Any, path: str) -> bool:
    """Whether there is such a setting."""
    try:
        getattr_path(spec, path)
    except AttributeError:
        return False
    return True


def _axes(axes: dict[str, Any], where: str) -> dict[str, list[Any]]:
    if not isinstance(axes, dict):
        raise UserError(f"{where}: axes must be a table, not {axes!r}")
    for axis, values in axes.items():
        if not isinstance(values, list) or not values:
            raise UserError(f"{where}: axis {axis} must be a list of values, such as [1, 2, 3]")
        for arm in values:
            if isinstance(arm, dict) and not isinstance(arm.get("name"), str):
                raise UserError(f'{where}: an arm of axis {axis} has no name; give one, such as {{ name = "wide", … }}')
    return axes


def _leaves(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted paths and values of nested tables."""
    found = []
    for key, value in table.items():
        found += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return found


def _resolved(tables: dict[str, Any], where: str) -> dict[str, Any]:
    """Tables in which `model.config` has become the settings of the model of that name, and `train.tokens`, a budget,
    the steps that it lasts."""
    model, train = dict(tables.get("model", {})), dict(tables.get("train", {}))
    if "config" in model:
        config = asdict(presets.named(model.pop("config")))
        given = {OTHER_NAMES.get(key, key) for key in model}
        model = {key: value for key, value in config.items() if key not in given} | model
    if "tokens" in train:
        if "steps" in train:
            raise UserError(f"{where}: train.tokens and train.steps say the same twice; give one of them")
        tokens = budget.tokens(str(train.pop("tokens")))
        size = {key: value for key, value in train.items() if key == "batch_size"}
        spec = from_dict({"model": model, "train": size} | WHOLE, where)
        per_step = spec.train.batch_size * spec.model.block_size
        train["steps"] = tokens // per_step
        if not train["steps"]:
            raise UserError(f"{where}: train.tokens = {tokens:,} are less than the {per_step:,} tokens of one step")
    return tables | {"model": model, "train": train}


def _with(tables: dict[str, Any], path: list[str], value: Any, where: str) -> dict[str, Any]:
    """A copy of nested `tables` with one leaf set."""
    head, *rest = path
    if not rest:
        return {**tables, head: value}
    inner = tables.get(head, {})
    if not isinstance(inner, dict):
        raise UserError(f"{where}: {head} is a value, not a table")
    return {**tables, head: _with(inner, rest, value, where)}
