from pathlib import Path

from runner import lock
from runner.launch import progress
from runner.training.progress import Progress


def at(step: int) -> Progress:
    return Progress("r4-s0", step, 100, 2.5, 1000.0)


def test_another_process_reads_the_step_and_the_time_left(tmp_path: Path):
    clock = iter([1000.0, 1001.0, 1010.0])
    with lock.hold(tmp_path), progress.File(tmp_path, lambda: next(clock)) as file:
        file.note(at(10))
        assert progress.read(tmp_path, 1000.0) == progress.Standing(10, 100, 2.5, None)
        file.note(at(11))  # too soon after the first
        assert progress.read(tmp_path, 1001.0).step == 10
        file.note(at(60))  # 50 steps in 10 s
        assert progress.read(tmp_path, 1013.0) == progress.Standing(60, 100, 2.5, 5.0)
        assert progress.read(tmp_path, 2000.0).left == 0.0
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


def test_what_a_killed_process_left_is_not_believed(tmp_path: Path):
    progress.File(tmp_path).note(at(10))
    assert progress.read(tmp_path) is None
    with lock.hold(tmp_path):
        assert progress.read(tmp_path).step == 10
        (tmp_path / progress.NAME).write_text((tmp_path / progress.NAME).read_text().replace('"pid": ', '"pid": 1'))
        assert progress.read(tmp_path) is None
        (tmp_path / progress.NAME).write_text("{")
        assert progress.read(tmp_path) is None


def test_a_folder_that_cannot_be_written_to_stops_no_run(tmp_path: Path):
    progress.File(tmp_path / "nowhere").note(at(10))
    assert list(tmp_path.iterdir()) == []
