import hashlib
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from runner.errors import UserError
from runner.evidence import checkpoint, log


def rows(*steps: int) -> dict[str, pa.Table]:
    return {
        "metrics": log.table([{"step": s, "split": "batch", "loss": float(s)} for s in steps], log.METRICS),
        "timing": log.table([{"step": s, "phase": "train", "seconds": 1.0} for s in steps], log.TIMING),
    }


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Commits at steps 10, 20 and 30, of which the last two are kept."""
    commit = None
    for step in (10, 20, 30):
        commit = checkpoint.save(tmp_path, commit, step, "abc", {"m": step}, {"w": torch.tensor([step])}, rows(step))
    return tmp_path


def seen(folder: Path, said: list[str], identity: str = "abc"):
    found = checkpoint.latest(folder, identity, said.append)
    if found is None:
        return None
    commit, tensors = found
    steps = checkpoint.logs(folder, commit)["metrics"].column("step").to_pylist()
    return commit.step, int(tensors["w"]), commit.manifest["m"], steps


def test_the_newest_is_used_and_two_are_kept(three: Path):
    said: list[str] = []
    assert seen(three, said) == (30, 30, 30, [10, 20, 30])
    assert said == []
    assert sorted(p.name for p in three.iterdir()) == ["00000020", "00000030", "log"]


def test_a_step_whose_evaluation_was_due_keeps_the_one_before_it(three: Path):
    found = checkpoint.latest(three, "abc", print)
    due = checkpoint.save(three, found[0], 40, "abc", {"m": 40}, {"w": torch.tensor([40])}, rows(40), due=True)
    checkpoint.save(three, due, 40, "abc", {"m": 41}, {"w": torch.tensor([40])}, rows(40))
    assert sorted(p.name for p in three.iterdir()) == ["00000030", "00000040", "log"]
    assert seen(three, []) == (40, 40, 41, [10, 20, 30, 40, 40])


def test_until_its_evaluation_is_saved_a_due_step_stays_whole(three: Path, monkeypatch):
    due = checkpoint.save(three, None, 40, "abc", {"m": 40}, {"w": torch.tensor([40])}, rows(40), due=True)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "_place", full)
        with pytest.raises(OSError, match="No space"):
            checkpoint.save(three, due, 40, "abc", {"m": 41}, {"w": torch.tensor([40])}, rows(40))
    said: list[str] = []
    assert seen(three, said) == (40, 40, 40, [40])
    assert said == []
    after = checkpoint.save(three, due, 40, "abc", {"m": 41}, {"w": torch.tensor([40])}, rows(40))
    assert checkpoint.unpack(three.parent / "there", checkpoint.pack(three, "abc"), "abc") == after


@pytest.mark.parametrize("hurt", ["flip", "cut", "remove", "commit", "log"])
def test_where_it_is_damaged_the_one_before_is_used_and_the_log_goes_back(three: Path, hurt: str):
    path = {"commit": three / "00000030/commit.json", "log": three / "log/metrics-00000030.parquet"}.get(
        hurt, three / "00000030/state.safetensors"
    )
    content = bytearray(path.read_bytes())
    if hurt == "remove":
        path.unlink()
    elif hurt == "flip":
        content[-1] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[:-3])
    said: list[str] = []
    assert seen(three, said) == (20, 20, 20, [10, 20])
    assert len(said) == 1
    assert "the checkpoint of step 30 is damaged" in said[0]
    assert "going back to step 20, and the log with it" in said[0]


def test_with_all_damaged_it_starts_again(three: Path):
    for path in three.glob("*/state.safetensors"):
        path.write_bytes(b"")
    said: list[str] = []
    assert seen(three, said) is None
    assert "starting again from step 0" in said[-1]


def test_rows_of_no_commit_are_not_seen(three: Path):
    log.write(three / "log/metrics-00000040.parquet", rows(40)["metrics"])
    assert seen(three, []) == (30, 30, 30, [10, 20, 30])


def test_another_identity_is_not_taken(three: Path):
    assert seen(three, [], identity="xyz") is None


def test_a_commit_that_fails_leaves_those_before(three: Path, monkeypatch):
    commit, _ = checkpoint.latest(three, "abc", print)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(three, commit, 40, "abc", {"m": 40}, {"w": torch.tensor([40])}, rows(40))
    assert seen(three, []) == (30, 30, 30, [10, 20, 30])


def test_weights_come_from_the_newest_whole_commit(three: Path, tmp_path: Path):
    (three / "00000030/state.safetensors").write_bytes(b"")
    assert int(checkpoint.weights(three, "abc")["w"]) == 20
    for folder, identity, why in ((tmp_path / "none", "abc", "does not exist"), (three, "xyz", "holds no undamaged")):
        with pytest.raises(UserError, match=why):
            checkpoint.weights(folder, identity)


def test_a_bit_flipped_anywhere_in_the_commit_is_found(three: Path):
    path = three / "00000030/commit.json"
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        flipped = bytearray(content)
        flipped[position] ^= 1
        path.write_bytes(flipped)
        assert seen(three, []) == (20, 20, 20, [10, 20]), position


def test_a_new_beginning_outlives_damaged_and_foreign_commits_of_higher_steps(three: Path):
    for path in three.glob("*/state.safetensors"):
        path.write_bytes(b"")
    commit = checkpoint.save(three, None, 5, "abc", {"m": 5}, {"w": torch.tensor([5])}, rows(5))
    assert seen(three, []) == (5, 5, 5, [5])
    checkpoint.save(three, None, 4, "xyz", {"m": 4}, {"w": torch.tensor([4])}, rows(4))
    assert seen(three, [], "xyz") == (4, 4, 4, [4])
    assert commit.step == 5


def test_what_a_killed_process_left_is_swept_up(three: Path):
    (three / ".00000040.123").mkdir()
    (three / ".scratch").write_text("")
    checkpoint.sweep_up(three)
    assert sorted(p.name for p in three.iterdir()) == ["00000020", "00000030", "log"]


def test_a_commit_travels_whole_or_not_at_all(three: Path, tmp_path: Path):
    there = tmp_path / "there" / "checkpoint"
    packed = checkpoint.pack(three, "abc")
    assert checkpoint.unpack(there, packed, "abc").step == 30
    assert seen(there, []) == seen(three, []) == (30, 30, 30, [10, 20, 30])
    assert checkpoint.pack(there, "abc") == packed
    assert checkpoint.pack(there, "xyz") is None
    commit, _ = checkpoint.latest(three, "abc", print)
    commit = checkpoint.save(three, commit, 40, "abc", {"m": 40}, {"w": torch.tensor([40])}, rows(40))
    checkpoint.save(three, commit, 50, "abc", {"m": 50}, {"w": torch.tensor([50])}, rows(50))
    packed = checkpoint.pack(three, "abc")
    for path, content in packed.items():
        with pytest.raises(UserError):
            checkpoint.unpack(there, packed | {path: content[:-1] + bytes([content[-1] ^ 1])}, "abc")
        with pytest.raises(UserError, match="is no complete checkpoint of this run"):
            checkpoint.unpack(there, {name: packed[name] for name in packed if name != path}, "abc")
    with pytest.raises(UserError, match="is no complete checkpoint of this run"):
        checkpoint.unpack(there, packed, "xyz")
    assert seen(there, []) == (30, 30, 30, [10, 20, 30])
    checkpoint.unpack(there, packed, "abc")
    assert seen(there, []) == (50, 50, 50, [10, 20, 30, 40, 50])
    (there / "00000050/state.safetensors").write_bytes(b"")
    assert checkpoint.last_step(there) == 50
    assert seen(there, []) == (30, 30, 30, [10, 20, 30]), "the one before was kept"


def test_a_damaged_commit_is_not_sent(three: Path):
    (three / "00000030/state.safetensors").write_bytes(b"")
    assert "00000020/commit.json" in checkpoint.pack(three, "abc")


def test_a_commit_that_names_other_files_is_not_written(three: Path, tmp_path: Path):
    packed, (commit, _) = checkpoint.pack(three, "abc"), checkpoint.latest(three, "abc", print)
    evil = replace(commit, files=commit.files | {"../../evil": hashlib.sha256(b"evil").hexdigest()})
    checkpoint._place(three, evil, packed["00000030/state.safetensors"])
    packed |= {"../../evil": b"evil", "00000030/commit.json": (three / "00000030/commit.json").read_bytes()}
    with pytest.raises(UserError, match=r"lists \.\./\.\./evil, which no checkpoint has"):
        checkpoint.unpack(tmp_path / "a" / "b" / "checkpoint", packed, "abc")
    assert not (tmp_path / "a").exists()
