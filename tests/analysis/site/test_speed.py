import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from analysis.site import speed
from benchmarks import results
from runner.errors import UserError

ROWS = [{"what": "plain | loop", "seconds": 1.5}, {"what": "ours", "seconds": 0.25}]
COLUMNS = {"what": lambda row: row["what"], "s": lambda row: f"{row['seconds']:.2f}"}


def test_the_page_shows_what_the_terminal_showed(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path / "results")
    console = Console(record=True, width=80)
    results.report("step", "steps, in turn", ROWS, COLUMNS, console)
    said = console.export_text()
    files = speed.pages(tmp_path / "results", "benchmarks/results")
    page = files["speed.md"].decode()
    assert "## Steps, in turn" in page
    assert "| :-- | --: |" in page
    for cell in ("plain", "ours", "1.50", "0.25"):
        assert cell in said
        assert cell in page
    assert "[step.parquet](speed/step.parquet)" in page
    assert pq.read_table(files["speed/step.parquet"]).to_pylist() == ROWS
    assert set(speed.ABOUT) <= {key.decode() for key in pq.read_schema(files["speed/step.parquet"]).metadata}


def test_nothing_measured_and_a_strange_file(tmp_path):
    assert "Nothing has been measured" in speed.pages(tmp_path / "none", "none")["speed.md"].decode()
    table = pa.table({"a": [1]}).replace_schema_metadata({"title": json.dumps("t")})
    pq.write_table(table, tmp_path / "step.parquet")
    with pytest.raises(UserError, match=r"results/step\.parquet has no columns: make it again with: make bench"):
        speed.pages(tmp_path, "results")
    (tmp_path / "step.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"^results/step\.parquet: .*make it again with: make bench$"):
        speed.pages(tmp_path, "results")
