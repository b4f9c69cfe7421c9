from pathlib import Path

import pytest

from runner.files import sha256, write_atomic


def test_a_failed_write_leaves_the_old_file_and_no_scratch(tmp_path: Path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_folders_are_made_and_sums_are_those_of_the_content(tmp_path: Path):
    write_atomic(tmp_path / "a" / "b", b"")
    assert sha256(tmp_path / "a" / "b").startswith("e3b0c44298fc1c14")
