import json
from pathlib import Path

import numpy as np
import pytest

from runner.data import shards
from runner.errors import UserError

LENGTHS = ([5, 1, 4], [], [3], [2, 2, 9])  # documents of four shards, one of them empty


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Four shards of the tokens 0, 1, 2 and so on."""
    folder, begin = tmp_path / "corpus", 0
    for number, lengths in enumerate(LENGTHS):
        parts = []
        for length in lengths:  # each document a part of its own
            parts.append((np.arange(begin, begin + length, dtype=np.uint16), np.array([length])))
            begin += length
        shards.write(folder, number, f"{number}.parquet", f"sum {number}", iter(parts))
    return folder


def test_the_shards_are_one_sequence(place: Path):
    stream = shards.Stream(place)
    assert len(stream) == 26
    assert [shard.tokens for shard in stream.shards] == [10, 0, 3, 13]
    assert [shard.documents for shard in stream.shards] == [3, 0, 1, 3]
    for length in (1, 4, 13, 26):
        starts = np.arange(26 - length + 1)[::-1].copy()
        windows = stream.windows(starts, length)
        assert windows.dtype == np.uint16
        assert (windows == starts[:, None] + np.arange(length)).all()
    assert stream.windows(np.empty(0, np.int64), 4).shape == (0, 4)


@pytest.mark.parametrize("start", [-1, 23, 26])
def test_a_window_outside_the_sequence_is_an_error(place: Path, start: int):
    with pytest.raises(IndexError, match="windows of 4"):
        shards.Stream(place).windows(np.array([0, start]), 4)


def test_documents_begin_where_they_did(place: Path):
    stream = shards.Stream(place)
    assert stream.documents(0, 26).tolist() == [0, 5, 6, 10, 13, 15, 17]
    assert stream.documents(5, 13).tolist() == [5, 6, 10]
    assert stream.documents(11, 13).tolist() == []
    assert stream.documents(0, 26).dtype == np.int64


def test_a_fingerprint_stays_when_more_shards_come(place: Path):
    before = {stop: shards.Stream(place).fingerprint(stop) for stop in (1, 10, 11, 13, 14, 26)}
    more = np.arange(100, 107, dtype=np.uint16)
    shards.write(place, 4, "4.parquet", "sum 4", [(more, np.array([7]))])
    stream = shards.Stream(place)
    assert {stop: stream.fingerprint(stop) for stop in before} == before
    assert before[1] == before[10] != before[11] == before[13] != before[14] == before[26]
    assert stream.fingerprint(27) not in before.values()
    with pytest.raises(UserError, match="holds 33 tokens, fewer than the 34 asked for: load more"):
        stream.fingerprint(34)


def test_a_damaged_shard_is_noticed(place: Path):
    path = place / "0003.bin"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    stream = shards.Stream(place)
    stream.check(13)
    with pytest.raises(UserError, match=r"0003\.bin has sha256 .*, not .*: delete it") as error:
        stream.check()
    assert stream.shards[3].sha256 in str(error.value)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UserError, match=r"0003\.bin has 24 bytes, not 26: delete it"):
        shards.Stream(place)
    path.unlink()
    with pytest.raises(UserError, match=r"0003\.bin is missing"):
        shards.Stream(place)


def test_a_shard_that_comes_out_otherwise_is_refused(place: Path):
    old = (place / "0000.bin").read_bytes()
    with pytest.raises(UserError, match=r"0000\.bin comes out with sha256 .*, not"):
        shards.write(place, 0, "0.parquet", "sum 0", [(np.arange(10, dtype=np.uint16)[::-1], np.array([10]))])
    assert (place / "0000.bin").read_bytes() == old
    assert not list(place.glob(".*"))


def test_no_index_no_shards(tmp_path: Path):
    assert shards.read_index(tmp_path) == []
    assert len(shards.Stream(tmp_path)) == 0
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(UserError, match=r"index\.json cannot be read"):
        shards.read_index(tmp_path)
    (tmp_path / "index.json").write_text(json.dumps({"schema": "0", "shards": []}))
    with pytest.raises(UserError, match="has schema '0', not '1'"):
        shards.read_index(tmp_path)
