"""Measure what logs cost: `python -m benchmarks.log`. Writing, at the paper profile's cadence, and reading back."""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console

from benchmarks.results import Columns, report
from runner.evidence import log, state
from runner.files import sha256
from runner.plan import experiment
from runner.plan.spec import as_dict

PLAN = experiment.load("mlp-ratio").plans("paper")[0]
RUNS, LONG = 100, 1_000_000


def spoken(seconds: float) -> str:
    """A time in the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size / 10:
            return f"{seconds / size:.2f} {unit}"
    return f"{seconds * 1e6:.0f} µs"


COLUMNS: Columns = {
    "what": lambda row: row["what"],
    "rows": lambda row: "" if row["rows"] is None else f"{row['rows']:,}",
    "time": lambda row: spoken(row["seconds"]),
}


def metrics(rows: int) -> pa.Table:
    """Rows that look like a run's."""
    steps = np.arange(rows, dtype=np.int32)
    losses = np.random.default_rng(0).normal(2, 0.1, rows)
    columns = [steps, ["batch"] * rows, losses, np.full(rows, 1e-3), np.full(rows, 0.5)]
    return pa.table(dict(zip(log.METRICS.names, columns, strict=True))).cast(log.METRICS)


def evidence(folder: Path, name: str, rows: pa.Table) -> None:
    """A finished run with these rows."""
    spec, corpus = as_dict(PLAN.spec), "0" * 64
    log.write(folder / name / "metrics.parquet", rows)
    log.write(folder / name / "timing.parquet", log.table([{"step": 1, "phase": "train", "seconds": 1.0}], log.TIMING))
    manifest = {
        "schema": log.SCHEMA_VERSION, "run": name, "experiment": folder.parent.name, "profile": folder.name,
        "status": "finished", "spec": spec, "corpus": {"sha256": corpus}, "identity": state.identity(spec, corpus),
        "code": "", "files": {file: sha256(folder / name / file) for file in ("metrics.parquet", "timing.parquet")},
    }  # fmt: skip
    (folder / name / "manifest.json").write_text(json.dumps(manifest))


def seconds(action: Callable[[], object], times: int) -> float:
    """The median of several calls."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    spec, console = PLAN.spec, Console()
    between = spec.eval.every // 10 + len(spec.data.splits())  # rows of one commit
    a_run = (spec.train.steps // spec.eval.every) * between
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write = seconds(lambda: log.write(root / "segment.parquet", metrics(between)), 50)
        for number in range(RUNS):
            evidence(root / "many" / "paper", f"run-{number}", metrics(a_run))
        read = seconds(lambda: pa.concat_tables([r.metrics() for r in log.read_runs(root, "many", "paper")]), 5)
        evidence(root / "long" / "paper", "run", metrics(LONG))
        long = seconds(lambda: log.read_runs(root, "long", "paper")[0].metrics(), 5)
        size = (root / "long" / "paper" / "run" / "metrics.parquet").stat().st_size
    rows = [
        {"what": "write the rows of one evaluation interval", "rows": between, "seconds": write},
        {"what": "… for each of its steps", "rows": None, "seconds": write / spec.eval.every},
        {"what": f"read {RUNS} runs into one frame", "rows": RUNS * a_run, "seconds": read},
        {"what": f"read one long run ({size / 1e6:.0f} MB)", "rows": LONG, "seconds": long},
    ]
    report("log", "logs, medians", rows, COLUMNS, console)


if __name__ == "__main__":
    main()
