"""What decides a run's numbers, and the identity that follows from it.

A `RunSpec` holds nothing about where or how fast a run goes (device, precision, threads, log cadence): that is
placement, see `runner.training.machine`. Two runs with one identity have the same numbers on the same kind of machine.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

from runner import settings
from runner.data.spec import DataSpec
from runner.models import registry
from runner.models.gpt.spec import GPTSpec
from runner.models.registry import ModelSpec
from runner.settings import Need, build, later, plain


@dataclass(frozen=True)
class TrainSpec:
    """AdamW with linear warm-up and cosine decay. One step sees `batch_size` windows of `block_size` tokens.

    grad_accumulation  equal micro-batches whose gradients are summed before an update; batch_size is all of them
    warmdown_steps     instead of the cosine: the learning rate stays, and falls in a line over these last steps
    """

    steps: int = 5000
    batch_size: int = 64
    learning_rate: float = 1e-3
    min_learning_rate: float = 1e-4
    warmup_steps: int = 100
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    grad_accumulation: int = later(1)
    warmdown_steps: int | None = later(None)

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""
        for name in ("steps", "batch_size"):
            need(getattr(self, name) >= 1, f"{name} = {getattr(self, name)} must be at least 1")
        need(
            self.grad_accumulation >= 1 and self.batch_size % self.grad_accumulation == 0,
            f"grad_accumulation = {self.grad_accumulation} does not divide batch_size = {self.batch_size}; "
            "choose a divisor",
        )
        need(
            self.warmdown_steps is None or 0 <= self.warmdown_steps <= self.steps,
            f"warmdown_steps = {self.warmdown_steps} must lie between 0 and steps = {self.steps}",
        )
        need(self.warmup_steps >= 0, f"warmup_steps = {self.warmup_steps} must not be negative")
        for name in ("learning_rate", "min_learning_rate", "weight_decay", "grad_clip"):
            value = getattr(self, name)
            need(math.isfinite(value) and value >= 0, f"{name} = {value:g} must not be negative")
        for name in ("beta1", "beta2"):
            need(0 <= getattr(self, name) < 1, f"{name} = {getattr(self, name):g} must be at least 0 and below 1")


@dataclass(frozen=True)
class EvalSpec:
    """When and how the splits are evaluated.

    `exact` predicts every token of a split once, in windows side by side. `sampled` is nanoGPT's habit: the mean over
    `batches` random batches, the same ones at each evaluation of a seed. `splits` names those that are evaluated, all
    of them unless given: a large training split costs more to evaluate than to train on. `probes` names what is
    observed of the model besides, or "all", see `runner.training.probes`; `attention_logits` is an older name for the
    first of them. Those that observe training steps do so every `probe_every` steps. `train_tokens` evaluates this many
    tokens of the training split (rounded up to whole windows) instead of all, in windows spread evenly over it: a
    training split can be many times as long as the others. `stride` lets the windows overlap: one begins every so many
    tokens, and counts with those that no window before has predicted.
    """

    every: int = 250
    mode: str = "exact"
    batches: int = 200
    splits: tuple[str, ...] | None = later(None)
    attention_logits: bool = later(False)
    probes: tuple[str, ...] = later(())
    probe_every: int = later(100)
    train_tokens: int | None = later(None)
    stride: int | None = later(None)

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""
        need(self.mode in ("exact", "sampled"), f'eval.mode = "{self.mode}" must be "exact" or "sampled"')
        need(self.every >= 1, f"eval.every = {self.every} must be at least 1")
        need(self.batches >= 1, f"eval.batches = {self.batches} must be at least 1")
        need(self.probe_every >= 1, f"eval.probe_every = {self.probe_every} must be at least 1")
        need(
            self.train_tokens is None or self.train_tokens >= 1,
            f"eval.train_tokens = {self.train_tokens} must be at least 1; leave it out for the whole training split",
        )
        need(
            self.train_tokens is None or self.mode == "exact",
            'eval.train_tokens is for eval.mode = "exact": "sampled" draws its windows, as many as eval.batches says',
        )
        need(self.splits != (), "eval.splits is empty: name a split, or leave it out for all of them")


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides a run's numbers."""

    data: DataSpec = field(default_factory=DataSpec)
    model: ModelSpec = field(default_factory=GPTSpec)
    train: TrainSpec = field(default_factory=TrainSpec)
    eval: EvalSpec = field(default_factory=EvalSpec)
    seed: int = 0


def tables() -> dict[str, list[str]]:
    """The names of the settings in each table of a spec; of models those of every kind, the GPT's first."""
    kinds = [registry.spec_of({"kind": kind}, "") for kind in registry.KINDS]
    parts: dict[str, list[Any]] = {"data": [DataSpec], "model": kinds, "train": [TrainSpec], "eval": [EvalSpec]}
    return {
        table: list(dict.fromkeys(field.name for part in found for field in fields(part)))
        for table, found in parts.items()
    }


def as_dict(spec: RunSpec) -> dict[str, Any]:
    """The spec as plain JSON types, without what came later and stands at its default."""
    return plain(spec)


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
    return check(build(RunSpec, data, where, choices={"model": registry.spec_of}), where)


def check(spec: RunSpec, where: str) -> RunSpec:
    """The spec itself, or a `UserError` that names the first setting that cannot be."""
    model, train, data, need = spec.model, spec.train, spec.data, partial(settings.need, where)
    model.check(need)
    train.check(need)
    spec.eval.check(need)
    stride = spec.eval.stride
    need(
        stride is None or (data.task == "windows" and spec.eval.mode == "exact" and 1 <= stride <= model.block_size),
        f'eval.stride = {stride} must be from 1 to block_size = {model.block_size}, for task = "windows" and '
        'eval.mode = "exact"',
    )
    strange = [name for name in spec.eval.splits or () if name not in data.splits()]
    need(not strange, f"eval.splits: no split is called {', '.join(strange)}; there are {', '.join(data.splits())}")
    need(0 <= spec.seed < 2**32, f"seed = {spec.seed} must be at least 0 and below 2**32")
    data.check(where, model.block_size)
    return spec
