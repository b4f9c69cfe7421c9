"""What counting is worth on the text of an experiment, kept beside its runs and published with them.

`<experiment>/<profile>/baselines.json`, under `runs/` where it is made and under `logs/` once published:

    schema, experiment, profile   what the file is, and where it belongs
    sha256                        of all the rest of it
    counted                       for each data spec of the profile's runs, by a hash of that spec, of the checksum of
                                  its corpus and of how many tokens of a split are not predicted:
        data, corpus, skip        what was hashed
        vocabulary, tokens        how many kinds of tokens there can be, and how many the training split has
        tuned_on                  the split on which smoothing was tuned; the loss of no other split was looked at
        commit                    of the code
        baselines                 "uniform", "unigram", …: the order, the number of counts that are not zero in all
                                  orders up to it, the smoothing of each, and the loss of each split, nats a token
        read                      the longest n-grams once more, of no more text than a run reads in all its steps,
                                  where that is less than the training split: by its number of tokens, the first ones

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
SCHEMA_VERSION = "1"  # another one where n-grams are counted, smoothed or tuned in another way


@dataclass(frozen=True)
class Baseline:
    """n-gram counts of one order; order 0 is uniform. `loss` is by split, nats a token."""

    name: str
    order: int
    parameters: int
    smoothing: list[float]
    loss: dict[str, float]


@dataclass(frozen=True)
class Counted:
    """The baselines of one data spec, in ascending order."""

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
        """The split on which losses are reported: that which tuned nothing, where there is one."""
        return "test" if "test" in self.baselines[-1].loss else self.tuned_on


def skipped(spec: dict[str, Any]) -> int:
    """How many tokens of a split are not predicted in runs of a spec, as plain JSON types: the first, which has
    nothing before it, or all that have no whole context."""
    return spec["model"]["block_size"] if spec["data"].get("task") == "context" else 1


def tokens_read(spec: dict[str, Any]) -> int:
    """How many tokens a run of a spec, as plain JSON types, reads in all its steps."""
    return int(spec["train"]["steps"] * spec["train"]["batch_size"] * spec["model"]["block_size"])


def key(data: dict[str, Any], sha256: str, skip: int) -> str:
    """12 hexadecimal digits that name what is counted."""
    canonical = json.dumps([data, sha256, skip], sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def key_of(spec: dict[str, Any], sha256: str) -> str:
    """The same for a run's spec, as plain JSON types, and its corpus."""
    return key(spec["data"], sha256, skipped(spec))


def write(folder: Path, counted: dict[str, Counted]) -> Path:
    """Keep the baselines of the experiment and profile that the folder is named after; returns the file."""
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
    """The baselines in an experiment's folder by key, empty where there are none; a `UserError` where the file cannot
    be read, does not match its checksum or belongs elsewhere."""
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
        raise UserError(f"{path} lacks or holds something unknown ({error}): {again}") from None
    if folder.resolve().parts[-2:] != called:
        raise UserError(f"{path} holds baselines of {'/'.join(called)}: put it back where it belongs")
    for name, one in found.items():
        if name != key(one.data, one.corpus["sha256"], one.skip):
            raise UserError(f"{path} does not match its data: {name} belongs to other baselines: {again}")
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
