import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from runner.evidence import log
from runner.evidence.status import Status
from runner.launch import local, progress
from runner.launch.events import Line, RunEnded
from runner.lock import hold, holder
from runner.plan import experiment
from runner.plan.placement import Placement
from runner.training.progress import Progress
from tests.conftest import train_here, wait_for

PLACEMENT = Placement(jobs=2, checkpoint_seconds=0)


@pytest.fixture(scope="module")
def plans():
    return experiment.load("mlp-ratio").plans("smoke")[3:6]


def test_a_worker_that_dies_ends_the_sweep_with_a_line(plans, tmp_path: Path, monkeypatch):
    """First of all: it ends all workers of this process, but no other children."""
    monkeypatch.setattr(local, "GRACE", 1.0)
    long = [replace(p, spec=replace(p.spec, train=replace(p.spec.train, steps=100_000))) for p in plans[:2]]
    lines, killed = [], []
    other = multiprocessing.get_context("forkserver").Process(target=time.sleep, args=(60,))
    other.start()

    def emit(event):
        lines.append(event.text) if isinstance(event, Line) else None
        begun = set(multiprocessing.active_children()) - {other}
        if isinstance(event, Progress) and begun and not killed:  # a second one may have gone by itself
            killed.append(begun.pop().pid)
            os.kill(killed[0], signal.SIGKILL)

    with local.Workers() as workers:
        statuses = workers.train(long, tmp_path, PLACEMENT, emit)
    assert set(statuses.values()) == {"stopped"}
    assert any("a worker process died" in line for line in lines)
    assert multiprocessing.active_children() == [other]
    other.kill()
    other.join()


@pytest.fixture(scope="module")
def workers():
    with local.Workers() as workers:
        yield workers


def test_runs_beside_others_are_those_that_ran_alone(plans, workers, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(local, "GRACE", 120.0)
    told, began = [], time.monotonic()
    statuses = workers.train(plans, tmp_path / "together", PLACEMENT, told.append)
    assert time.monotonic() - began < local.GRACE, "nobody waits for what was said already"
    assert statuses == {plan.name: Status.FINISHED for plan in plans}
    assert {event.run for event in told if isinstance(event, RunEnded)} == set(statuses)
    assert {event.run for event in told if isinstance(event, Progress)} == set(statuses)
    for plan in plans[:2]:
        train_here(plan, tmp_path / "alone")
        both = [(plan.folder(tmp_path / way) / "metrics.parquet").read_bytes() for way in ("together", "alone")]
        assert both[0] == both[1]


def test_the_next_ones_take_the_process_that_the_first_leaves_free(plans, tmp_path: Path):
    """And each hears of its own runs, though they have the same names."""
    long = replace(plans[0], spec=replace(plans[0].spec, train=replace(plans[0].spec.train, steps=100_000)))
    heard, others = {"one": [], "two": []}, plans[:2]
    with local.Workers() as workers:
        first = workers.begin([long], tmp_path / "one", PLACEMENT, heard["one"].append)
        second = workers.begin(others, tmp_path / "two", PLACEMENT, heard["two"].append)
        assert second() == {plan.name: Status.FINISHED for plan in others}, "beside the first, which goes on"
        workers._stop()
        assert first() == {long.name: Status.STOPPED}
    ended = {which: [event.run for event in events if isinstance(event, RunEnded)] for which, events in heard.items()}
    assert ended == {"one": [long.name], "two": [plan.name for plan in others]}
    assert {event.steps for event in heard["one"] if isinstance(event, Progress)} <= {100_000}
    assert {event.steps for event in heard["two"] if isinstance(event, Progress)} == {plans[0].spec.train.steps}


def test_one_that_fails_or_diverges_does_not_stop_the_others(plans, workers, tmp_path: Path):
    wild = replace(plans[0].spec, train=replace(plans[0].spec.train, learning_rate=1e30, grad_clip=1e30))
    plans = [replace(plans[0], spec=wild), *plans[1:]]
    told = []
    with hold(plans[1].folder(tmp_path)):
        statuses = workers.train(plans, tmp_path, PLACEMENT, told.append)
    lines = [event.text for event in told if isinstance(event, Line)]
    assert statuses == {plans[0].name: "diverged", plans[1].name: "failed", plans[2].name: "finished"}
    assert any(f"is held by process {os.getpid()}" in line for line in lines)
    assert {run.manifest["status"] for run in log.read_runs(tmp_path, "mlp-ratio", "smoke")} == {"diverged", "finished"}


def test_a_call_takes_the_worker_that_is_free_first(workers):
    workers.call_each(_slept, [(0.0,), (0.0,)], jobs=2)  # both have imported what they need
    slow, *others = workers.call_each(_slept, [(1.0,), (0.0,), (0.0,), (0.0,)], jobs=2)
    assert len(set(others)) == 1, "all of them beside the slow one"
    assert slow not in others


def test_a_placement_is_resolved_while_all_processes_train(plans, tmp_path: Path):
    with local.Workers() as workers:
        resolved = workers.resolve({"threads": 1, "jobs": 1})
        long = replace(plans[0], spec=replace(plans[0].spec, train=replace(plans[0].spec.train, steps=100_000)))
        seen = []

        def emit(event):
            if isinstance(event, Progress) and not seen:
                seen.append(workers.resolve({"jobs": 1, "threads": 1}))
                workers._stop()

        workers.train([long], tmp_path, resolved, emit)
        assert seen == [resolved]


def _slept(seconds: float) -> int:
    """Sleep; returns which process did."""
    time.sleep(seconds)
    return os.getpid()


def test_an_error_of_a_worker_says_where_it_was_raised(plans, workers, tmp_path: Path):
    said = []
    workers.train(plans[:1], tmp_path, Placement(weights=False, device="meta"), said.append)
    lines = [event.text for event in said if isinstance(event, Line)]
    assert any(re.search(r"\(at runner/\S+\.py:\d+\)$", line) for line in lines), lines


def test_a_worker_that_has_trained_otherwise_trains_to_the_same_bytes(plans, tmp_path: Path):
    """Other threads, another precision, compiled or not: each run's own, whatever its process did before."""
    places = [
        Placement(threads=2, compile=True, precision="bf16", weights=False),
        Placement(threads=1, weights=False),
    ]
    short = [replace(p, spec=replace(p.spec, train=replace(p.spec.train, steps=20))) for p in plans[:1]]

    def metrics(workers: local.Workers, way: str, place: Placement) -> bytes:
        assert workers.train(short, tmp_path / way, place, lambda event: None) == {short[0].name: "finished"}
        return (short[0].folder(tmp_path / way) / "metrics.parquet").read_bytes()

    before = multiprocessing.active_children()

    def both(way: str, order: list[int]) -> list[bytes]:
        with local.Workers() as workers:
            found = {i: metrics(workers, f"{way}-{i}", places[i]) for i in order}
            assert len(set(multiprocessing.active_children()) - set(before)) == 1
        return [found[i] for i in sorted(found)]

    assert both("one", [0, 1]) == both("other", [1, 0])


def test_the_time_left_is_shown_elsewhere(plans, tmp_path: Path, monkeypatch):
    """`runner status` while another process trains."""
    long = replace(plans[0], spec=replace(plans[0].spec, train=replace(plans[0].spec.train, steps=100_000)))
    seen = []

    def emit(event):
        now = progress.read(long.folder(tmp_path))
        if now and now.left and not seen:
            seen.append(now)
            workers._stop()

    with local.Workers() as workers:
        assert workers.train([long], tmp_path, PLACEMENT, emit) == {long.name: "stopped"}
    assert 0 < seen[0].step < seen[0].steps == 100_000
    assert not (long.folder(tmp_path) / "progress.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_kills_the_workers_but_not_the_echo_of_the_first(number, monkeypatch):
    now, stopped, killed = [100.0], [], []
    monkeypatch.setattr(local, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(local, "_kill", lambda: killed.append(now[0]))
    with local.interruptible(lambda: stopped.append(now[0])):
        signal.raise_signal(number)
        now[0] += 0.2  # `timeout` sends its signal to the process, and then to its group
        signal.raise_signal(number)
        assert (stopped, killed) == ([100.0], [])
        now[0] += 2.0
        signal.raise_signal(number)
    assert killed == [now[0]]


@pytest.mark.parametrize("where", ["in the call", "at the end"])
def test_an_interrupt_leaves_no_worker(where: str):
    """A worker that nothing ends would keep this process from ending."""
    before = set(multiprocessing.active_children())

    def call():
        with local.Workers() as workers:
            assert workers.call(abs, -1) == 1
            threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
            if where == "in the call":
                workers.call(time.sleep, 100)
            else:  # while workers may end by themselves
                workers._slots[0].submit(time.sleep, 100)

    with local.interruptible(local.interrupt), pytest.raises(KeyboardInterrupt):
        call()
    wait_for(lambda: set(multiprocessing.active_children()) <= before)


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
    assert "run the same command again to continue" in said
    assert "Traceback" not in said
    assert list(folder.glob("*/checkpoint/*/state.safetensors"))


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
