"""The specification of a run, which decides its numbers, and the identity computed from it.

A `RunSpec` has nothing about where and how a run is trained (device, precision, threads, log cadence): that is its
placement, see `runner.plan.placement`. Two runs with the same identity, trained the same way on the same kind of
machine, have the same numbers. An arm that is a placement, such as one in float32, has the identity of the arm that it
is compared with: they differ by their names.
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
    """How a run is trained: AdamW with linear warm-up and cosine decay. A step reads `batch_size` sequences of
    `block_size` tokens.

    grad_accumulation  number of equal micro-batches whose gradients are summed before an update; together they have
                       `batch_size` sequences
    warmup_from        the learning rate at step 0, from which the warm-up rises linearly; None: a step's share of it
    warmdown_steps     in place of the cosine, a constant learning rate that falls linearly over these last steps
    drop_at            in place of the cosine, a constant learning rate that becomes min_learning_rate at this step
    optimizer          "adamw", or "sgd": gradient descent without momentum; weight decay acts on matrices
    grad_clip          the largest Euclidean norm of the gradient; 0 turns clipping off
    max_norm           the largest Euclidean norm of the weights that come into a unit of a layer: longer rows of its
                       matrices are shortened to it after each update (Srivastava et al. 2014); None is no bound
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
    warmup_from: float | None = later(None)
    drop_at: int | None = later(None)
    optimizer: str = later("adamw")
    max_norm: float | None = later(None)

    def check(self, need: Need) -> None:
        """Check the settings: `need` raises a `UserError` for the first that is invalid."""
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
        need(
            self.warmup_from is None or 0 <= self.warmup_from <= self.learning_rate,
            f"warmup_from = {self.warmup_from} must lie between 0 and learning_rate = {self.learning_rate:g}",
        )
        need(
            self.drop_at is None or (self.warmdown_steps is None and self.warmup_steps <= self.drop_at <= self.steps),
            f"drop_at = {self.drop_at} must lie between warmup_steps = {self.warmup_steps} and steps = {self.steps}, "
            "and takes the place of warmdown_steps: leave that out",
        )
        need(self.optimizer in ("adamw", "sgd"), f'optimizer = "{self.optimizer}" is unknown; known: adamw, sgd')
        need(
            self.max_norm is None or (math.isfinite(self.max_norm) and self.max_norm > 0),
            f"max_norm = {self.max_norm} must be a positive number; leave it out for no bound",
        )
        need(self.warmup_steps >= 0, f"warmup_steps = {self.warmup_steps} must not be negative")
        for name in ("learning_rate", "min_learning_rate", "weight_decay", "grad_clip"):
            value = getattr(self, name)
            need(math.isfinite(value) and value >= 0, f"{name} = {value:g} must be a finite number of at least 0")
        for name in ("beta1", "beta2"):
            need(0 <= getattr(self, name) < 1, f"{name} = {getattr(self, name):g} must be at least 0 and below 1")


@dataclass(frozen=True)
class EvalSpec:
    """When and how the splits are evaluated.

    every             steps between two evaluations
    mode              "exact" predicts every token of a split once, in adjacent windows; "sampled", as in nanoGPT, is
                      the mean over `batches` random batches, the same ones at every evaluation of a seed
    splits            the names of the splits to evaluate; all of them if None
    probes            the names of the probes to run, or "all", see `runner.training.probes`
    probe_every       steps between two observations of the probes that observe training steps
    attention_logits  an older name for the probe "attention_logit"
    train_tokens      evaluate only this many tokens of the training split (rounded up to whole windows), in windows
                      spread evenly over it; None means all of it
    stride            with it windows overlap: one starts every `stride` tokens, and predicts the tokens that no earlier
                      window has predicted
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
        """Check the settings: `need` raises a `UserError` for the first that is invalid."""
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
            'eval.train_tokens is for eval.mode = "exact": "sampled" reads eval.batches batches of it',
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
    """The names of the settings in each table of a spec; the table "model" has those of every kind, the GPT's first."""
    kinds = [registry.spec_of({"kind": kind}, "") for kind in registry.KINDS]
    parts: dict[str, list[Any]] = {"data": [DataSpec], "model": kinds, "train": [TrainSpec], "eval": [EvalSpec]}
    return {
        table: list(dict.fromkeys(field.name for part in found for field in fields(part)))
        for table, found in parts.items()
    }


def as_dict(spec: RunSpec) -> dict[str, Any]:
    """The spec as plain JSON types; fields declared with `later` are left out at their defaults."""
    return plain(spec)


def identity(spec: dict[str, Any], corpus_sha256: str) -> str:
    """The identity of a run, 12 hexadecimal digits: a hash of its spec (plain JSON types) and the checksum of its
    corpus."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(f"{canonical}\n{corpus_sha256}".encode()).hexdigest()[:12]


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """The differences between two specs given as dicts, as texts `path old → new`."""
    changed = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if isinstance(was, dict) and isinstance(now, dict):
            changed += differences(was, now, f"{prefix}{key}.")
        elif was != now:
            changed.append(f"{prefix}{key} {was} → {now}")
    return changed


def from_dict(data: dict[str, Any], where: str) -> RunSpec:
    """Build a `RunSpec` from nested tables, such as those of TOML, and check it; `where` names their origin in
    errors."""
    return check(build(RunSpec, data, where, choices={"model": registry.spec_of}), where)


def check(spec: RunSpec, where: str) -> RunSpec:
    """The spec itself, after checking it; raises a `UserError`, which starts with `where`, for the first invalid
    setting."""
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
    unknown = [name for name in spec.eval.splits or () if name not in data.splits()]
    need(not unknown, f"eval.splits: unknown split {', '.join(unknown)}; known: {', '.join(data.splits())}")
    need(0 <= spec.seed < 2**32, f"seed = {spec.seed} must be at least 0 and below 2**32")
    data.check(where, model.block_size)
    tells = "one token, after a whole context" if model.contexts else "a token after each position"
    need(
        model.contexts == (data.task == "context"),
        f'a model of kind "{model.kind}" predicts {tells}: task = "{data.task}" does not fit; set data.task = '
        f'"{"context" if model.contexts else "windows"}"',
    )
    return spec
