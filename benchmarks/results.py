"""What a benchmark says: a table on the terminal, and the same as parquet for the site's page of benchmarks."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from runner.training.machine import commit, environment, resolve

FOLDER = Path(__file__).parent / "results"
Row = dict[str, Any]
Columns = dict[str, Callable[[Row], str]]  # heading → how a row shows it


def report(name: str, title: str, rows: list[Row], columns: Columns, console: Console) -> None:
    """Print the rows, and write them as `results/<name>.parquet`; its metadata holds the table as it was printed."""
    shown = [[form(row) for form in columns.values()] for row in rows]
    versions = f"torch {version('torch')}, tiktoken {version('tiktoken')}"
    grid = Table(title=title, caption=f"{os.cpu_count()} cores, {versions}")
    for heading in columns:
        grid.add_column(heading, justify="left" if heading == "what" else "right")
    for cells in shown:
        grid.add_row(*cells)
    console.print(grid)
    FOLDER.mkdir(exist_ok=True)
    about = {
        "title": title,
        "columns": json.dumps(list(columns)),
        "rows": json.dumps(shown),
        "machine": environment(resolve({}))["machine"],
        "versions": versions,
        "commit": commit(FOLDER.parent),
        "date": datetime.now(UTC).date().isoformat(),
    }
    path = FOLDER / f"{name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(about), path)
    console.print(f"written to {path}")
