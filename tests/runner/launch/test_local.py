import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from runner.evidence import log
from runner.launch import local
from runner.lock import hold, holder
from runner.plan import experiment
from runner.plan.placement import Placement
from tests.conftest import train_here

PLACEMENT = Placement(jobs=2, checkpoint_seconds=0)


@pytest.fixture(scope="module")
def plans():
    return experiment.load("mlp-ratio").plans("smoke")[3:6]


def test_runs_beside_others_are_those_that_ran_alone(plans, tmp_path: Path):
    told = []
    statuses = local.run(plans, tmp_path / "together", PLACEMENT, lambda *message: told.append(message))
    assert statuses == {plan.name: "finished" for plan in plans}
    assert {what[0] for kind, what in told if kind == "end"} == set(statuses)
    assert {what.run for kind, what in told if kind == "progress"} == set(statuses)
    for plan in plans[:2]:
        train_here(plan, tmp_path / "alone")
        both = [(plan.folder(tmp_path / way) / "metrics.parquet").read_bytes() for way in ("together", "alone")]
        assert both[0] == both[1]


def test_one_that_fails_or_diverges_does_not_stop_the_others(plans, tmp_path: Path):
    wild = replace(plans[0].spec, train=replace(plans[0].spec.train, learning_rate=1e30, grad_clip=1e30))
    plans = [replace(plans[0], spec=wild), *plans[1:]]
    lines = []
    with hold(plans[1].folder(tmp_path)):
        statuses = local.run(plans, tmp_path, PLACEMENT, lambda kind, what: kind == "line" and lines.append(what))
    assert statuses == {plans[0].name: "diverged", plans[1].name: "failed", plans[2].name: "finished"}
    assert any(f"is held by process {os.getpid()}" in line for line in lines)
    assert {run.manifest["status"] for run in log.read_runs(tmp_path, "mlp-ratio", "smoke")} == {"diverged", "finished"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_stopped_saves_and_says_how_to_go_on(tmp_path: Path, number: int):
    text = (experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text().replace("steps = 60", "steps = 100_000")
    (tmp_path / "long.toml").write_text(text)
    command = [
        sys.executable,
        "-m",
        "runner.cli",
        "sweep",
        str(tmp_path / "long.toml"),
        "--profile",
        "smoke",
        "--runs",
        str(tmp_path / "runs"),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        folder = tmp_path / "runs" / "long" / "smoke"
        wait_for(lambda: len(list(folder.glob("*/manifest.json"))) == 2)
        os.kill(process.pid, number)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert "stopped and saved at step" in said
    assert "the same command goes on where it stopped" in said
    assert "Traceback" not in said
    assert list(folder.glob("*/checkpoint/*/state.safetensors"))


def test_a_worker_that_dies_ends_the_sweep_with_a_line(plans, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(local, "GRACE", 1.0)
    long = [replace(p, spec=replace(p.spec, train=replace(p.spec.train, steps=100_000))) for p in plans[:2]]
    lines = []

    def tell(kind, what):
        lines.append(what) if kind == "line" else None
        if kind == "progress" and multiprocessing.active_children():
            os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    statuses = local.run(long, tmp_path, PLACEMENT, tell)
    assert set(statuses.values()) == {"stopped"}
    assert any("a worker process died" in line for line in lines)
    assert not multiprocessing.active_children()


def test_workers_do_not_outlive_their_parent(tmp_path: Path):
    text = (experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text().replace("steps = 60", "steps = 100_000")
    (tmp_path / "long.toml").write_text(text)
    words = [sys.executable, "-m", "runner.cli", "sweep", str(tmp_path / "long.toml"), "--profile", "smoke"]
    with subprocess.Popen([*words, "--runs", str(tmp_path)], stdout=subprocess.DEVNULL) as process:
        folder = tmp_path / "long" / "smoke"
        wait_for(lambda: len(list(folder.glob("*/manifest.json"))) == 2)
        process.kill()
    wait_for(lambda: not any(holder(path) for path in folder.iterdir()))
    assert len(list(folder.glob("*/checkpoint/*/commit.json"))) == 2, "they saved before they left"


def wait_for(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
