import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner.data import openwebtext
from runner.data.tokenizers import gpt2
from runner.errors import UserError
from runner.evidence import checkpoint, code, log, state
from runner.launch.cluster import client, workers
from runner.launch.cluster import machines as cluster
from runner.launch.events import Line
from runner.lock import hold, holder
from runner.plan import experiment
from runner.plan.placement import Placement
from tests.conftest import ROOT, train_here, wait_for
from tests.runner.cli.test_main import call, here

pytest.importorskip("ray")
pytestmark = pytest.mark.xdist_group("cluster")  # one cluster, for one process

PLACEMENT = Placement(jobs=2, checkpoint_seconds=0)
START = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
START += [f"--object-store-memory={100 * 2**20}"]
HEAD = "127.0.0.2"  # 127.0.0.1 Ray would replace by the machine's address in its network


class Machine:
    """A Ray node with an address and a cache of its own, whose processes end with the test."""

    def __init__(self, ip: str, *words: str) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="ray-")  # a short path, as sockets need
        self.cache = Path(self.folder.name, "cache")
        # No corpus, and no address to have it from: only the caller can give it.
        away = {"RUNNER_CACHE": str(self.cache), "RUNNER_DATA": "nowhere", "PYTHONPATH": str(ROOT)}
        words = (*START, f"--node-ip-address={ip}", f"--temp-dir={self.folder.name}/ray", *words)
        self.process = subprocess.Popen(
            words, env=os.environ | away, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )

        self.ip = ip

    def workers(self) -> list[int]:
        """The processes that train on it, by the locks that they hold."""
        held = [holder(path) for path in self.cache.glob("ray/*")]
        return [who.pid for who in held if who and who.pid]

    def lose(self) -> None:
        """Pull its plug."""
        processes = [*psutil.Process(self.process.pid).children(recursive=True), self.process]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):  # it went with another
                process.kill()

    def stop(self) -> None:
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.lose()
            self.process.wait()
        self.folder.cleanup()


@pytest.fixture(scope="module")
def address():
    with socket.socket() as free:
        free.bind((HEAD, 0))
        return f"{HEAD}:{free.getsockname()[1]}"


@pytest.fixture(scope="module")
def machines(address: str):
    """Two machines of one CPU each, and beside them the caller, who offers none."""
    caller = Machine(
        HEAD, "--head", f"--port={address.rpartition(':')[2]}", "--num-cpus=0", "--include-dashboard=false"
    )
    wait_for(lambda: listens(address))
    two = [Machine(ip, f"--address={address}", "--num-cpus=1") for ip in ("127.0.0.3", "127.0.0.4")]
    yield two
    for machine in (*two, caller):
        machine.process.terminate()
    for machine in (*two, caller):
        machine.stop()


@pytest.fixture(scope="module")
def joined(machines: list[Machine], address: str):
    """Connected to for all tests: workers that another connection started would import everything again."""
    with client.connect(address):
        wait_for(lambda: len(cluster.offered()) == 2)
        yield machines


@pytest.fixture(scope="module")
def long():
    """A run of some seconds, which commits ten times."""
    plan = experiment.load("mlp-ratio").plans("smoke")[3]
    train, often = replace(plan.spec.train, steps=1000), replace(plan.spec.eval, every=100)
    return replace(plan, spec=replace(plan.spec, train=train, eval=often))


@pytest.fixture(scope="module")
def alone(long, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Its numbers, made in this process."""
    root = tmp_path_factory.mktemp("alone")
    train_here(long, root)
    return (long.folder(root) / "metrics.parquet").read_bytes()


def test_a_sweep_over_machines_is_the_sweep_of_one(joined, address: str, tmp_path: Path):
    text = (experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text().replace("[1, 2, 3, 4, 5]", "[4]")
    text = text.replace("sample_tokens = 8\n", "")  # as `train_here` has it
    (tmp_path / "one.toml").write_text(text)
    words = ["sweep", str(tmp_path / "one.toml"), "--profile", "smoke", "--runs", str(tmp_path / "runs")]
    words += ["--precision", "float32", "--device", "cpu", "--engine", "ray", "--address", address]
    done = call(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 runs in" in done.stdout
    assert "2 finished" in done.stdout
    for plan in experiment.load(str(tmp_path / "one.toml")).plans("smoke"):
        train_here(plan, tmp_path / "alone")
        ways = [plan.folder(tmp_path / way) for way in ("runs", "alone")]
        assert len({(folder / "metrics.parquet").read_bytes() for folder in ways}) == 1
        assert len({(folder / "samples.txt").read_bytes() for folder in ways}) == 1
        log.check(log.read_run(ways[0]))
        assert checkpoint.weights(ways[0] / "checkpoint", state.plan_identity(plan))
        assert holder(ways[0]) is None
    assert not [path for machine in joined for path in machine.cache.glob("ray/*")]
    assert [machine for machine in joined if (machine.cache / "tiny-shakespeare.txt").is_file()]
    again = call(*words)
    assert again.returncode == 0
    assert again.stdout.count("unchanged: it finished at step 60") == 2


def test_a_run_that_loses_every_worker_is_given_up(joined, long, tmp_path: Path):
    lines, killed, over = [], [], threading.Event()

    def kill():
        while not over.wait(0.05):
            for pid in {pid for machine in joined for pid in machine.workers()} - set(killed):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        statuses = workers.train([long], tmp_path, PLACEMENT, keep(lines))
    finally:
        over.set()
        killer.join()
    assert statuses == {long.name: "failed"}
    assert len(killed) == workers.MOST_LOST
    assert sum("another worker starts it from step 0" in line for line in lines) == workers.MOST_LOST - 1
    assert sum(f"{workers.MOST_LOST} times without a new checkpoint" in line for line in lines) == 1


def test_one_that_fails_or_diverges_does_not_stop_the_others(joined, tmp_path: Path):
    plans = experiment.load("mlp-ratio").plans("smoke")[3:6]
    wild = replace(plans[0].spec, train=replace(plans[0].spec.train, learning_rate=1e30, grad_clip=1e30))
    plans = [replace(plans[0], spec=wild), *plans[1:]]
    lines = []
    with hold(plans[1].folder(tmp_path)):
        statuses = workers.train(plans, tmp_path, PLACEMENT, keep(lines))
    assert statuses == {plans[0].name: "diverged", plans[1].name: "failed", plans[2].name: "finished"}
    assert any(f"is held by process {os.getpid()}" in line for line in lines)
    assert any("diverged, its loss was not finite" in line for line in lines)


def test_ctrl_c_saves_what_the_machines_have(joined, address: str, tmp_path: Path):
    text = (experiment.FOLDER / "ratio" / "mlp-ratio.toml").read_text().replace("steps = 60", "steps = 100_000")
    (tmp_path / "long.toml").write_text(text)
    words = ["sweep", str(tmp_path / "long.toml"), "--profile", "smoke", "--runs", str(tmp_path)]
    command = [sys.executable, "-m", "runner.cli", *words, "--engine", "ray", "--address", address]
    folder = tmp_path / "long" / "smoke"
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        wait_for(lambda: len(list(folder.glob("*/manifest.json"))) == 2)
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 1
    assert said.count("stopped and saved at step") == 2
    assert "run the same command again to continue" in said
    assert "Traceback" not in said
    for plan in experiment.load(str(tmp_path / "long.toml")).plans("smoke")[:2]:
        assert checkpoint.pack(plan.folder(tmp_path) / "checkpoint", state.plan_identity(plan))
        assert state.inspect(plan, tmp_path).action == "resume"


def test_machines_with_other_code_are_refused(joined, long, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(code, "overall", lambda: "f" * 12)
    with pytest.raises(UserError, match=r"127\.0\.0\.[34] has other code \(.{12}, the caller has f{12}\)"):
        workers.train([long], tmp_path, PLACEMENT, print)


def test_token_shards_are_each_machines_own(joined, tmp_path: Path, monkeypatch):
    gpt2.encoding()
    cache, given = tmp_path / "cache", tmp_path / "given" / openwebtext.NAME
    given.mkdir(parents=True)
    cache.mkdir()
    (cache / "tiktoken").symlink_to((ROOT / ".cache" / "tiktoken").resolve())
    pq.write_table(pa.table({"text": [f"Words of document {i}." for i in range(3000)]}), given / "0.parquet")
    monkeypatch.setenv("RUNNER_CACHE", str(cache))
    monkeypatch.setenv("RUNNER_DATA", str(given.parent))
    plan = experiment.load("mlp-ratio").plans("smoke")[3]
    splits = {"train": (0, 2_000), "val": (2_000, 2_300), "test": (2_300, 2_600)}
    data = replace(plan.spec.data, corpus=openwebtext.NAME, tokenizer="gpt2", **splits)
    openwebtext.load(2_600)
    train = replace(plan.spec.train, steps=5, warmup_steps=1)
    plan, lines = replace(plan, spec=replace(plan.spec, data=data, train=train)), []
    emit = keep(lines)
    assert workers.train([plan], tmp_path / "runs", PLACEMENT, emit) == {plan.name: "failed"}
    assert re.match(rf"{plan.name} on 127\.0\.0\.[34]: .*load more with `runner data openwebtext", lines[0])
    for machine in joined:
        shutil.copytree(cache, machine.cache, symlinks=True, dirs_exist_ok=True)
    assert workers.train([plan], tmp_path / "runs", PLACEMENT, emit) == {plan.name: "finished"}


def test_what_no_machine_can_have_is_said_at_once(joined, long, tmp_path: Path):
    with pytest.raises(UserError, match="no machine of the cluster has 3 CPUs for a run"):
        workers.train([long], tmp_path, replace(PLACEMENT, threads=3), print)
    with pytest.raises(UserError, match=r"no machine of the cluster has 1 CPUs and 0\.5 of a GPU for a run"):
        workers.train([long], tmp_path, replace(PLACEMENT, device="cuda"), print)
    with pytest.raises(UserError, match="device 'tpu' is not available"):
        cluster.resolve({"device": "tpu"})
    assert cluster.resolve({"device": "cpu", "jobs": 1}).threads == 1


@pytest.mark.parametrize("what", ["worker", "machine"])  # the machine last: it does not come back
def test_a_run_whose_worker_is_lost_goes_on_elsewhere(joined, long, alone, tmp_path: Path, what: str):
    lines, lost = [], []

    def emit(event):
        keep(lines)(event)
        if not lost and checkpoint.last_step(long.folder(tmp_path) / "checkpoint"):
            lost.extend(machine for machine in joined if machine.workers())
            for machine in lost:
                machine.lose() if what == "machine" else os.kill(machine.workers()[0], signal.SIGKILL)

    assert workers.train([long], tmp_path, PLACEMENT, emit) == {long.name: "finished"}, lines
    (line,) = [line for line in lines if "was lost" in line]
    assert f"its worker on {lost[0].ip} was lost" in line
    step = int(re.findall(r"another worker continues from step (\d+)", line)[0])
    manifest = log.read_manifest(long.folder(tmp_path))
    assert [session["from_step"] for session in manifest["sessions"]] == [0, step]
    assert (long.folder(tmp_path) / "metrics.parquet").read_bytes() == alone


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "slurm"], "unknown engine 'slurm'; known: local, ray"),
        (["--address", "127.0.0.1:1"], "--address 127.0.0.1:1 is for --engine ray"),
        (["--engine", "ray", "--address", "127.0.0.1:1"], "--address 127.0.0.1:1 cannot be reached"),
        (["--engine", "ray", "--address", "nowhere"], "--address nowhere must be HOST:PORT"),
        (["--engine", "ray", "--address", "ray://127.0.0.1:1"], "must be HOST:PORT"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path: Path, words, message):
    done = here("sweep", "mlp-ratio", "--profile", "smoke", "--runs", str(tmp_path), *words)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_ray_a_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"not installed: pip install 'magic-number\[ray\]'"), client.connect(None):
        pass


def keep(lines: list[str]):
    """A callback that appends the text of line events."""
    return lambda event: lines.append(event.text) if isinstance(event, Line) else None


def listens(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0
