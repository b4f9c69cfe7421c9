"""What decides a run's numbers, and the identity that follows from it.

A `RunSpec` holds nothing about where or how fast a run goes (device, precision, threads, log cadence): that is
placement, see `runner.placement`. Two runs with one identity have the same numbers on the same kind of machine.
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any

from runner.errors import UserError


@dataclass(frozen=True)
class DataSpec:
    """A corpus and its splits, as half-open ranges of tokens `(start, stop)`."""

    corpus: str = "tiny-shakespeare"
    train: tuple[int, int] = (0, 1_003_854)
    val: tuple[int, int] = (1_003_854, 1_115_394)
    test: tuple[int, int] | None = None

    def splits(self) -> dict[str, tuple[int, int]]:
        """The splits that exist, by name, in the order in which they are evaluated."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: span for name, span in named.items() if span is not None}


@dataclass(frozen=True)
class ModelSpec:
    """A decoder-only transformer. `mlp_ratio` is d_ff / d_model."""

    n_layer: int = 6
    n_head: int = 6
    d_model: int = 384
    block_size: int = 256
    mlp_ratio: float = 4.0
    dropout: float = 0.2

    @property
    def d_ff(self) -> int:
        """Hidden width of the MLP, in units."""
        return max(1, round(self.mlp_ratio * self.d_model))


@dataclass(frozen=True)
class TrainSpec:
    """AdamW with linear warm-up and cosine decay. One step sees `batch_size` windows of `block_size` tokens."""

    steps: int = 5000
    batch_size: int = 64
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-4
    warmup_steps: int = 100
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.1
    grad_clip: float = 1.0


@dataclass(frozen=True)
class EvalSpec:
    """When and how the splits are evaluated.

    `exact` predicts every token of a split once, in windows side by side. `sampled` is nanoGPT's habit: the mean
    over `batches` random batches, the same ones at each evaluation of a seed.
    """

    every: int = 250
    mode: str = "exact"
    batches: int = 200


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides a run's numbers."""

    data: DataSpec = field(default_factory=DataSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    train: TrainSpec = field(default_factory=TrainSpec)
    eval: EvalSpec = field(default_factory=EvalSpec)
    seed: int = 0


def as_dict(spec: RunSpec) -> dict[str, Any]:
    """The spec as plain JSON types."""
    return json.loads(json.dumps(dataclasses.asdict(spec), allow_nan=False))


def identity(spec: dict[str, Any], corpus_sha256: str) -> str:
    """12 hexadecimal digits that name a spec, as plain JSON types, together with the bytes it trains on."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{canonical}\n{corpus_sha256}".encode()).hexdigest()[:12]


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """What changed between two specs given as dicts, as `path old → new`."""
    changed = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if isinstance(was, dict) and isinstance(now, dict):
            changed += differences(was, now, f"{prefix}{key}.")
        elif was != now:
            changed.append(f"{prefix}{key} {was} → {now}")
    return changed


def from_dict(data: dict[str, Any], where: str) -> RunSpec:
    """A checked `RunSpec` from nested tables such as TOML gives; `where` names their origin in errors."""
    return check(_build(RunSpec, data, where, ""), where)


def _build(cls: type, data: Any, where: str, path: str) -> Any:
    if not isinstance(data, dict):
        raise UserError(f"{where}: [{path.rstrip('.')}] must be a table, not {data!r}")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    values = {}
    for key, value in data.items():
        if key not in fields:
            raise UserError(f"{where}: unknown setting {path}{key}; known: {', '.join(fields)}")
        values[key] = _convert(fields[key].type, value, where, path + key)
    return cls(**values)


def _convert(kind: Any, value: Any, where: str, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, where, path + ".")
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind is int and whole:
        return value
    if kind is float and (whole or isinstance(value, float)):
        return float(value)
    if kind is str and isinstance(value, str):
        return value
    if kind not in (int, float, str):
        if value is None:
            return None
        if isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(v, int) for v in value):
            return (value[0], value[1])
        raise UserError(f"{where}: {path} must be a pair of token positions [start, stop], not {value!r}")
    wanted = {int: "a whole number", float: "a number", str: "a text"}[kind]
    raise UserError(f"{where}: {path} must be {wanted}, not {value!r}")


def check(spec: RunSpec, where: str) -> RunSpec:
    """The spec itself, or a `UserError` that names the first setting that cannot be."""
    model, train, data = spec.model, spec.train, spec.data

    def need(holds: bool, message: str) -> None:
        if not holds:
            raise UserError(f"{where}: {message}")

    need(
        math.isfinite(model.mlp_ratio) and model.mlp_ratio > 0,
        f"mlp_ratio = {model.mlp_ratio:g} must be a positive number, such as 4",
    )
    for name in ("n_layer", "n_head", "d_model", "block_size"):
        need(getattr(model, name) >= 1, f"{name} = {getattr(model, name)} must be at least 1")
    need(
        model.d_model % model.n_head == 0,
        f"n_head = {model.n_head} does not divide d_model = {model.d_model}; choose heads that divide the width",
    )
    need(0 <= model.dropout < 1, f"dropout = {model.dropout:g} must be at least 0 and below 1")
    for name in ("steps", "batch_size"):
        need(getattr(train, name) >= 1, f"{name} = {getattr(train, name)} must be at least 1")
    need(train.warmup_steps >= 0, f"warmup_steps = {train.warmup_steps} must not be negative")
    for name in ("learning_rate", "min_learning_rate", "weight_decay", "grad_clip"):
        value = getattr(train, name)
        need(math.isfinite(value) and value >= 0, f"{name} = {value:g} must not be negative")
    for name in ("beta1", "beta2"):
        need(0 <= getattr(train, name) < 1, f"{name} = {getattr(train, name):g} must be at least 0 and below 1")
    need(spec.eval.mode in ("exact", "sampled"), f'eval.mode = "{spec.eval.mode}" must be "exact" or "sampled"')
    need(spec.eval.every >= 1, f"eval.every = {spec.eval.every} must be at least 1")
    need(spec.eval.batches >= 1, f"eval.batches = {spec.eval.batches} must be at least 1")
    need(0 <= spec.seed < 2**32, f"seed = {spec.seed} must be at least 0 and below 2**32")
    for name, (start, stop) in data.splits().items():
        need(
            0 <= start < stop,
            f"data.{name} = [{start}, {stop}] is empty; give [start, stop] with start < stop",
        )
        need(
            model.block_size < stop - start,
            f"block_size = {model.block_size} is longer than data.{name} has ({stop - start} tokens): shorten the "
            f"block to {stop - start - 1} or less",
        )
    return spec
