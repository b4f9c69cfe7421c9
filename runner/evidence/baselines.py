"""Baselines: the losses of n-gram counts on the text of an experiment, stored beside its runs and published with them.

`<experiment>/<profile>/baselines.json`, under `runs/` when it is computed and under `logs/` once it is published:

    schema, experiment, profile   the version of the format, and the folder that the file belongs to
    sha256                        the checksum of all other keys
    counted                       one entry for each data spec of the profile's runs, by a hash of three things: the
                                  spec, the checksum of its corpus, and how many tokens of a split are not predicted
        data, corpus, skip        these three
        vocabulary, tokens        the size of the vocabulary, and the number of tokens in the training split
        tuned_on                  the split on which the smoothing was tuned; no other split influenced it
        commit                    the Git commit of the code
        baselines                 "uniform", "unigram", …: the order, the number of nonzero counts of all orders up to
                                  it, the smoothing of each order, and the loss of each split in nats per token
        read                      the longest n-grams, counted on as many of the first training tokens as a run reads
                                  in all its steps, where that is less than the training split; by that number

Importable without torch and without numpy.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.files import checksum, write_atomic

NAME = "baselines.json"
SCHEMA_VERSION = "1"  # to be raised when counting, smoothing or tuning changes


@dataclass(frozen=True)
class Baseline:
    """The n-gram counts of one order; order 0 is the uniform distribution. `loss` is by split, in nats per token."""

    name: str
    order: int
    parameters: int
    smoothing: list[float]
    loss: dict[str, float]


@dataclass(frozen=True)
class Counted:
    """The baselines of one data spec, by ascending order of the n-grams; for the fields see the module's docstring."""

    data: dict[str, Any]
    corpus: dict[str, str]  # name and sha256
    skip: int
    vocabulary: int
    tokens: int
    tuned_on: str
    commit: str
    baselines: list[Baseline]
    read: dict[str, Baseline] = field(default_factory=dict)

    @property
    def reported(self) -> str:
        """The split whose losses are reported: "test" where there is one, else the one that smoothing is tuned on."""
        return "test" if "test" in self.baselines[-1].loss else self.tuned_on


def skipped(spec: dict[str, Any]) -> int:
    """How many tokens at the start of a split are not predicted in runs of a spec (plain JSON types): the first alone,
    or, with fixed contexts, all that no full context precedes."""
    return spec["model"]["block_size"] if spec["data"].get("task") == "context" else 1


def tokens_read(spec: dict[str, Any]) -> int:
    """How many tokens a run of a spec (plain JSON types) reads in all its training steps."""
    return int(spec["train"]["steps"] * spec["train"]["batch_size"] * spec["model"]["block_size"])


def key(data: dict[str, Any], sha256: str, skip: int) -> str:
    """The key of an entry in the file: a hash of its data spec, corpus and skip, 12 hexadecimal digits."""
    canonical = json.dumps([data, sha256, skip], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def key_of(spec: dict[str, Any], sha256: str) -> str:
    """The key of the entry for a run's spec (plain JSON types) and the checksum of its corpus."""
    return key(spec["data"], sha256, skipped(spec))


def write(folder: Path, counted: dict[str, Counted]) -> Path:
    """Write the baselines, by key, into the folder `<experiment>/<profile>`; returns the file."""
    experiment, profile = folder.resolve().parts[-2:]
    body = {
        "schema": SCHEMA_VERSION,
        "experiment": experiment,
        "profile": profile,
        "counted": {name: asdict(one) for name, one in counted.items()},
    }
    text = json.dumps(body | {"sha256": checksum(body)}, indent=1, sort_keys=True, allow_nan=False)
    write_atomic(folder / NAME, text + "\n")
    return folder / NAME


def read(folder: Path) -> dict[str, Counted]:
    """Read the baselines in the folder `<experiment>/<profile>`, by key; empty where there is no file.

    Raises a `UserError` where the file cannot be read, does not match its checksum or belongs to another folder.
    """
    path = folder / NAME
    again = f"remove it, or make it again with `runner baselines {folder.parent.name} --profile {folder.name}`"
    try:
        body = json.loads(path.read_text())
        schema, held = body.get("schema"), body.pop("sha256", None)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} cannot be read ({error}): {again}") from None
    if schema != SCHEMA_VERSION:
        raise UserError(f"{path} has schema {schema!r}, not {SCHEMA_VERSION!r}: {again}")
    if held != checksum(body):
        raise UserError(f"{path} does not match its checksum: {again}")
    try:
        called = body["experiment"], body["profile"]
        found = {name: _counted(one) for name, one in body["counted"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} has a missing or an unknown key ({error}): {again}") from None
    if folder.resolve().parts[-2:] != called:
        raise UserError(f"{path} holds the baselines of {'/'.join(called)}: move it back to that folder")
    for name, one in found.items():
        if name != key(one.data, one.corpus["sha256"], one.skip):
            raise UserError(f"{path}: the key {name} is not that of its data: {again}")
    return found


def files(root: Path, experiment: str | None = None, profile: str | None = None) -> list[Path]:
    """Every file of baselines under `root`, each checked."""
    found = sorted(Path(root).glob(f"{experiment or '*'}/{profile or '*'}/{NAME}"))
    for path in found:
        read(path.parent)
    return found


def _counted(entry: dict[str, Any]) -> Counted:
    read = {tokens: Baseline(**one) for tokens, one in entry["read"].items()}
    return Counted(**entry | {"baselines": [Baseline(**one) for one in entry["baselines"]], "read": read})
