import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from runner.errors import UserError
from runner.evidence import archive, baselines, log
from runner.evidence.baselines import Baseline, Counted
from runner.files import checksum

DATA = {"corpus": "tiny-shakespeare", "train": [0, 10], "val": [10, 20]}
CORPUS = {"name": "tiny-shakespeare", "sha256": "ab"}
ONE = Counted(DATA, CORPUS, 1, 65, 10, "val", "c0ffee", [Baseline("uniform", 0, 0, [], {"val": 4.17})])
KEY = baselines.key(DATA, "ab", 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With baselines in it."""
    place = tmp_path / "runs" / "mlp-ratio" / "smoke"
    assert baselines.write(place, {KEY: ONE}) == place / "baselines.json"
    return place


def test_what_was_written_is_read(folder, tmp_path):
    assert baselines.read(folder) == {KEY: ONE}
    assert baselines.read(tmp_path) == {}
    assert baselines.files(tmp_path / "runs") == [folder / "baselines.json"]
    assert baselines.files(tmp_path / "runs", "web-ratio") == []


def test_a_file_that_does_not_hold_is_refused_in_a_line(folder, tmp_path):
    path = folder / "baselines.json"
    whole = path.read_text()
    remedy = "make it again with `runner baselines mlp-ratio --profile smoke`"
    for content, said in (
        ("[]", "cannot be read"),
        ("{", "cannot be read"),
        (whole.replace('"schema": "1"', '"schema": "0"'), "has schema '0', not '1'"),
        (whole.replace("4.17", "4.18"), "does not match its checksum"),
    ):
        path.write_text(content)
        with pytest.raises(UserError, match=said) as error:
            baselines.read(folder)
        assert str(error.value).endswith(remedy)
        assert "\n" not in str(error.value)
    body = json.loads(whole) | {"counted": {KEY: {"data": DATA}}}
    del body["sha256"]
    path.write_text(json.dumps(body | {"sha256": checksum(body)}))
    with pytest.raises(UserError, match="has a missing or an unknown key"):
        baselines.read(folder)
    path.write_text(whole)
    other = tmp_path / "runs" / "web-ratio" / "smoke"
    other.mkdir(parents=True)
    path.rename(other / "baselines.json")
    with pytest.raises(UserError, match="holds the baselines of mlp-ratio/smoke: move it back to that folder"):
        baselines.read(other)
    baselines.write(folder, {"0123456789ab": ONE})
    with pytest.raises(UserError, match="the key 0123456789ab is not that of its data"):
        baselines.files(tmp_path / "runs", "mlp-ratio")


def test_a_key_names_the_data_and_what_is_predicted_of_it():
    spec = {"data": DATA, "model": {"block_size": 8}}
    assert baselines.key_of(spec, "ab") == KEY
    contexts = {"data": DATA | {"task": "context"}, "model": {"block_size": 8}}
    assert baselines.skipped(contexts) == 8
    assert len({KEY, baselines.key(DATA, "cd", 1), baselines.key(DATA, "ab", 8), baselines.key_of(contexts, "ab")}) == 4


def test_losses_are_reported_on_the_split_that_tuned_nothing():
    assert ONE.reported == "val"
    held_out = Baseline("uniform", 0, 0, [], {"val": 4.17, "test": 4.17})
    assert replace(ONE, baselines=[held_out]).reported == "test"


def test_runs_are_read_beside_baselines(trained: Path, tmp_path):
    (run,) = archive.ended(trained.parents[2])
    archive.publish([run], tmp_path)
    baselines.write(tmp_path / "mlp-ratio" / "smoke", {KEY: ONE})
    assert [one.name for one in log.read_runs(tmp_path, "mlp-ratio", "smoke")] == [run.name]
    assert len(archive.ended(tmp_path)) == 1


def test_baselines_travel_with_the_runs(trained: Path, folder, tmp_path):
    runs, files = archive.ended(trained.parents[2]), baselines.files(folder.parents[1])
    archive.pack(runs, tmp_path / "logs.tar", files)
    logs = tmp_path / "logs"
    assert archive.unpack(tmp_path / "logs.tar", logs) == [
        logs / "mlp-ratio" / "smoke" / runs[0].name,
        logs / "mlp-ratio" / "smoke" / "baselines.json",
    ]
    assert archive.unpack(tmp_path / "logs.tar", logs) == []
    assert archive.publish_baselines(files, logs) == []
    assert baselines.read(logs / "mlp-ratio" / "smoke") == {KEY: ONE}


def test_baselines_that_do_not_hold_are_not_taken_in(trained: Path, folder, tmp_path):
    path = folder / "baselines.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"experiment": "web-ratio"}))
    archive.pack(archive.ended(trained.parents[2]), tmp_path / "logs.tar", [path])
    with pytest.raises(UserError, match=re.escape("does not match its checksum")):
        archive.unpack(tmp_path / "logs.tar", tmp_path / "logs")
    assert not (tmp_path / "logs").exists()
