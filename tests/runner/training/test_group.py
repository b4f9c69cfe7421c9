"""Two processes that train one run, as torchrun starts them, against one process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from runner.errors import UserError
from runner.evidence import planned
from runner.launch import progress
from runner.lock import hold
from runner.plan import experiment
from runner.plan.plan import Plan
from runner.training.group import Group
from runner.training.machine import resolve
from tests.conftest import ROOT, train_here

TRAIN = ["train", "mlp-ratio", "--profile", "smoke", "--precision", "float32", "--no-compile", "--threads", "1"]
LAUNCH = [str(Path(sys.executable).with_name("torchrun")), "--standalone", "--nproc_per_node", "2"]
SETTINGS = ("--grad-accumulation", "2", "--steps", "20")


def start(runs: Path, *words: str) -> subprocess.Popen[str]:
    command = [*LAUNCH, "-m", "runner.cli", *words, "--runs", str(runs)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def call(runs: Path, *words: str) -> tuple[int, str, str]:
    """The status and what was said, after the end."""
    with start(runs, *words) as process:
        try:
            return ended(process)
        finally:
            process.kill()


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    assert f'File "{ROOT / "runner"}' not in err, f"a traceback of ours: {err}"
    return process.returncode, out, err


def folder(runs: Path) -> Path:
    (path,) = runs.glob("scratch/smoke/mlp-ratio-*")
    return path


def metrics(runs: Path) -> bytes:
    return (folder(runs) / "metrics.parquet").read_bytes()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def sessions(runs: Path) -> list[int]:
    """The steps from which a run has been trained so far."""
    found = list(runs.glob("scratch/smoke/*/manifest.json"))
    return [session["from_step"] for session in json.loads(found[0].read_text())["sessions"]] if found else []


def reached(runs: Path) -> int:
    """The step that a run in training has told last."""
    now = progress.read(folder(runs))
    return now.step if now else 0


def alone(settings: dict[str, Any], runs: Path) -> Plan:
    """The same run in this process."""
    plan = experiment.load("mlp-ratio").variant("smoke", settings, 0)
    assert train_here(plan, runs) == "finished"
    return plan


def own_words(said: str) -> list[str]:
    """The lines that a person reads, without how long it took."""
    return [re.sub(r" in \d+ s", "", line) for line in said.splitlines() if line]


def test_two_processes_leave_the_bytes_of_one_and_one_of_them_speaks(tmp_path):
    watched = {"eval.probes": ["all"], "eval.probe_every": 5}
    plan = alone({"train.grad_accumulation": 2, "train.steps": 20} | watched, tmp_path / "one")
    words = [word for name, value in watched.items() for word in ("--set", f"{name}={json.dumps(value)}")]
    code, both, errors = call(tmp_path / "two", *TRAIN, *SETTINGS, *words)
    assert code == 0, errors
    assert errors == ""
    for log in ("metrics.parquet", "probes.parquet"):
        one, two = ((folder(tmp_path / name) / log).read_bytes() for name in ("one", "two"))
        assert one == two
    *said, last = own_words(both)
    assert said == [
        f"{plan.name} trains: it has not been trained",
        f"✓ {plan.name} finished",
        "1 run: 1 finished",
    ]
    assert last.startswith(f"{folder(tmp_path / 'two')}: final loss train ")
    files = [{path.name for path in folder(tmp_path / way).iterdir()} for way in ("one", "two")]
    assert files[0] == files[1], "one folder and one log"
    assert json.loads((folder(tmp_path / "two") / "manifest.json").read_text())["environment"]["processes"] == 2
    stamp = (folder(tmp_path / "two") / "manifest.json").stat().st_mtime_ns
    code, again, errors = call(tmp_path / "two", *TRAIN, *SETTINGS, *words)
    assert code == 0, errors
    assert errors == ""
    assert "it finished at step 20" in again
    assert stamp == (folder(tmp_path / "two") / "manifest.json").stat().st_mtime_ns, "both skip what is finished"


def test_stopped_killed_and_orphaned_they_go_on_to_the_bytes_of_one(tmp_path):
    """Ctrl-C, then SIGKILL for torchrun and both of its processes, then for torchrun alone, when both save and leave,
    then the end."""
    words = [*TRAIN, "--grad-accumulation", "2", "--steps", "200", "--val-every", "100"]
    two, pattern = tmp_path / "two", r"stopped and saved at step (\d+) of 200; the same command resumes it"
    with start(two, *words) as process:
        until(lambda: sessions(two) == [0] and reached(two) > 0)
        process.send_signal(signal.SIGINT)
        code, said, _ = ended(process)
    assert code != 0
    (stopped,) = map(int, re.findall(pattern, said))
    assert 0 < stopped < 200
    with start(two, *words) as process:
        until(lambda: sessions(two) == [0, stopped] and reached(two) > stopped)
        for each in [process, *psutil.Process(process.pid).children(recursive=True)]:
            each.kill()
        process.communicate()
    before = set(folder(two).glob("checkpoint/*/commit.json"))
    with start(two, *words) as process:
        until(lambda: reached(two) > stopped)  # told by this one: what a killed process told is not believed
        both = psutil.Process(process.pid).children()
        process.kill()
        assert len(both) == 2
        assert not psutil.wait_procs(both, timeout=30)[1]
        process.communicate()
    assert len(set(folder(two).glob("checkpoint/*/commit.json")) - before) == 1
    assert not (folder(two) / "metrics.parquet").exists()
    assert call(two, *words)[0] == 0
    alone({"train.grad_accumulation": 2, "train.steps": 200, "eval.every": 100}, tmp_path / "one")
    assert sessions(two)[:2] == [0, stopped]
    assert stopped < sessions(two)[-1] < 200
    assert metrics(tmp_path / "one") == metrics(two)


def test_a_process_that_is_lost_takes_the_others_with_one_line(tmp_path):
    with start(tmp_path, *TRAIN, "--grad-accumulation", "2", "--steps", "100000") as process:
        until(lambda: sessions(tmp_path) == [0])
        (other,) = [p for p in psutil.Process(process.pid).children() if p.environ()["RANK"] == "1"]
        other.kill()
        code, _, errors = ended(process)
    assert code != 0
    assert errors.count("runner: process 0 of 2 has lost the others and stops") == 1


def test_micro_batches_that_cannot_be_shared_are_one_line_and_status_2(tmp_path):
    code, _, errors = call(tmp_path, *TRAIN, "--steps", "20", "--grad-accumulation", "1")
    line = "grad_accumulation = 1 micro-batches cannot be shared by 2 processes: choose a multiple of 2"
    assert code != 0
    assert errors.count(f"runner: {line}\n") == 1
    assert "exitcode  : 2 " in errors
    assert not list(tmp_path.rglob("manifest.json"))


def test_a_run_that_another_process_holds_is_one_line_and_status_2(tmp_path):
    name = "mlp-ratio-r4-s0-grad_accumulation=2-steps=20"
    with hold(tmp_path / "scratch" / "smoke" / name):
        code, _, errors = call(tmp_path, *TRAIN, *SETTINGS)
    assert code != 0
    assert errors.count(f"{name} is held by process {os.getpid()} on ") == 1
    assert set(re.findall(r"exitcode  : (\S+)", errors)) <= {"2", "-15"}, "the other one leaves, or is asked to"


RULED = """
title = "Two at a time"
name = "{activation}-s{seed}"
axes = { "model.activation" = ["relu2", "swiglu"] }
rule = { axis = "model.activation", champion = "swiglu", challenger = "relu2", split = "val", if_it_loses = ["gelu"] }
[profiles.smoke]
placement = { compile = false, precision = "float32" }
data = { train = [0, 2000], val = [2000, 3000] }
model = { n_layer = 1, n_head = 2, d_model = 16, block_size = 16 }
train = { steps = 2, batch_size = 4, grad_accumulation = 2, learning_rate = 0.0, min_learning_rate = 0.0 }
"""


def test_a_sweep_and_what_its_rule_adds(tmp_path):
    """Nothing is learned, so that the rule hangs on the first weights alone; with these, the challenger loses."""
    path = tmp_path / "ruled.toml"
    path.write_text(RULED)
    loaded = experiment.load(str(path))
    code, said, errors = call(tmp_path / "two", "sweep", str(path), "--profile", "smoke", "--threads", "1")
    assert code == 0, errors
    assert errors == ""
    for plan in loaded.plans("smoke"):
        train_here(plan, tmp_path / "one")
    decision = planned.decide(loaded, "smoke", tmp_path / "one")
    assert said.count(f"ruled: {decision.reason}\n") == 1
    for plan in decision.more:
        train_here(plan, tmp_path / "one")
    logs = [{p.parent.name: p.read_bytes() for p in (tmp_path / w).rglob("metrics.parquet")} for w in ("one", "two")]
    assert logs[0] == logs[1]
    assert set(logs[0]) == {"relu2-s0", "swiglu-s0", "gelu-s0"}


def test_each_process_takes_its_share(monkeypatch):
    assert list(Group().share(3)) == [0, 1, 2]
    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "3")
        shares += Group().share(6)
        assert Group().leads == (rank == 0)
    assert shares == [0, 1, 2, 3, 4, 5]
    with pytest.raises(UserError, match="7 micro-batches cannot be shared by 3 processes"):
        Group().share(7)


def test_the_processes_of_a_machine_share_its_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert resolve({"device": "cpu"}).threads == 8
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert resolve({"device": "cpu"}).threads == 2
    assert resolve({"device": "cpu", "jobs": 2}).threads == 1
    assert resolve({"device": "cpu", "threads": 3}).threads == 3
