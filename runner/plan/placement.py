"""Placement: where and how a run is trained (device, precision, compilation, threads). No part of a run's identity."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from runner.errors import UserError


@dataclass(frozen=True)
class Placement:
    """A complete placement.

    cold                whether what is compiled is compiled from nothing, as on a machine that never did: for runs that
                        measure what that takes
    threads             CPU threads of each run
    jobs                runs that are trained side by side
    log_every           steps between two rows of the log
    checkpoint_seconds  least seconds between two checkpoints
    weights             whether weights are stored; a run without them cannot be resumed or sampled from
    sample_tokens       tokens of the text that the trained model writes at its end
    embedding           whether the token embedding at the end is evidence of the run, two bytes a number
    samples             whether texts that the trained model draws at several temperatures are
    from_token_0        tokens of one text that the trained model draws after token 0 of its vocabulary, which is
                        evidence of the run in place of those; 0 is none
    """

    device: str = "cpu"
    precision: str = "float32"
    compile: bool = False
    cold: bool = False
    threads: int = 1
    jobs: int = 1
    log_every: int = 10
    checkpoint_seconds: float = 15.0
    weights: bool = True
    sample_tokens: int = 500
    embedding: bool = False
    samples: bool = False
    from_token_0: int = 0


def checked(wishes: dict[str, Any], where: str = "") -> dict[str, Any]:
    """The same settings, after checking them; raises a `UserError`, which starts with `where`, for the first that is
    unknown or invalid on any machine."""
    known = {f.name: f.type for f in dataclasses.fields(Placement)}
    for key, value in wishes.items():
        if key not in known:
            raise UserError(f"{where}unknown placement setting {key!r}; known: {', '.join(known)}")
        least = 0 if key == "from_token_0" else 1
        if known[key] is int and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise UserError(f"{where}placement {key} = {value!r} must be a whole number of at least {least}")
        if key in ("threads", "jobs") and value > 2**16:
            raise UserError(f"{where}placement {key} = {value} is more than any machine has")
        if known[key] is float and (not isinstance(value, int | float) or isinstance(value, bool) or value < 0):
            raise UserError(f"{where}placement {key} = {value!r} must be a number of seconds, at least 0")
        if known[key] is str and not isinstance(value, str | None):  # None is chosen for the machine
            raise UserError(f"{where}placement {key} = {value!r} must be a text")
        if known[key] is bool and not isinstance(value, bool):
            raise UserError(f"{where}placement {key} = {value!r} must be true or false")
    if wishes.get("precision", "bf16") not in ("bf16", "float32"):
        raise UserError(f'{where}precision {wishes["precision"]!r} must be "bf16" or "float32"')
    return wishes
