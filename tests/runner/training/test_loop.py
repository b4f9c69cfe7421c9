import errno
import json
import math
import multiprocessing
import os
import random
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runner.errors import UserError
from runner.evidence import checkpoint, code, log, state
from runner.evidence.state import Action
from runner.evidence.status import Status
from runner.files import checksum
from runner.plan.plan import Plan
from runner.training import loop
from runner.training.group import Group
from runner.training.probes.probe import Evaluated, Removed, Rounded, Shown
from runner.training.probes.registry import PROBES
from runner.training.progress import Progress
from tests.conftest import at_call, train_here


def metrics(plan: Plan, root: Path) -> bytes:
    return (plan.folder(root) / "metrics.parquet").read_bytes()


@pytest.fixture(scope="module")
def through(smoke: Plan, tmp_path_factory) -> bytes:
    """The metrics of a tiny run that nobody disturbed."""
    root = tmp_path_factory.mktemp("through")
    plan = tiny_of(smoke)
    assert train_here(plan, root) == "finished"
    return metrics(plan, root)


def tiny_of(smoke: Plan) -> Plan:
    spec = replace(smoke.spec, train=replace(smoke.spec.train, steps=30), eval=replace(smoke.spec.eval, every=5))
    return replace(smoke, spec=spec)


def test_the_evidence_of_a_run(trained: Path):
    run = log.read_run(trained)
    rows = run.metrics().to_pandas()
    assert run.manifest["status"] == "finished"
    assert run.manifest["parameters"]["total"] == sum(map(math.prod, run.manifest["parameters"]["tensors"].values()))
    assert list(rows[rows.split == "val"].step) == [0, 20, 40, 60]
    assert list(rows[rows.split == "batch"].step) == [0, 10, 20, 30, 40, 50]
    assert rows.step.is_monotonic_increasing
    first = rows[(rows.step == 0) & (rows.split == "val")].loss.item()
    assert first == pytest.approx(math.log(65), abs=0.05), "an untrained model knows nothing"
    assert rows[rows.split == "val"].loss.iloc[-1] < first - 0.5
    assert len((trained / "samples.txt").read_text()) == 502  # a line break, 500 characters, a line break


def test_probes_are_written_where_the_spec_asks(tiny, tmp_path, through):
    asked = replace(tiny.spec, eval=replace(tiny.spec.eval, attention_logits=True))
    assert train_here(replace(tiny, spec=asked), tmp_path) == "finished"
    run = log.read_run(tiny.folder(tmp_path))
    found = run.probes().to_pandas()
    assert set(found.probe) == {"attention_logit"}
    assert len(found) == 7 * 3 * tiny.spec.model.n_layer, "evaluations, splits, layers"
    assert found.value.min() > 0
    assert metrics(tiny, tmp_path) == through, "looking changes nothing"
    assert "probes.parquet" in run.manifest["files"]


def watched(plan: Plan, every: int = 7) -> Plan:
    return replace(plan, spec=replace(plan.spec, eval=replace(plan.spec.eval, probes=("all",), probe_every=every)))


@pytest.fixture(scope="module")
def seen(smoke: Plan, tmp_path_factory):
    """A run that all probes observed: its folder's root, and what they found."""
    root, plan = tmp_path_factory.mktemp("seen"), watched(tiny_of(smoke))
    assert train_here(plan, root) == "finished"
    return root, log.read_run(plan.folder(root)).probes().to_pandas()


def test_looking_at_everything_changes_no_number(seen, smoke, through):
    assert metrics(smoke, seen[0]) == through


OBSERVING = [  # a GPT has no gates and no patches
    name
    for name, probe in PROBES.items()
    if not isinstance(probe, Rounded) and getattr(probe, "tap", None) not in ("mlp.gate", "strided")
]


@pytest.mark.parametrize("name", OBSERVING)
def test_every_probe_gives_numbers_for_every_layer_or_one_of_the_whole_model(seen, smoke, name):
    found, whole = (
        seen[1].query("probe == @name"),
        getattr(PROBES[name], "whole", False) or isinstance(PROBES[name], Removed),
    )
    assert set(found.layer.dropna()) == (set() if whole else set(range(smoke.spec.model.n_layer)))
    assert np.isfinite(found.value).all()
    if isinstance(PROBES[name], Evaluated):
        assert sorted(set(found.step)) == list(range(0, 31, 5)), "as the splits are evaluated"
        assert set(found.split) == {"train", "val", "test"}
    elif isinstance(PROBES[name], Removed):
        assert set(found.step) == {30}, "once, at the end"
        assert set(found.split) == {"val", "test"}
    else:
        last = [30] if isinstance(PROBES[name], Shown) else []  # after the last update, which was not seen coming
        assert sorted(set(found.step)) == [0, 7, 14, 21, 28, *last]
        assert set(found.split) == {"batch"}
    places = found[["step", "split", "layer", "index"]]
    assert not places.duplicated().any()


def test_rounded_weights_are_evaluated_once_at_the_end_and_change_no_number(tiny, tmp_path, through):
    names = tuple(name for name, probe in PROBES.items() if isinstance(probe, Rounded))
    plan = replace(tiny, spec=replace(tiny.spec, eval=replace(tiny.spec.eval, probes=names)))
    train_here(plan, tmp_path)
    found = log.read_run(plan.folder(tmp_path)).probes().to_pandas().query("probe in @names")
    assert metrics(plan, tmp_path) == through
    assert set(found.step) == {plan.spec.train.steps}
    assert len(found) == len(names) * found.split.nunique()
    assert np.isfinite(found.value).all()


def test_gradients_by_layer_are_parts_of_the_whole(tiny, tmp_path):
    plan = watched(tiny, 10)
    train_here(plan, tmp_path)
    run = log.read_run(plan.folder(tmp_path))
    parts = run.probes().to_pandas().query("probe == 'gradient_norm'")
    whole = run.metrics().to_pandas().query("split == 'batch'")
    assert list(whole.step) == [0, 10, 20]
    norms = parts.groupby("step").value.apply(lambda values: math.hypot(*values))
    assert list(norms) == pytest.approx(list(whole.grad_norm), rel=1e-5)
    assert parts.layer.isna().sum() == 3, "the embeddings belong to no layer"


def test_the_steps_before_a_stop_are_timed(tiny, tmp_path):
    train_here(tiny, tmp_path, stopping=at_call(50))
    step = checkpoint.last_step(tiny.folder(tmp_path) / "checkpoint")
    assert step % 10 != 1, "no row is due there"
    train_here(tiny, tmp_path)
    timing = log.read_run(tiny.folder(tmp_path)).timing().to_pandas()
    assert step in set(timing.query("phase == 'train'").step)


def test_an_arm_is_not_trained_uncompiled_where_it_is_to_be_compiled(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "can_compile", lambda device: False)
    with pytest.raises(UserError, match="its arm is to be compiled, for which this machine lacks a C\\+\\+ compiler"):
        train_here(replace(tiny, placement={"compile": True}), tmp_path)


def test_a_process_that_would_train_otherwise_than_its_leader_is_refused(tiny, tmp_path, monkeypatch):
    leaders = {"code": code.fingerprint(tiny.spec), "precision": "bf16"}

    class Second(Group):
        def __init__(self):
            self.rank, self.size, self.leads = 1, 2, False

        def join(self, device: str) -> str:
            return device

        def from_leader(self, value):
            return Action.TRAIN, Status.MISSING, leaders

    monkeypatch.setattr(loop, "Group", Second)
    with pytest.raises(UserError, match="precision is float32 in process 1 and bf16 in its leader"):
        train_here(tiny, tmp_path)


def test_a_probe_with_nothing_to_observe_is_refused_before_it_is_trained(tiny, tmp_path):
    plan = replace(tiny, spec=replace(tiny.spec, eval=replace(tiny.spec.eval, probes=("open_units",))))
    with pytest.raises(UserError, match=r"the probe 'open_units' observes mlp\.gate, which a model of kind 'gpt' does"):
        train_here(plan, tmp_path)
    assert not (plan.folder(tmp_path) / "manifest.json").exists()


def test_a_probe_that_does_not_exist_is_named(tiny, tmp_path):
    asked = replace(tiny.spec, eval=replace(tiny.spec.eval, probes=("alive",)))
    known = f"known: {', '.join(PROBES)}, or all"
    with pytest.raises(UserError, match=rf"eval\.probes: unknown probe 'alive'; {known}"):
        train_here(replace(tiny, spec=asked), tmp_path)


@pytest.mark.parametrize("at", [7, 12, 29])
def test_probes_are_the_same_after_a_resume(smoke, tmp_path, seen, batches, at):
    plan, before = watched(tiny_of(smoke)), (at // 5 + 1) * batches + at
    assert train_here(plan, tmp_path, stopping=at_call(before)) == "stopped"
    assert train_here(plan, tmp_path) == "finished"
    parted, whole = ((plan.folder(root) / "probes.parquet").read_bytes() for root in (tmp_path, seen[0]))
    assert parted == whole


def test_the_same_run_twice_gives_the_same_bytes(tiny, tmp_path, through):
    assert train_here(tiny, tmp_path) == "finished"
    assert metrics(tiny, tmp_path) == through


def test_another_seed_gives_other_numbers(tiny, tmp_path, through):
    other = replace(tiny, spec=replace(tiny.spec, seed=1))
    train_here(other, tmp_path)
    assert metrics(other, tmp_path) != through


@pytest.fixture(scope="module")
def batches(smoke: Plan, tmp_path_factory) -> int:
    """How many batches an evaluation of a tiny run has: as often it is asked to stop, and once before each update."""
    asked = []
    train_here(tiny_of(smoke), tmp_path_factory.mktemp("asked"), stopping=lambda: bool(asked.append(1)))
    return (len(asked) - 30) // 7


@pytest.mark.parametrize("at", [0, 1, 5, 12, 29])
def test_stopped_at_any_step_it_goes_on_to_the_same_bytes(tiny, tmp_path, through, batches, at):
    said, before = [], (at // 5 + 1) * batches + at
    assert train_here(tiny, tmp_path, stopping=at_call(before), say=said.append) == "stopped"
    assert said == [f"{tiny.name}: stopped and saved at step {at} of 30; the same command resumes it"]
    assert train_here(tiny, tmp_path) == "finished"
    assert metrics(tiny, tmp_path) == through


@pytest.mark.parametrize("at", [0, 5, 30])
def test_stopped_within_an_evaluation_it_makes_it_again(tiny, tmp_path, through, batches, at):
    said, before = [], at // 5 * batches + at + batches // 2
    assert train_here(tiny, tmp_path, stopping=at_call(before), say=said.append) == "stopped"
    assert said == [f"{tiny.name}: stopped and saved at step {at} of 30; the same command resumes it"]
    found = checkpoint.latest(tiny.folder(tmp_path) / "checkpoint", state.plan_identity(tiny), said.append)
    assert (found[0].step, found[0].due) == (at, True)
    assert train_here(tiny, tmp_path, stopping=at_call(1)) == "stopped", "again within it: nothing is committed anew"
    assert train_here(tiny, tmp_path) == "finished"
    assert metrics(tiny, tmp_path) == through


def _child(plan: Plan, root: Path, seconds: float) -> None:
    """Train until this process has used that much CPU time, of which the kernel then kills it: on a busy machine it
    gets as far as on an idle one."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    train_here(plan, root)


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(tiny, tmp_path, through):
    """Moments over training, evaluation, log and checkpoint: each child is killed, the next goes on."""
    context, moments = multiprocessing.get_context("fork"), random.Random(0)
    killed = 0
    for attempt in range(4):
        root, longest = tmp_path / str(attempt), 0.2
        while True:
            child = context.Process(target=_child, args=(tiny, root, moments.uniform(0.02, longest)))
            longest *= 1.05  # a slow machine may need more than that from one safe place to the next
            child.start()
            child.join()
            if child.exitcode != -signal.SIGPROF:
                break
            killed += 1
        assert child.exitcode == 0
        assert metrics(tiny, root) == through
    assert killed >= 10, "the moments must fall into the runs"


@pytest.mark.parametrize("call", [1, 4, 9, 20, 31])
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(tiny, tmp_path, through, monkeypatch, call):
    calls, fsync = iter(range(1, 1000)), os.fsync

    def full(descriptor):
        if next(calls) >= call:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UserError, match="the disk is full; the last checkpoint is intact: make room") as error:
        train_here(tiny, tmp_path)
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    assert train_here(tiny, tmp_path) == "finished"
    assert metrics(tiny, tmp_path) == through


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system with room for one checkpoint and not for the next; another size asks for more."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def sized(kilobytes: int, *more: str) -> Path:
        options = ",".join([f"size={kilobytes}k", *more])
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=False, capture_output=True
        )
        if done.returncode:
            pytest.skip("only root may mount a small disk")
        return disk

    yield sized
    subprocess.run(["umount", str(disk)], check=False, capture_output=True)


def test_a_disk_that_is_really_full(tiny, small_disk, through):
    disk = small_disk(400)  # a checkpoint of this run has about 120 kB
    with pytest.raises(UserError, match="the disk is full"):
        train_here(tiny, disk)
    committed = list((tiny.folder(disk) / "checkpoint").glob("0*/commit.json"))
    assert committed, "what fitted was kept"
    small_disk(4000, "remount")
    said: list[str] = []
    assert train_here(tiny, disk, say=said.append) == "finished"
    assert said == [], "nothing was damaged"
    assert metrics(tiny, disk) == through


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_its_log(tiny, tmp_path):
    wild = replace(tiny, spec=replace(tiny.spec, train=replace(tiny.spec.train, learning_rate=1e30, grad_clip=1e30)))
    said = []
    assert train_here(wild, tmp_path, log_every=1, say=said.append) == "diverged"
    run = log.read_run(wild.folder(tmp_path))
    at = run.manifest["diverged_at"]
    rows = run.metrics().to_pandas()
    assert not math.isfinite(rows.loss.iloc[-1])
    assert np.isfinite(rows.loss.iloc[:-1]).all()
    assert rows.step.iloc[-1] == at
    assert f"not finite at step {at}" in said[-1]
    before = metrics(wild, tmp_path)
    assert train_here(wild, tmp_path) == "diverged", "asked again, it is not trained again"
    assert metrics(wild, tmp_path) == before


def test_a_changed_spec_moves_the_old_run_aside(tiny, tmp_path):
    train_here(tiny, tmp_path)
    old = metrics(tiny, tmp_path)
    said = []
    longer = replace(tiny, spec=replace(tiny.spec, train=replace(tiny.spec.train, steps=35)))
    assert train_here(longer, tmp_path, say=said.append) == "finished"
    (kept,) = (tiny.folder(tmp_path).parent / ".set-aside").iterdir()
    assert (kept / "metrics.parquet").read_bytes() == old
    assert str(kept) in said[0]
    assert [
        run.manifest["spec"]["train"]["steps"] for run in log.read_runs(tmp_path, tiny.experiment, tiny.profile)
    ] == [35]


def test_a_cold_run_compiles_in_a_cache_of_its_own_and_says_so(tiny, tmp_path, monkeypatch):
    known = tmp_path / "known"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(known))
    plan, used = replace(tiny, placement={"cold": True}), set()
    status = train_here(plan, tmp_path, report=lambda now: used.add(os.environ["TORCHINDUCTOR_CACHE_DIR"]))
    assert status == "finished"
    (own,) = used
    assert Path(own) != known
    assert not Path(own).exists()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(known)
    assert log.read_manifest(plan.folder(tmp_path))["environment"]["cold"] is True


def test_progress_is_told(tiny, tmp_path):
    heard: list[Progress] = []
    train_here(tiny, tmp_path, report=heard.append)
    assert [p.step for p in heard] == [1, 11, 21]
    assert all(p.rate > 0 and p.steps == 30 for p in heard)


def test_resuming_elsewhere_is_said_and_recorded(tiny, tmp_path):
    train_here(tiny, tmp_path, stopping=at_call(50))
    path = max((tiny.folder(tmp_path) / "checkpoint").glob("*/commit.json"))
    commit = json.loads(path.read_text())
    step = commit["step"]
    commit["manifest"]["environment"]["machine"] = "another machine"
    commit.pop("sha256")
    path.write_text(json.dumps({"sha256": checksum(commit), **commit}))
    said = []
    train_here(tiny, tmp_path, say=said.append)
    assert f"resumes from step {step} with another environment than it started with" in said[0]
    assert [s["from_step"] for s in log.read_run(tiny.folder(tmp_path)).manifest["sessions"]] == [0, step]
