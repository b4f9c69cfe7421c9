import contextlib
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from runner.cli import experiments, main, options
from runner.errors import UserError
from runner.evidence import log
from runner.evidence.status import Status
from runner.files import SCRATCH
from runner.launch import progress
from runner.lock import hold
from runner.plan import experiment
from runner.plan.spec import identity
from runner.training.progress import Progress
from tests.conftest import at_call, train_here


def call(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "runner.cli", *words], capture_output=True, text=True, check=False, cwd=cwd
    )


def here(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    """The same in this process, which has imported everything."""
    said, complained = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["runner", *words]),
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(complained),
        pytest.raises(SystemExit) as end,
    ):
        main.main()
    return subprocess.CompletedProcess(words, end.value.code or 0, said.getvalue(), complained.getvalue())


def test_help_for_every_command():
    for command in ("list", "data", "train", "sweep", "status", "sample", "draw"):
        done = here(command, "--help")
        assert done.returncode == 0
        assert f"Usage: runner {command}" in done.stdout


def test_the_experiments_are_listed():
    listed = here("list").stdout.splitlines()
    planned = sum(len(experiment.load(name).profiles) for name in experiment.names())
    assert len(listed) == 1 + planned, "in a pipe a line is not wrapped"
    assert any(line.startswith("mlp-ratio ") for line in listed)


def test_a_file_that_is_no_experiment_hides_no_other(monkeypatch, capsys):
    known = experiment.names()[0]
    monkeypatch.setattr(experiment, "names", lambda *_: ["nosuch", known])
    with pytest.raises(UserError, match="unknown experiment 'nosuch'"):
        experiments.list_all()
    assert known in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sweep", "mlp-ration"], "unknown experiment 'mlp-ration'; did you mean mlp-ratio"),
        (["sweep", "mlp-ratio", "--profile", "huge"], "unknown profile 'huge'"),
        (["train", "mlp-ratio", "--set", "mlp_ratio=0"], "mlp_ratio = 0 must be a positive number"),
        (["train", "mlp-ratio", "--set", "mlp_ratio=-2"], "mlp_ratio = -2 must be a positive number"),
        (["train", "mlp-ratio", "--set", "n_head=7"], "n_head = 7 does not divide d_model = 64"),
        (["train", "mlp-ratio", "--set", "block_size=30000"], "block_size = 30000 is longer than data."),
        (["train", "mlp-ratio", "--set", "ratio=2"], "unknown setting 'ratio'; known: "),
        (["train", "mlp-ratio", "--set", "ratio"], "must be NAME=VALUE"),
        (["train", "mlp-ratio", "--set", "data.corpus='bible'"], "unknown corpus 'bible'"),
        (["train", "mlp-ratio", "--profile", "smoke", "--device", "tpu"], "device 'tpu' is not available"),
        (["sample", "nowhere"], "nowhere holds no run"),
        (["draw", "nowhere"], "nowhere holds no run that has finished"),
        (["sample", "nowhere", "--temperature", "0"], "temperature 0 must be at least 0.001"),
        (["sample", "nowhere", "--samples", "0"], "samples 0 must be at least 1"),
        (["sample", "nowhere", "--threads", "100000"], "threads 100000: this machine has"),
        (["sweep", "mlp-ratio", "--only", "r9*"], "--only r9*: no run of mlp-ratio, laptop profile, has such a name"),
        (["sweep", "--profile", "smoke", "--only", "r9*"], "--only r9*: no run of any experiment, smoke profile, has"),
        (
            ["sweep", "mlp-ratio", "--profile", "smoke", "--only", ""],
            "--only '': no run of mlp-ratio, smoke profile, has",
        ),
        (["train", "mlp-ratio", "--set", "seed=3"], "the seed is no setting; `runner train` has --seed 3 for it"),
        (["status", "scratch"], "list them with runner losses scratch"),
        (["verify", "--logs", "--mark"], "--mark is for one run: name its folder"),
        (["verify", "--logs", "--steps", "3"], "--steps is for one run: name its folder"),
        (["verify", "run", "--folder", "other"], "--folder is for --logs: give that, too"),
        (["verify", "--logs", "--folder", __file__], f"--folder {__file__} is a file: name a folder"),
        (["publish", "mlp-ratio", "--logs", __file__], f"--logs {__file__} is a file: name a folder"),
        (["baselines", "mlp-ratio", "--runs", "nowhere"], "nowhere does not exist"),
        (["train", "three-x", "--profile", "smoke", "--set", "norms=[1]"], "norms has no arm [1]; known: "),
        (["train", "d12", "--set", "corpus=[1]"], "corpus must be text, not [1]"),
        (["tokenizer", "web-ratio", "--profile", "paper"], "reads openwebtext as shards of GPT-2's tokens"),
        (["data", "bible"], "unknown corpus 'bible'; known: "),
        (["data", "none"], "unknown corpus 'none'; known: "),
        (["train", "d12_mlp"], "unknown experiment or model 'd12_mlp'; did you mean d12_mlp3x"),
        (["train", "mlp-rati"], "unknown experiment or model 'mlp-rati'; did you mean mlp-ratio"),
        (["train", "nosuch"], "unknown experiment or model 'nosuch'; experiments: activations"),
        (["train", "d12", "--device", "tpu"], "device 'tpu' is not available"),
        (["baselines", "step-time"], "step-time: no baselines: its file says baselines = false"),
        (["unpack", "/etc/passwd"], "/etc/passwd is no archive, or damaged"),
        (["train", "mlp-ratio", "--profile", "smoke", "--precision", "fp8"], "precision 'fp8' must be"),
        (
            ["train", "mlp-ratio", "--profile", "smoke", "--threads", "0"],
            "placement threads = 0 must be a whole number",
        ),
        (
            ["train", "mlp-ratio", "--profile", "smoke", "--set", 'eval.probes=["nosuch"]'],
            "eval.probes: unknown probe 'nosuch'; known: attention_logit, ",
        ),
        (["train", "nope.toml"], "nope.toml does not exist: name the TOML file of an experiment"),
        (["describe", "mlp-ratio"], "'mlp-ratio' is an experiment, not a model"),
        (["describe", "d12", "--set", "train.steps=5"], "train.steps is no setting of the model d12"),
        (["train", "mlp-ratio", "--steps", "5", "--set", "train.steps=7"], "train.steps is set twice, by --set and"),
        (["status", "--runs", __file__], f"--runs {__file__} is a file: name a folder"),
        (["train", "tasks", "--profile", "smoke", "--set", "decay='no'"], "decay has no arm 'no'; known: ''"),
        (["tokenizer", "d12"], "'d12' is a model, not an experiment"),
        (["status", "--runs", "nowhere"], "nowhere does not exist"),
        (["sweep", "mlp-ratio", "--engine", "slurm"], "unknown engine 'slurm'; known: local, ray"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path: Path, words, message):
    done = here(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.startswith("runner: ")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == "", "refused before anything is begun"


def test_a_wrong_checksum_is_one_line_and_status_2(tmp_path: Path, monkeypatch):
    (tmp_path / "tiny-shakespeare.txt").write_text("not the bard")
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))
    done = here("data")
    assert done.returncode == 2
    assert "has sha256" in done.stderr
    assert done.stderr.count("\n") == 1


def test_train_sample_status_and_a_held_run(tmp_path: Path):
    """What a person does: train one run, look, sample; and be told when another process has it."""
    words = ["train", "mlp-ratio", "--profile", "smoke", "--set", "mlp_ratio=2", "--runs", str(tmp_path)]
    folder = tmp_path / "mlp-ratio" / "smoke" / "r2-s0"
    with hold(folder):
        held = call(*words)
    assert held.returncode == 2
    assert "is held by process" in held.stdout
    first, again = call(*words).stdout, here(*words).stdout
    assert "r2-s0 finished" in first
    assert "r2-s0 unchanged: it finished at step 60" in again
    ends = {row["split"]: row["loss"] for row in log.read_run(folder).metrics().to_pylist() if row["step"] == 60}
    last = f"{folder}: final loss train {ends['train']:.4f}, val {ends['val']:.4f}, test {ends['test']:.4f}"
    assert first.splitlines()[-1] == again.splitlines()[-1] == last
    lines = here("status", "mlp-ratio", "--profile", "smoke", "--runs", str(tmp_path)).stdout.splitlines()
    assert "mlp-ratio/r2-s0  finished  it finished at step 60" in lines
    assert "mlp-ratio/r1-s0  missing   it has not been trained" in lines
    log.write_manifest(folder, {**log.read_manifest(folder), "code": "0" * 12})
    lines = here("status", "mlp-ratio", "--profile", "smoke", "--runs", str(tmp_path)).stdout.splitlines()
    assert "mlp-ratio/r2-s0  finished  it finished at step 60, with older code" in lines
    assert lines[-1].startswith("drift: since 1 of 10 runs started, ")
    words = ("sample", str(folder), "--prompt", "ROMEO:", "--length", "90")  # beyond the block
    text = call(*words).stdout
    assert text.startswith("ROMEO:")
    assert len(text) == 97
    first, second = call(*words, "--no-cache", "--samples", "2").stdout.split("--- sample 2 of 2\n")
    assert first == f"--- sample 1 of 2\n{text}"
    assert second.startswith("ROMEO:")
    assert second != text
    strange = call("sample", str(folder), "--prompt", "naïve")
    assert (strange.returncode, strange.stderr.count("\n")) == (2, 1)


def test_a_damaged_run_that_a_rule_asks_for_is_named(tmp_path: Path):
    folder = tmp_path / "activations" / "smoke" / "swiglu-s0"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    lines = here("status", "activations", "--profile", "smoke", "--runs", str(tmp_path)).stdout.splitlines()
    assert any(line.startswith("activations/swiglu-s0") and "cannot be read" in line for line in lines)
    assert any(line.startswith("activations/relu2-s0  missing") for line in lines)


def test_a_damaged_run_hides_no_other_from_the_status(trained, tmp_path: Path):
    shutil.copytree(trained.parent, tmp_path / "mlp-ratio" / "smoke")
    for name, text in (("r2-s0", "[]"), ("r3-s0", "{")):
        (tmp_path / "mlp-ratio" / "smoke" / name).mkdir(exist_ok=True)
        (tmp_path / "mlp-ratio" / "smoke" / name / "manifest.json").write_text(text)
    done = here("status", "mlp-ratio", "--profile", "smoke", "--runs", str(tmp_path))
    lines = [line for line in done.stdout.splitlines() if "manifest.json cannot be read" in line]
    assert [line.split()[0] for line in lines] == ["mlp-ratio/r2-s0", "mlp-ratio/r3-s0"]
    assert f"mlp-ratio/{trained.name}  finished" in done.stdout


def test_the_status_of_a_runs_folder_names_its_experiment(trained, tmp_path: Path):
    done = here("status", str(trained))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    remedy = "run `runner status mlp-ratio --profile smoke`"
    assert f"{trained} is the folder of a run, and status takes an experiment: {remedy}" in done.stderr
    folder = shutil.copytree(trained, tmp_path / "run")
    manifest = log.read_manifest(folder)
    log.write_manifest(folder, {**manifest, "experiment": SCRATCH})
    done = here("status", str(folder))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "this run is of 'scratch', which is none; known: activations, " in done.stderr


def test_of_all_experiments_those_without_the_profile_are_left_out(tmp_path: Path):
    done = here("status", "--profile", "paper", cwd=tmp_path)
    lacking = [name for name in experiment.names() if "paper" not in experiment.load(name).profiles]
    assert (done.returncode, bool(lacking)) == (0, True)
    lines = done.stdout.splitlines()
    assert lines[0] == f"without a paper profile, and left out: {', '.join(lacking)}"
    assert lines[-1].startswith(f"there is no folder runs in {tmp_path}: if your runs are elsewhere")
    assert len(lines) == 2 + len(experiment.names()) - len(lacking)
    done = here("status", "--profile", "huge", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "runner: unknown profile 'huge'; known: paper, laptop, smoke\n")


@pytest.mark.parametrize(("then", "code"), [("failed", 2), ("stopped", 1), ("finished", 0)])
def test_a_run_that_fails_keeps_no_other_experiment_from_its_sweep(monkeypatch, then, code):
    swept = []

    def train(loaded, *_):
        swept.append(loaded.name)
        statuses = {"r1-s0": Status(then if len(swept) == 1 else "finished")}
        return lambda: statuses

    monkeypatch.setattr(experiments.sweep, "begin", train)
    assert here("sweep", "--profile", "smoke").returncode == code
    assert len(swept) == (1 if then == "stopped" else len(experiment.names()))


def test_a_run_whose_specification_changed_is_not_published(trained, tmp_path: Path):
    runs = tmp_path / "runs" / "mlp-ratio" / "smoke"
    shutil.copytree(trained, runs / trained.name)
    path = runs / trained.name / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["spec"]["train"]["learning_rate"] = 0.5
    manifest["identity"] = identity(manifest["spec"], manifest["corpus"]["sha256"])
    path.write_text(json.dumps(manifest))
    done = here("publish", "mlp-ratio", "--profile", "smoke", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        f"mlp-ratio/{trained.name} is not published: its specification changed since: train.learning_rate"
        in done.stdout
    )
    assert not (tmp_path / "logs").exists()


def test_baselines_are_counted_once_and_published_with_the_runs(trained, tmp_path: Path):
    shutil.copytree(trained, tmp_path / "runs" / "mlp-ratio" / "smoke" / trained.name)
    words = ("baselines", "mlp-ratio", "--profile", "smoke")
    first, again = here(*words, cwd=tmp_path), here(*words, cwd=tmp_path)
    assert first.stdout.startswith("mlp-ratio: 6-gram counts, ")
    assert again.stdout == f"{first.stdout.rstrip()} (unchanged)\n"
    done = here("publish", "mlp-ratio", "--profile", "smoke", cwd=tmp_path)
    assert done.stdout.splitlines()[1:] == ["logs/mlp-ratio/smoke/baselines.json is new or changed"]
    (tmp_path / "logs" / "mlp-ratio" / "smoke" / "forgotten").mkdir()
    checked = here("verify", "--logs", cwd=tmp_path).stdout.splitlines()
    assert checked[0] == "1 published run matches its manifest"
    assert checked[1].startswith("logs/mlp-ratio/smoke/forgotten has no manifest")
    assert checked[2].startswith("1 file of baselines")


def test_runs_that_are_not_planned_are_named(tmp_path: Path):
    folder = tmp_path / "mlp-ratio" / "smoke" / "r9-s0"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    done = here("status", "mlp-ratio", "--profile", "smoke", "--runs", str(tmp_path))
    none, unplanned = done.stdout.splitlines()
    assert none == "mlp-ratio  missing   none of the 10 runs of the smoke profile has been trained"
    assert unplanned.startswith("mlp-ratio/r9-s0  unplanned")


def test_status_shows_where_another_process_is(tiny, tmp_path: Path):
    train_here(tiny, tmp_path, stopping=at_call(50))
    folder = tiny.folder(tmp_path)
    with hold(folder):
        progress.File(folder).note(Progress(tiny.name, 20, 30, 2.5, 1000.0))
        done = here("status", "mlp-ratio", "--profile", "smoke", "--runs", str(tmp_path))
    assert "mlp-ratio/r1-s0  outdated" in done.stdout  # it has other steps than the planned one
    (loaded,) = [plan for plan in experiment.load("mlp-ratio").plans("smoke") if plan.name == tiny.name]
    train_here(loaded, tmp_path, stopping=at_call(50))
    with hold(folder):
        progress.File(folder).note(Progress(tiny.name, 20, 60, 2.5, 1000.0))
        done = here("status", "mlp-ratio", "--profile", "smoke", "--runs", str(tmp_path))
    assert "mlp-ratio/r1-s0  running   at step 20 of 60, loss 2.500\n" in done.stdout


def test_looking_needs_no_torch():
    """So that a command with nothing to do answers at once."""
    code = "import sys, runner.cli.main, runner.evidence.state, runner.evidence.log; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_settings_find_their_table():
    assert options.settings(["mlp_ratio=2.5", "train.steps=3"]) == {"model.mlp_ratio": 2.5, "train.steps": 3}
    assert options.settings(["sentencepiece.vocabulary=400"]) == {"data.sentencepiece.vocabulary": 400}
    assert options.settings(["data=1", "placement.jobs=2"], axes=["data"]) == {"data": 1, "placement.jobs": 2}
    with pytest.raises(UserError, match="unknown setting"):
        options.settings(["depth=3"])
