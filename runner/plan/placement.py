"""Where and how a run goes: device, precision, compilation, threads. Never part of a run's identity."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from runner.errors import UserError


@dataclass(frozen=True)
class Placement:
    """A resolved choice. `threads` are those of one run; `jobs` runs go side by side. A run without `weights` leaves
    its log alone: nothing to resume, to sample or to keep, for runs whose speed is the point. One with `embedding`
    leaves that of its tokens as evidence, two bytes a number."""

    device: str = "cpu"
    precision: str = "float32"
    compile: bool = False
    threads: int = 1
    jobs: int = 1
    log_every: int = 10
    checkpoint_seconds: float = 15.0
    weights: bool = True
    embedding: bool = False


def checked(wishes: dict[str, Any], where: str = "") -> dict[str, Any]:
    """The same settings, or a `UserError`, which begins with `where`, about the first that cannot be anywhere."""
    known = {f.name: f.type for f in dataclasses.fields(Placement)}
    for key, value in wishes.items():
        if key not in known:
            raise UserError(f"{where}unknown placement setting {key!r}; known: {', '.join(known)}")
        if known[key] is int and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise UserError(f"{where}placement {key} = {value!r} must be a whole number of at least 1")
        if known[key] is int and value > 2**16:
            raise UserError(f"{where}placement {key} = {value} is more than any machine has")
        if known[key] is float and not isinstance(value, int | float):
            raise UserError(f"{where}placement {key} = {value!r} must be a number of seconds")
        if known[key] is bool and not isinstance(value, bool):
            raise UserError(f"{where}placement {key} = {value!r} must be true or false")
    if wishes.get("precision", "bf16") not in ("bf16", "float32"):
        raise UserError(f'{where}precision {wishes["precision"]!r} must be "bf16" or "float32"')
    return wishes
