"""Two processes that train one run, as torchrun starts them, against one process."""

import subprocess
import sys
from pathlib import Path

TRAIN = ["-m", "runner.cli", "train", "mlp-ratio", "--profile", "smoke", "--precision", "float32", "--no-compile"]
LAUNCH = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]


def call(folder: Path, *words: str, together: bool = False) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *(LAUNCH if together else []), *TRAIN, "--runs", str(folder), "--threads", "1", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def metrics(folder: Path) -> bytes:
    (path,) = folder.glob("scratch/smoke/*/metrics.parquet")
    return path.read_bytes()


def test_two_processes_leave_the_bytes_of_one(tmp_path):
    settings = ("--grad-accumulation", "2", "--steps", "30")
    alone, both = call(tmp_path / "one", *settings), call(tmp_path / "two", *settings, together=True)
    assert alone.returncode == 0, alone.stderr
    assert both.returncode == 0, both.stdout + both.stderr
    assert metrics(tmp_path / "one") == metrics(tmp_path / "two")
    assert both.stdout.count("finished") == alone.stdout.count("finished"), "one of them speaks"
    again = call(tmp_path / "two", *settings, together=True)
    assert again.returncode == 0, again.stdout + again.stderr
    assert metrics(tmp_path / "one") == metrics(tmp_path / "two")


def test_micro_batches_that_cannot_be_shared_are_one_line(tmp_path):
    done = call(tmp_path, "--steps", "30", together=True)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert "grad_accumulation = 1 micro-batches cannot be shared by 2 processes: choose a multiple of 2" in said
