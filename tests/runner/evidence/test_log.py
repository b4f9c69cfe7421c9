import json
import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.errors import UserError
from runner.evidence import log

ROWS = [
    {"step": 0, "split": "batch", "loss": 4.2, "learning_rate": 1e-3, "grad_norm": 0.5},
    {"step": 5, "split": "val", "loss": float("nan")},
]


def test_rows_come_back_as_they_were(tmp_path: Path):
    path = tmp_path / "metrics.parquet"
    log.write(path, log.table(ROWS, log.METRICS))
    rows = log.read(path, log.METRICS)
    assert rows.column("step").to_pylist() == [0, 5]
    assert rows.column("learning_rate").to_pylist() == [1e-3, None]
    assert rows.column("loss")[0].as_py() == 4.2


def test_rows_wait_until_they_are_handed_over():
    rows = log.Rows()
    rows.measure(0, "batch", 4.2, learning_rate=1e-3, grad_norm=0.5)
    rows.measure(5, "val", 4.1)
    since = rows.time(5, "train", 0.0)
    found = rows.tables()
    assert set(found) == {"metrics", "timing"}, "no probe, no table of them"
    assert found["metrics"].schema == log.METRICS
    assert found["metrics"].to_pylist()[1] == {
        "step": 5, "split": "val", "loss": 4.1, "learning_rate": None, "grad_norm": None
    }  # fmt: skip
    assert found["timing"].to_pylist() == [{"step": 5, "phase": "train", "seconds": since}]
    assert [table.num_rows for table in rows.tables().values()] == [0, 0]
    seen = [(0, None, 2.5), (None, 3, 7.0)]
    rows.observe(5, "val", "attention_logit", [log.Seen(*each) for each in seen])
    assert rows.tables()["probes"].to_pylist() == [
        {"step": 5, "split": "val", "probe": "attention_logit", "layer": layer, "index": index, "value": value}
        for layer, index, value in seen
    ]


def test_the_edges_of_a_histogram_are_powers_of_two_and_open():
    edges = log.bin_edges()
    assert edges == sorted(edges)
    assert edges == [-edge for edge in reversed(edges)]
    assert (edges[-1], edges[-2], edges[33]) == (math.inf, 2**7, 2**-24)
    assert len(edges) == 66


def test_bytes_do_not_depend_on_the_pieces(tmp_path: Path):
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    log.write(whole, log.table(ROWS, log.METRICS))
    log.write(pieces, pa.concat_tables([log.table(ROWS[:1], log.METRICS), log.table(ROWS[1:], log.METRICS)]))
    assert whole.read_bytes() == pieces.read_bytes()


def test_what_cannot_be_read_whole_is_named(tmp_path: Path):
    path = tmp_path / "metrics.parquet"
    with pytest.raises(UserError, match="is missing"):
        log.read(path, log.METRICS)
    log.write(path, log.table(ROWS, log.METRICS))
    whole = path.read_bytes()
    for cut in (0, 3, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"metrics\.parquet is damaged"):
            log.read(path, log.METRICS)


def test_another_schema_is_named(tmp_path: Path):
    path = tmp_path / "metrics.parquet"
    rows = log.table(ROWS, log.METRICS)
    log.write(path, rows.replace_schema_metadata({"runner.metrics": "0"}))
    with pytest.raises(UserError, match=r"has version 0 of the runner\.metrics schema, not 3"):
        log.read(path, log.METRICS)
    pq.write_table(pa.table({"loss": [1.0]}), path)
    with pytest.raises(UserError, match="has no version"):
        log.read(path, log.METRICS)
    log.write(path, rows.drop_columns(["loss"]))
    with pytest.raises(UserError, match="has columns"):
        log.read(path, log.METRICS)


def test_a_manifest_that_cannot_be_believed_is_named(tmp_path: Path, trained):
    assert log.read_manifest(tmp_path) is None
    path = tmp_path / "manifest.json"
    path.write_text('{"schema": "3", ')
    with pytest.raises(UserError, match="cannot be read"):
        log.read_manifest(tmp_path)
    path.write_text('{"schema": "0"}')
    with pytest.raises(UserError, match="has schema '0', not '3'"):
        log.read_manifest(tmp_path)
    manifest = json.loads((trained / "manifest.json").read_text())
    manifest["spec"]["model"]["mlp_ratio"] = 3
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="does not match its spec"):
        log.read_manifest(tmp_path)


def test_runs_are_read_by_name(trained: Path):
    root, experiment, profile = trained.parents[2], trained.parents[1].name, trained.parent.name
    (run,) = log.read_runs(root, experiment, profile)
    assert run.name == trained.name
    assert run.metrics().num_rows > 0
    assert set(run.timing().column("phase").to_pylist()) >= {"train", "eval"}
    assert log.read_runs(root, experiment, profile, names=[]) == []
    assert log.read_runs(root, experiment, "nowhere") == []


def test_a_run_may_be_named_from_within(trained: Path, tmp_path: Path, monkeypatch):
    shutil.copytree(trained, tmp_path / trained.name)
    monkeypatch.chdir(trained.parent)
    run = log.read_run(Path(trained.name))
    log.check(run)
    assert run.name == trained.name
    log.check(log.read_run(Path("..") / trained.parent.name / trained.name))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="move it back to that folder"):
        log.check(log.read_run(Path(trained.name)))


def test_what_the_manifest_does_not_list_is_no_evidence(trained: Path, tmp_path: Path):
    folder = tmp_path.joinpath(*trained.parts[-3:])
    shutil.copytree(trained, folder)
    rows = log.table([{"step": 1, "split": "val", "probe": "loss", "value": 1.0}], log.PROBES)
    log.write(folder / "probes.parquet", rows)  # by a command that was killed before it listed it
    run = log.read_run(folder)
    assert run.probes().num_rows == 0
    run.attach("probes.parquet", rows)
    assert log.read_run(folder).probes().num_rows == 1
