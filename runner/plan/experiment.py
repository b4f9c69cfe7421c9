"""Experiments: loads their TOML files, and expands them into the runs of a profile."""

import difflib
import itertools
import re
import tomllib
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from runner.data import corpora, dataset
from runner.data.spec import DataSpec
from runner.errors import UserError
from runner.files import SCRATCH
from runner.models import registry
from runner.models.registry import ModelSpec
from runner.plan import budget, presets
from runner.plan.placement import checked
from runner.plan.plan import Plan
from runner.plan.spec import RunSpec, TrainSpec, check, from_dict
from runner.settings import OTHER_NAMES, build, need

FOLDER = Path(__file__).parents[1] / "experiments"
# Keys of a profile that are no settings of a run:
OF_PROFILES = ("seeds", "first_seeds", "sittings", "placement", "axes", "stand_in")
KEYS = ("title", "name", "axes", "profiles", "rule", "baselines")
NAMED = re.compile(r"[\w,=+-][\w.,=+-]*")  # what a run, and so a folder, can be called
LONGEST = 120  # characters of the name of a single run
APART = timedelta(hours=6)  # between two sittings of one measurement, see `Experiment.sittings`


@dataclass(frozen=True)
class Experiment:
    """A parsed experiment file.

    pattern    the format of its runs' names, such as "r{mlp_ratio}-s{seed}"
    axes       what is swept: the values of each axis, see `plan`
    profiles   the tables of each profile, as the file has them
    where      the file's name, for errors
    rule       the table [rule], see `runner.plan.rules`; None where there is none
    baselines  whether n-grams are counted beside its runs
    limit      how many of a profile's seeds are planned, the first ones; None for all
    """

    name: str
    title: str
    pattern: str
    axes: dict[str, list[Any]]
    profiles: dict[str, dict[str, Any]]
    where: str
    rule: dict[str, Any] | None = None
    baselines: bool = True
    limit: int | None = None

    def placement(self, profile: str) -> dict[str, Any]:
        """The profile's placement settings: where and how its runs are trained, which is no part of their identity."""
        return dict(_table(self._profile(profile), "placement", f"{self.where} [profiles.{profile}]"))

    def seeds(self, profile: str) -> int:
        """How many paired seeds the profile has; seeds are 0, 1, …"""
        table = self._profile(profile)
        if "seed" in table:
            raise UserError(
                f"{self.where} [profiles.{profile}]: seed is no setting; seeds = 2 trains the seeds 0 and 1"
            )
        seeds = table.get("seeds", 1)
        if type(seeds) is not int or seeds < 1:
            raise UserError(
                f"{self.where} [profiles.{profile}]: seeds = {seeds!r} must be a whole number of at least 1"
            )
        return seeds

    def first_seeds(self, profile: str) -> int:
        """How many of the profile's seeds `make reproduce` trains unless it is told otherwise. All, unless the profile
        says fewer: enough to see an effect in bearable time, where the others are there to be sure of it."""
        seeds, first = self.seeds(profile), self._profile(profile).get("first_seeds")
        if first is not None and (type(first) is not int or not 1 <= first <= seeds):
            raise UserError(
                f"{self.where} [profiles.{profile}]: first_seeds = {first!r} must be a whole number from 1 to "
                f"seeds = {seeds}"
            )
        return first or seeds

    def sittings(self, profile: str) -> list[range]:
        """The profile's seeds by sitting, one for all unless it says otherwise.

        Seconds that are measured within the same hour share what else the machine was doing. An experiment about them
        is trained in several sittings, `APART` from each other, with as many seeds in each. Seeds beyond `limit` are
        left out.
        """
        seeds, table = self.seeds(profile), self._profile(profile)
        sittings = table.get("sittings", 1)
        if type(sittings) is not int or sittings < 1 or seeds % sittings:
            raise UserError(
                f"{self.where} [profiles.{profile}]: sittings = {sittings!r} must be a whole number that divides "
                f"seeds = {seeds}: {', '.join(str(n) for n in range(1, seeds + 1) if seeds % n == 0)}"
            )
        each, stop = seeds // sittings, min(seeds, self.limit or seeds)
        return [range(first, min(first + each, stop)) for first in range(0, stop, each)]

    def preferred(self, profile: str) -> str | None:
        """The corpus of a profile for which the profile names a stand-in, None where it names none. The stand-in is
        read as long as this corpus is neither in the cache nor in RUNNER_DATA."""
        table, where = self._profile(profile), f"{self.where} [profiles.{profile}]"
        if "stand_in" not in table:
            return None
        corpus = _table(table, "data", where).get("corpus")
        need(where, isinstance(corpus, str), "stand_in needs data.corpus, the name of the corpus that it stands in for")
        return str(corpus)

    def axes_of(self, profile: str) -> dict[str, list[Any]]:
        """The axes of a profile: its own, or else those of the experiment."""
        return _axes(self._profile(profile).get("axes", self.axes), f"{self.where} [profiles.{profile}]")

    def plans(self, profile: str, axes: dict[str, list[Any]] | None = None) -> list[Plan]:
        """All runs of the profile, up to `limit`, with `axes` in place of its own where given. They are ordered seed by
        seed, so that a stopped sweep has complete comparisons."""
        for axis, values in (axes or {}).items():
            _arms(axis, values, self.where)
        axes = self.axes_of(profile) | (axes or {})
        plans = [
            self.plan(profile, dict(zip(axes, values, strict=True)), seed)
            for seed in itertools.chain.from_iterable(self.sittings(profile))
            for values in itertools.product(*axes.values())
        ]
        twice = [name for name, count in Counter(plan.name for plan in plans).items() if count > 1]
        if twice:
            raise UserError(
                f"{self.where}: several runs are called {twice[0]}: use all axes ({', '.join(axes)}) in "
                f"name = {self.pattern!r}"
            )
        return plans

    def plan(self, profile: str, point: dict[str, Any], seed: int, given: str = "") -> Plan:
        """One run: the settings of the profile, overridden by those of `point`.

        A point has a value for each axis. For an axis that is a setting (a dotted path) it is the value of that
        setting; for any other axis it is an arm: a table of settings with a `name`. `given` is text for errors that
        says which settings came from the command line.
        """
        tables = {k: v for k, v in self._profile(profile).items() if k not in OF_PROFILES}
        where = f"{self.where} [profiles.{profile}]{given}"
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
                    if path in ("train.steps", "train.tokens"):  # each replaces the other
                        tables["train"].pop("tokens" if path == "train.steps" else "steps", None)
        spec = replace(from_dict(_resolved(tables, where), where), seed=seed)
        labels = {axis.rsplit(".", 1)[-1]: value for axis, value in point.items()}
        labels |= {p.rsplit(".", 1)[-1]: getattr_path(spec, p) for p in (*self.axes, *point) if hasattr_path(spec, p)}
        labels |= {axis: arm["name"] for axis, arm in point.items() if isinstance(arm, dict)}
        try:
            name = self.pattern.format(seed=seed, **labels)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"{self.where}: name = {self.pattern!r} cannot be formatted ({error}): it may use seed and the "
                f"last parts of the axes: {', '.join(point)}"
            ) from None
        if not NAMED.fullmatch(name):
            raise UserError(f"{self.where}: a run cannot be called {name!r}: use letters, digits and . , = + - _")
        return Plan(self.name, profile, name, check(spec, where), checked(placement, f"{where}: "))

    def variant(self, profile: str, settings: dict[str, Any], seed: int) -> Plan:
        """A run of the profile with `settings` (by axis or dotted path) from the command line. Of an axis it takes what
        `settings` names; else the default of that setting, where the axis has it; else the first.

        Returns the planned run where the experiment has one with the same spec, else a run of the experiment `SCRATCH`.
        """
        axes, point = self.axes_of(profile), {}
        settings = {_known(path): value for path, value in settings.items()}
        for axis, arms in axes.items():
            if isinstance(arms[0], dict):
                by_name = {arm["name"]: arm for arm in arms}
                chosen = settings.get(axis, arms[0]["name"])
                if not isinstance(chosen, str) or chosen not in by_name:
                    raise UserError(
                        f"{self.where}: {axis} has no arm {chosen!r}; known: {', '.join(map(repr, by_name))}"
                    )
                point[axis] = by_name[chosen]
        usual: RunSpec | None = None
        with suppress(UserError):  # such as a block that is longer than a split
            usual = self.plan(profile, point, seed).spec
        for axis, values in axes.items():
            if axis not in point:
                default = getattr_path(usual, axis) if usual and hasattr_path(usual, axis) else None
                point[axis] = settings.get(axis, default if default in values else values[0])
        extra = {path: value for path, value in settings.items() if path not in point}
        given = f" with {', '.join(f'{path} = {value!r}' for path, value in settings.items())}" if settings else ""
        plan = self.plan(profile, point | extra, seed, given)
        for known_plan in self.plans(profile):
            if known_plan.spec == plan.spec and known_plan.placement == plan.placement:
                return known_plan
        label = "".join(f"-{p.rsplit('.', 1)[-1]}={v}" for p, v in sorted(extra.items()) if p not in axes)
        name = _safe(f"{self.name}-{plan.name}{label}".replace(" ", ""))
        return replace(plan, experiment=SCRATCH, name=name)

    def _profile(self, profile: str) -> dict[str, Any]:
        if profile not in self.profiles:
            raise UserError(f"unknown profile {profile!r} of {self.name}; known: {', '.join(self.profiles)}")
        return _table(self.profiles, profile, f"{self.where} [profiles]")


def names(folder: Path = FOLDER) -> list[str]:
    """The names of all experiments."""
    return sorted(path.stem for path in folder.rglob("*.toml"))


def profiles() -> list[str]:
    """The names of all profiles that an experiment has."""
    return list(dict.fromkeys(profile for name in names() for profile in load(name).profiles))


def load(name: str, folder: Path = FOLDER) -> Experiment:
    """Load an experiment by its name, or by the path of a TOML file. Raises a `UserError` for an unknown name, and for
    a file that is no experiment."""
    shipped: dict[str, Path] = {}
    for file in sorted(folder.rglob("*.toml")):
        if file.stem in shipped:
            raise UserError(f"{file} and {shipped[file.stem]} are experiments of one name: rename one of them")
        shipped[file.stem] = file
    path = Path(name) if name.endswith(".toml") else shipped.get(name)
    if path is not None and name.endswith(".toml") and not path.is_file():
        raise UserError(
            f"{path} does not exist: name the TOML file of an experiment, or an experiment "
            f"({', '.join(sorted(shipped))})"
        )
    if path is None:
        known = sorted(shipped)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
        raise UserError(f"unknown experiment {name!r}{hint}")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise UserError(f"{path} is no text in UTF-8, which TOML requires: save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path}: {error}") from None
    if path.stem == SCRATCH or (path.stem in shipped and path.resolve() != shipped[path.stem].resolve()):
        raise UserError(
            f"{path}: its runs would lie among those of {path.stem!r}, which is another experiment's name: name the "
            "file otherwise"
        )
    if not NAMED.fullmatch(path.stem):
        raise UserError(f"{path}: an experiment cannot be called {path.stem!r}: use letters, digits and . , = + - _")
    for key in data:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            raise UserError(f"{path}: unknown key {key}{f'; did you mean {near[0]}?' if near else ''}")
    for key in ("title", "name", "axes", "profiles"):
        if key not in data:
            raise UserError(f"{path}: {key} is missing: an experiment has title, name, axes and profiles")
    for key, kind in (("title", str), ("name", str), ("axes", dict), ("profiles", dict)):
        if not isinstance(data[key], kind):
            raise UserError(f"{path}: {key} must be a {'text' if kind is str else 'table'}, not {data[key]!r}")
    for profile in data["profiles"]:
        if not NAMED.fullmatch(profile):
            raise UserError(f"{path}: a profile cannot be called {profile!r}: use letters, digits and . , = + - _")
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
    """A named model, or a kind of model at its default sizes, with the `settings` of a user, by dotted path."""
    for path in settings:
        if not path.startswith("model."):
            raise UserError(f"{path} is no setting of the model {name}: leave it out")
    kind, known = name in registry.KINDS, [*presets.CONFIGS, *registry.KINDS]
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise UserError(f"unknown model {name!r}; {hint}")
    tables: dict[str, Any] = {"model": {"kind" if kind else "config": name}}
    for path, value in settings.items():
        tables = _with(tables, path.split("."), value, name)
    return _model(_resolved({"model": tables["model"]}, name)["model"], name)


def _model(table: dict[str, Any], where: str) -> ModelSpec:
    """The checked spec of a model's table alone."""
    spec: ModelSpec = build(registry.spec_of(table, where), table, where, "model.")
    spec.check(partial(need, where))
    return spec


def single(name: str, corpus: str, settings: dict[str, Any], seed: int) -> Plan:
    """A run of a named model, of the experiment `SCRATCH`, with `settings` (by dotted path) from the command line.

    The defaults are those of the public repository of the 3x note: 504 (12 x 42) sequences per step, 4768 steps. Of
    OpenWebText, the first 2**20 tokens are for validation and as many as the run reads for training; a small corpus is
    used completely, its first twentieth for validation.
    """
    where = f"runner train {name}"
    need(where, isinstance(corpus, str), f"corpus must be text, not {corpus!r}")
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
        train_spec = from_dict({"train": tables["train"]}, where).train
        block = _model(tables["model"], where).block_size
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
    """The name with characters replaced that are unsafe in the name of a folder, and cut where it is too long."""
    safe = re.sub(r"[^\w.,=+-]+", "_", name)
    return safe if len(safe) <= LONGEST else f"{safe[: LONGEST - 9]}-{sha256(name.encode()).hexdigest()[:8]}"


def _known(path: str) -> str:
    """The dotted path with the name of its setting in this project."""
    head, dot, name = path.rpartition(".")
    return f"{head}{dot}{OTHER_NAMES.get(name, name)}"


def getattr_path(spec: Any, path: str) -> Any:
    """The setting at a dotted path: `spec.model.mlp_ratio` for "model.mlp_ratio". AttributeError where there is
    none."""
    for part in path.split("."):
        spec = getattr(spec, part)
    return spec


def hasattr_path(spec: Any, path: str) -> bool:
    """Whether there is a setting at this dotted path."""
    try:
        getattr_path(spec, path)
    except AttributeError:
        return False
    return True


def _axes(axes: dict[str, Any], where: str) -> dict[str, list[Any]]:
    if not isinstance(axes, dict):
        raise UserError(f"{where}: axes must be a table, not {axes!r}")
    for axis, values in axes.items():
        if axis == "seed":
            raise UserError(f"{where}: seed is no axis; seeds = 2 in a profile trains the seeds 0 and 1")
        if values == []:
            raise UserError(f"{where}: axis {axis} is empty: give it at least one value, or remove the axis")
        if not isinstance(values, list):
            raise UserError(f"{where}: axis {axis} must be a list of values, such as [1, 2, 3]")
        if twice := [value for value in values if values.count(value) > 1]:
            raise UserError(f"{where}: axis {axis} has {twice[0]!r} twice: remove one")
        _arms(axis, values, where)
    return axes


def _arms(axis: str, values: list[Any], where: str) -> None:
    """Raise a `UserError` for an arm without a name, and for arms beside values."""
    if len({isinstance(arm, dict) for arm in values}) > 1:
        raise UserError(f"{where}: axis {axis} has arms and values: write all of them as arms, with names, or none")
    for arm in values:
        if isinstance(arm, dict) and not isinstance(arm.get("name"), str):
            raise UserError(f'{where}: an arm of axis {axis} has no name; give one, such as {{ name = "wide", … }}')


def _table(tables: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    """The table of this name, empty where there is none. Raises a `UserError` where it is something else."""
    found = tables.get(name, {})
    if not isinstance(found, dict):
        raise UserError(f"{where}: {name} must be a table, not {found!r}")
    return found


def _leaves(table: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Dotted paths and values of nested tables."""
    found = []
    for key, value in table.items():
        found += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [(prefix + key, value)]
    return found


def _resolved(tables: dict[str, Any], where: str) -> dict[str, Any]:
    """The tables with `model.config`, a model's name, replaced by the settings of that model, and `train.tokens`, a
    budget, replaced by the number of steps that it lasts."""
    model, train = dict(_table(tables, "model", where)), dict(_table(tables, "train", where))
    if "config" in model:
        config = asdict(presets.named(model.pop("config")))
        given = {OTHER_NAMES.get(key, key) for key in model}
        model = {key: value for key, value in config.items() if key not in given} | model
    if "tokens" in train:
        if "steps" in train:
            raise UserError(f"{where}: train.tokens and train.steps both set the length of the run: give one of them")
        tokens = budget.tokens(str(train.pop("tokens")))
        size = {key: value for key, value in train.items() if key == "batch_size"}
        per_step = build(TrainSpec, size, where, "train.").batch_size * _model(model, where).block_size
        train["steps"] = tokens // per_step
        if not train["steps"]:
            raise UserError(f"{where}: train.tokens = {tokens:,} are less than the {per_step:,} tokens of one step")
    return tables | {"model": model, "train": train}


def _with(tables: dict[str, Any], path: list[str], value: Any, where: str) -> dict[str, Any]:
    """A copy of nested `tables` with `value` at `path`."""
    head, *rest = path
    if not rest:
        return {**tables, head: value}
    inner = tables.get(head, {})
    if not isinstance(inner, dict):
        raise UserError(f"{where}: {head} is a value, not a table")
    return {**tables, head: _with(inner, rest, value, where)}
