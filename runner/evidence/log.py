"""Logs: their schema, and reading and writing a run's evidence. Importable without torch.

The folder of a run, under `runs/` when it is trained and under `logs/` once it is published:

    manifest.json     what ran, on what, from which data and code
    metrics.parquet   the numbers; the same bytes for the same run on the same kind of machine
    timing.parquet    wall clock, seconds; never part of a comparison
    probes.parquet    what its probes measured; only where the run has probes
    embedding.parquet the model's token embedding at the end; only where the run's placement asks for it
    samples.parquet   texts that the trained model drew, and what is measured of them; only where the run's placement
                      asks for it, or where `runner draw` drew them
    samples.txt       text that the trained model wrote

metrics.parquet, one row per measurement, ordered by step:

    step             int32     updates done before the measurement
    split            string    "batch": the step's own training batch, dropout on; "train", "val", "test": a whole
                               split, dropout off
    loss             float64   mean cross-entropy, nats a token
    learning_rate    float64   of the step's update; null for whole splits
    grad_norm        float64   Euclidean norm of the gradient before clipping; null for whole splits

timing.parquet:

    step           int32     updates done when the phase ended
    phase          string    "train", "eval" or "save"
    seconds        float64   how long it took

probes.parquet, one row per observation, ordered by step:

    step     int32     updates done before the observation
    split    string    as above; "batch": a part of the training batch that the next step reads, dropout off, and what
                       that step does
    probe    string    its name in `runner.training.probes`
    layer    int32     counted from 0; null for the whole model, and for what belongs to no layer, such as an embedding
    index    int32     of a bin (see `bin_edges`), a head or a unit, where a probe has several values per layer; else
                       null
    value    float64

embedding.parquet, one row a token, in the order of their ids:

    text      string       what the token stands for; empty for a mark, U+FFFD for a part of a character
    times     int64        how often it comes in the training split
    vector    [float16]    its row of the embedding

samples.parquet, one row a text, all of one length: the samples of `runner.training.samples` by temperature, then
held-out text that begins in the same way, of which only measures are kept; or the one text that was drawn after token 0
of the vocabulary. Shares have a value for each n from 1 to 4.

    temperature    float64      that the tokens were drawn at; null for held-out text
    number         int32        of the sample at its temperature, which decides its random numbers; counted from 0
    text           string       what it begins with and what was drawn, a mark between documents; null for held-out text
    tokens         [int32]      what was drawn; null for held-out text
    logprob        [float16]    natural logarithm of the probability that the model gives to each of these tokens, at a
                                temperature of 1
    repeated       [float32]    the share of its n-grams of tokens that it had before
    distinct       [float32]    the share of its n-grams of tokens that no other text of its temperature has
    words          int32        words
    unknown        int32        words that the training split does not have, whatever their capitals
    mentions       int32        names after the second sentence of its first document
    kept           int32        of these, how many that document had before
"""

import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from runner.errors import Damaged, UserError
from runner.evidence.status import ENDED, EVIDENCE
from runner.files import sha256, write_atomic
from runner.plan.spec import identity

SCHEMA_VERSION = "3"
METRICS = pa.schema(
    [
        ("step", pa.int32()),
        ("split", pa.string()),
        ("loss", pa.float64()),
        ("learning_rate", pa.float64()),
        ("grad_norm", pa.float64()),
    ],
    metadata={"runner.metrics": SCHEMA_VERSION},
)
TIMING = pa.schema(
    [("step", pa.int32()), ("phase", pa.string()), ("seconds", pa.float64())],
    metadata={"runner.timing": SCHEMA_VERSION},
)
PROBES = pa.schema(
    [
        ("step", pa.int32()),
        ("split", pa.string()),
        ("probe", pa.string()),
        ("layer", pa.int32()),
        ("index", pa.int32()),
        ("value", pa.float64()),
    ],
    metadata={"runner.probes": SCHEMA_VERSION},
)
EMBEDDING = pa.schema(
    [("text", pa.string()), ("times", pa.int64()), ("vector", pa.list_(pa.float16()))],
    metadata={"runner.embedding": SCHEMA_VERSION},
)
SAMPLES = pa.schema(
    [
        ("temperature", pa.float64()),
        ("number", pa.int32()),
        ("text", pa.string()),
        ("tokens", pa.list_(pa.int32())),
        ("logprob", pa.list_(pa.float16())),
        ("repeated", pa.list_(pa.float32())),
        ("distinct", pa.list_(pa.float32())),
        ("words", pa.int32()),
        ("unknown", pa.int32()),
        ("mentions", pa.int32()),
        ("kept", pa.int32()),
    ],
    metadata={"runner.samples": SCHEMA_VERSION},
)
SCHEMAS = {"metrics": METRICS, "timing": TIMING, "probes": PROBES}  # those that grow while a run goes
NEEDED = (
    "run", "experiment", "profile", "identity", "status", "seed", "spec", "corpus", "code", "environment", "sessions",
    "started", "log_every",
)  # fmt: skip


def table(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a typed table; a missing column is null."""
    return pa.Table.from_pylist(list(rows), schema=schema)


def write(path: Path, rows: pa.Table) -> None:
    """Write a table atomically. The bytes depend on the rows and the pyarrow version, not on the table's chunks."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows.combine_chunks(), sink, compression="zstd", row_group_size=1 << 17, version="2.6")
    write_atomic(path, sink.getvalue().to_pybytes())


def read(path: Path, schema: pa.Schema) -> pa.Table:
    """Read a log. Raises `Damaged` for a missing or unreadable file, `UserError` for another schema or version."""
    ((key, version),) = schema.metadata.items()
    try:
        with pq.ParquetFile(path) as file:  # `read_table` does the same, but imports pandas where there is one
            rows = file.read()
    except FileNotFoundError:
        raise Damaged(f"{path} is missing: train the run again") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise Damaged(f"{path} is damaged ({str(error).splitlines()[0]}): restore it, or train the run again") from None
    found = (rows.schema.metadata or {}).get(key)
    if found != version:
        held = f"version {found.decode()}" if found else "no version"
        raise UserError(
            f"{path} has {held} of the {key.decode()} schema, not {version.decode()}: read it with the "
            "code of its commit, or train the run again"
        )
    if not rows.schema.equals(schema):
        raise UserError(f"{path} has columns {rows.schema.names}, not {schema.names}: train the run again")
    return rows


@dataclass(frozen=True)
class Seen:
    """What a probe found of a layer, with the columns above."""

    layer: int | None
    index: int | None
    value: float


LOWEST, HIGHEST = -24, 8  # powers of two


def bin_edges() -> list[float]:
    """The edges of a probe's histogram: bin `index` lies between edges index and index + 1. The middle one holds all
    that is smaller than 2^LOWEST; from there bins grow by a factor of two, and the outermost know no end."""
    powers = [2.0**power for power in range(LOWEST, HIGHEST)]
    return [-math.inf, *(-power for power in reversed(powers)), *powers, math.inf]


class Rows:
    """Collects rows for the logs until they are written, by kind of log."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[dict[str, Any]]] = {kind: [] for kind in SCHEMAS}

    def measure(self, step: int, split: str, loss: float, **more: float) -> None:
        """Add a row of metrics; `more` are its other columns."""
        self.waiting["metrics"].append({"step": step, "split": split, "loss": loss, **more})

    def observe(self, step: int, split: str, probe: str, found: Iterable[Seen]) -> None:
        """Add the values of a probe."""
        row = {"step": step, "split": split, "probe": probe}
        self.waiting["probes"] += [row | vars(each) for each in found]

    def time(self, step: int, phase: str, since: float) -> float:
        """Add the seconds of a phase that started at `since`; returns the present time, the start of the next phase."""
        now = time.perf_counter()
        self.waiting["timing"].append({"step": step, "phase": phase, "seconds": now - since})
        return now

    def tables(self) -> dict[str, pa.Table]:
        """Take the collected rows, as one table for each kind of log; probes are left out where there are none."""
        found = {kind: table(rows, SCHEMAS[kind]) for kind, rows in self.waiting.items() if rows or kind != "probes"}
        self.waiting = {kind: [] for kind in SCHEMAS}
        return found


@dataclass(frozen=True)
class Run:
    """The evidence of one run."""

    path: Path
    manifest: dict[str, Any]

    @property
    def name(self) -> str:
        """Such as `r4-s0`."""
        return self.manifest["run"]

    def metrics(self) -> pa.Table:
        """The rows of metrics.parquet, with the columns above."""
        return read(self.path / "metrics.parquet", METRICS)

    def final_losses(self, splits: Sequence[str]) -> dict[str, float]:
        """The loss of each of the splits at its last evaluation, in nats; those never evaluated are left out."""
        rows = self.metrics().to_pylist()  # in the order of steps
        last = {row["split"]: row["loss"] for row in rows}
        return {split: last[split] for split in splits if split in last}

    def timing(self) -> pa.Table:
        """The rows of timing.parquet, with the columns above."""
        return read(self.path / "timing.parquet", TIMING)

    def probes(self) -> pa.Table:
        """The rows of probes.parquet, with the columns above; none where the run has no probes."""
        return self._optional("probes.parquet", PROBES)

    def embedding(self) -> pa.Table:
        """The model's token embedding at the end, with the columns above; no rows where it was not asked to leave
        it."""
        return self._optional("embedding.parquet", EMBEDDING)

    def samples(self) -> pa.Table:
        """The texts that the model drew, with the columns above; no rows where none were asked for."""
        return self._optional("samples.parquet", SAMPLES)

    def _optional(self, name: str, schema: pa.Schema) -> pa.Table:
        """The rows of a file of evidence that not every run has: one that the manifest does not list, such as that of
        a command that was killed, is none."""
        return read(self.path / name, schema) if name in self.manifest.get("files", {}) else table([], schema)

    def attach(self, name: str, rows: pa.Table) -> None:
        """Add a file of evidence to an ended run, or write it anew, and note its checksum in the manifest."""
        write(self.path / name, rows)
        self.manifest["files"] = {
            each: sha256(self.path / each) for each in EVIDENCE if each == name or each in self.manifest["files"]
        }
        write_manifest(self.path, self.manifest)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a run's folder, whole or not at all."""
    write_atomic(folder / "manifest.json", json.dumps(manifest, indent=1, ensure_ascii=False) + "\n")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The manifest of a run's folder; None where there is none.

    Raises `Damaged` where it cannot be read, `UserError` for another schema, a missing key or an identity that is not
    that of its spec.
    """
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except NotADirectoryError:
        raise UserError(f"{folder} is a file: name a run's folder, such as logs/mlp-ratio/laptop/r4-s0") from None
    except (OSError, ValueError) as error:
        raise Damaged(f"{path} cannot be read ({error}): restore it, or remove the folder to train again") from None
    if not isinstance(manifest, dict):
        raise Damaged(f"{path} cannot be read (no JSON object): restore it, or remove the folder to train again")
    if manifest.get("schema") != SCHEMA_VERSION:
        raise UserError(
            f"{path} has schema {manifest.get('schema')!r}, not {SCHEMA_VERSION!r}: read it with the code of its "
            "commit, or move it and what is beside it away to train again"
        )
    needed = (*NEEDED, "files") if manifest.get("status") in ENDED else NEEDED
    missing = [key for key in needed if key not in manifest]
    if missing:
        raise UserError(f"{path} has no {missing[0]}: restore it, or remove the folder to train again")
    if identity(manifest["spec"], manifest["corpus"]["sha256"]) != manifest["identity"]:
        raise UserError(
            f"{path} does not match its spec, as its identity {manifest['identity']} belongs to another run: restore "
            "it, or remove the folder to train again"
        )
    return manifest


def read_run(folder: Path) -> Run | None:
    """The evidence in a run's folder; None where there is none. Raises what `read_manifest` raises."""
    manifest = read_manifest(folder)
    return Run(folder, manifest) if manifest else None


def check(run: Run) -> None:
    """Check an ended run's files against its manifest; raises a `UserError` for the first that does not match."""
    manifest = run.manifest
    named = (manifest["experiment"], manifest["profile"], manifest["run"])
    if Path(os.path.abspath(run.path)).parts[-3:] != named:  # a link to a folder keeps its own name
        called = "/".join(named)
        raise UserError(f"{run.path} holds the manifest of {called}: move it back to that folder")
    if manifest["status"] not in ENDED:
        raise UserError(f"{run.path} has not ended: train it to its end first")
    if not set(manifest["files"]) <= set(EVIDENCE):
        others = sorted(set(manifest["files"]) - set(EVIDENCE))
        raise UserError(f"{run.path} lists files that are no evidence ({', '.join(others)}): restore its manifest")
    for name, digest in manifest["files"].items():
        path = run.path / name
        if not path.is_file():
            raise Damaged(f"{path} is missing: restore it, or train the run again")
        if sha256(path) != digest:
            raise Damaged(f"{path} does not match the checksum of its manifest: restore it, or train the run again")
    for rows in (run.metrics(), run.timing()):
        if rows.num_rows == 0:
            raise UserError(f"{run.path} has an empty log: train the run again")


def read_runs(root: Path, experiment: str, profile: str, names: Sequence[str] | None = None) -> list[Run]:
    """The ended runs (finished or diverged) of an experiment's profile, in the order of their names, each checked
    against its manifest; `names` selects some of them."""
    folder = Path(root) / experiment / profile
    found = [read_run(path) for path in sorted(folder.iterdir()) if path.is_dir()] if folder.is_dir() else []
    runs = [run for run in found if run and run.manifest["status"] in ENDED and (names is None or run.name in names)]
    for run in runs:
        check(run)
    return runs
