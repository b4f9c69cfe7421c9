"""What decides a run's numbers, and the identity that follows from it.

A `RunSpec` holds nothing about where or how fast a run goes (device, precision, threads, log cadence): that is
placement, see `runner.training.machine`. Two runs with one identity have the same numbers on the same kind of machine.
"""

import dataclasses
import hashlib
import json
import math
import types
import typing
from dataclasses import dataclass, field
from typing import Any

from runner.data.spec import DataSpec
from runner.errors import UserError
from runner.settings import later

OTHER_NAMES = {"mlp_expansion_factor": "mlp_ratio"}  # what a source calls it, and what it is called here
ACTIVATIONS = ("gelu", "silu", "relu2", "swiglu")
POSITIONS = ("learned", "rotary")
INITS = ("gpt2", "zero")


@dataclass(frozen=True)
class ModelSpec:
    """A decoder-only transformer. `mlp_ratio` is d_ff / d_model, one number or one for each layer.

    activation     of the MLP: "gelu", "silu", "relu2" (the square of ReLU), or "swiglu", which has three matrices
    match_params   give SwiGLU two thirds of the hidden width, so that it has exactly the parameters of the others
    d_ff_multiple  round the hidden width up to a multiple of this
    n_kv_head      heads of keys and values, each shared by n_head / n_kv_head queries; None is one for each
    qk_norm        a LayerNorm over each head's queries and keys, before rotary positions
    post_norm      a LayerNorm after each branch, besides the one before; attention's is scaled by 1 / √(2 n_layer)
    positions      "learned", or "rotary": turned queries and keys, and no parameters
    init           "gpt2", or "zero": projections into the residual stream start at 0, all other matrices of the
                   blocks uniform within ±√(3 / d_model)
    """

    n_layer: int = 6
    n_head: int = 6
    d_model: int = 384
    block_size: int = 256
    mlp_ratio: float | tuple[float, ...] = 4.0
    dropout: float = 0.2
    activation: str = later("gelu")
    match_params: bool = later(False)
    d_ff_multiple: int = later(1)
    n_kv_head: int | None = later(None)
    qk_norm: bool = later(False)
    post_norm: bool = later(False)
    positions: str = later("learned")
    init: str = later("gpt2")

    @property
    def ratios(self) -> tuple[float, ...]:
        """The MLP ratio of each layer."""
        return self.mlp_ratio if isinstance(self.mlp_ratio, tuple) else (self.mlp_ratio,) * self.n_layer

    @property
    def d_ffs(self) -> tuple[int, ...]:
        """Hidden width of each layer's MLP, in units."""
        share, unit = (2 / 3 if self.match_params else 1), self.d_ff_multiple
        widths = (max(1, round(ratio * self.d_model * share)) for ratio in self.ratios)
        return tuple(-(-width // unit) * unit for width in widths)

    @property
    def gated(self) -> bool:
        """Whether the MLP has a third matrix, the gate."""
        return self.activation == "swiglu"

    @property
    def d_head(self) -> int:
        """Width of one attention head, in units."""
        return self.d_model // self.n_head

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.n_head if self.n_kv_head is None else self.n_kv_head


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


@dataclass(frozen=True)
class EvalSpec:
    """When and how the splits are evaluated.

    `exact` predicts every token of a split once, in windows side by side. `sampled` is nanoGPT's habit: the mean
    over `batches` random batches, the same ones at each evaluation of a seed. `splits` names those that are
    evaluated, all of them unless given: a large training split costs more to evaluate than to train on.
    `attention_logits` logs the largest of each split too, at the price of a second pass over it. `train_tokens`
    evaluates this many tokens of the training split (rounded up to whole windows) instead of all, in windows spread
    evenly over it: a training split can be many times as long as the others. `stride` lets the windows overlap: one
    begins every so many tokens, and counts with those that no window before has predicted.
    """

    every: int = 250
    mode: str = "exact"
    batches: int = 200
    splits: tuple[str, ...] | None = later(None)
    attention_logits: bool = later(False)
    train_tokens: int | None = later(None)
    stride: int | None = later(None)


@dataclass(frozen=True)
class RunSpec:
    """Everything that decides a run's numbers."""

    data: DataSpec = field(default_factory=DataSpec)
    model: ModelSpec = field(default_factory=ModelSpec)
    train: TrainSpec = field(default_factory=TrainSpec)
    eval: EvalSpec = field(default_factory=EvalSpec)
    seed: int = 0


def as_dict(spec: RunSpec) -> dict[str, Any]:
    """The spec as plain JSON types, without what came later and stands at its default."""

    def plain(part: Any) -> Any:
        if not dataclasses.is_dataclass(part):
            return part
        values = [(f, getattr(part, f.name)) for f in dataclasses.fields(part)]
        return {f.name: plain(v) for f, v in values if not (f.metadata.get("later") and v == f.default)}

    return json.loads(json.dumps(plain(spec), allow_nan=False))


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
        name = OTHER_NAMES.get(key, key)
        if name not in fields:
            raise UserError(f"{where}: unknown setting {path}{key}; known: {', '.join(fields)}")
        if name in values:
            raise UserError(f"{where}: {path}{key} and {path}{name} are one setting; give one of them")
        values[name] = _convert(fields[name].type, value, where, path + key)
    return cls(**values)


def _convert(kind: Any, value: Any, where: str, path: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, where, path + ".")
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    for each in kinds:
        if _fits(each, value):
            if typing.get_origin(each) is tuple:
                return tuple(map(typing.get_args(each)[0], value))
            return None if value is None else each(value)
    wanted = " or ".join(WANTED[each] for each in kinds if each in WANTED)
    raise UserError(f"{where}: {path} must be {wanted}, not {value!r}")


WANTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    tuple[float, ...]: "a list of numbers, one a layer",
    tuple[str, ...]: "a list of texts",
    tuple[int, int]: "a pair of token positions [start, stop]",
}


def _fits(kind: Any, value: Any) -> bool:
    if kind is types.NoneType:
        return value is None
    if typing.get_origin(kind) is tuple:
        first, last = typing.get_args(kind)
        is_list = isinstance(value, list | tuple) and (last is ... or len(value) == 2)
        return is_list and all(_fits(first, each) for each in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def check(spec: RunSpec, where: str) -> RunSpec:
    """The spec itself, or a `UserError` that names the first setting that cannot be."""
    model, train, data = spec.model, spec.train, spec.data

    def need(holds: bool, message: str) -> None:
        if not holds:
            raise UserError(f"{where}: {message}")

    for name in ("n_layer", "n_head", "d_model", "block_size", "d_ff_multiple"):
        need(getattr(model, name) >= 1, f"{name} = {getattr(model, name)} must be at least 1")
    for ratio in model.ratios:
        need(math.isfinite(ratio) and ratio > 0, f"mlp_ratio = {ratio:g} must be a positive number, such as 4")
    need(
        len(model.ratios) == model.n_layer,
        f"mlp_ratio has {len(model.ratios)} numbers for {model.n_layer} layers: give one number, or one a layer",
    )
    need(
        model.d_model % model.n_head == 0,
        f"n_head = {model.n_head} does not divide d_model = {model.d_model}; choose heads that divide the width",
    )
    need(
        1 <= model.kv_heads <= model.n_head and model.n_head % model.kv_heads == 0,
        f"n_kv_head = {model.n_kv_head} does not divide n_head = {model.n_head}; choose a divisor of it",
    )
    for name, known in (("activation", ACTIVATIONS), ("positions", POSITIONS), ("init", INITS)):
        given = getattr(model, name)
        need(given in known, f'{name} = "{given}" is unknown; known: {", ".join(known)}')
    need(
        model.positions != "rotary" or model.d_head % 2 == 0,
        f"rotary positions turn pairs of units, and heads of {model.d_model} / {model.n_head} = {model.d_head} units "
        "are odd: choose a width and heads that give an even number, such as 896 / 14 = 64, or learned positions",
    )
    need(
        not model.match_params or model.gated,
        f'match_params gives a gated MLP the parameters of a plain one; activation = "{model.activation}" has no gate: '
        'leave it out, or set activation = "swiglu"',
    )
    for ratio in model.ratios if model.match_params else ():
        plain = max(1, round(ratio * model.d_model))
        need(
            2 * plain % 3 == 0 and model.d_ff_multiple == 1,
            f"match_params: two thirds of {plain} hidden units must be whole, and not rounded by d_ff_multiple: choose "
            "mlp_ratio and d_model whose product is a multiple of 3",
        )
    need(0 <= model.dropout < 1, f"dropout = {model.dropout:g} must be at least 0 and below 1")
    for name in ("steps", "batch_size"):
        need(getattr(train, name) >= 1, f"{name} = {getattr(train, name)} must be at least 1")
    need(
        train.grad_accumulation >= 1 and train.batch_size % train.grad_accumulation == 0,
        f"grad_accumulation = {train.grad_accumulation} does not divide batch_size = {train.batch_size}; "
        "choose a divisor",
    )
    need(
        train.warmdown_steps is None or 0 <= train.warmdown_steps <= train.steps,
        f"warmdown_steps = {train.warmdown_steps} must lie between 0 and steps = {train.steps}",
    )
    need(train.warmup_steps >= 0, f"warmup_steps = {train.warmup_steps} must not be negative")
    for name in ("learning_rate", "min_learning_rate", "weight_decay", "grad_clip"):
        value = getattr(train, name)
        need(math.isfinite(value) and value >= 0, f"{name} = {value:g} must not be negative")
    for name in ("beta1", "beta2"):
        need(0 <= getattr(train, name) < 1, f"{name} = {getattr(train, name):g} must be at least 0 and below 1")
    need(spec.eval.mode in ("exact", "sampled"), f'eval.mode = "{spec.eval.mode}" must be "exact" or "sampled"')
    need(spec.eval.every >= 1, f"eval.every = {spec.eval.every} must be at least 1")
    need(spec.eval.batches >= 1, f"eval.batches = {spec.eval.batches} must be at least 1")
    need(
        spec.eval.train_tokens is None or spec.eval.train_tokens >= 1,
        f"eval.train_tokens = {spec.eval.train_tokens} must be at least 1; leave it out for the whole training split",
    )
    need(
        spec.eval.train_tokens is None or spec.eval.mode == "exact",
        'eval.train_tokens is for eval.mode = "exact": "sampled" draws its windows, as many as eval.batches says',
    )
    stride = spec.eval.stride
    need(
        stride is None or (data.task == "windows" and spec.eval.mode == "exact" and 1 <= stride <= model.block_size),
        f'eval.stride = {stride} must be from 1 to block_size = {model.block_size}, for task = "windows" and '
        'eval.mode = "exact"',
    )
    need(spec.eval.splits != (), "eval.splits is empty: name a split, or leave it out for all of them")
    strange = [name for name in spec.eval.splits or () if name not in data.splits()]
    need(not strange, f"eval.splits: no split is called {', '.join(strange)}; there are {', '.join(data.splits())}")
    need(0 <= spec.seed < 2**32, f"seed = {spec.seed} must be at least 0 and below 2**32")
    data.check(where, model.block_size)
    return spec
