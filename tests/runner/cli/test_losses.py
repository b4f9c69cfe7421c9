import json
import shutil

from runner.evidence import log
from runner.plan.spec import identity
from tests.runner.cli.test_main import here


def test_losses_are_those_of_the_log(trained, smoke):
    root = str(trained.parents[2])
    metrics = log.read_run(trained).metrics().to_pylist()
    val = [(row["loss"], row["step"]) for row in metrics if row["split"] == "val"]
    assert len(val) > 2
    done = here("losses", "mlp-ratio", "--profile", "smoke", "--runs", root)
    head, line = done.stdout.splitlines()
    assert head.split() == ["run", "train", "val", "test", "least", "val", "at", "step", "steps"]
    name, _, last, _, least, step, steps = line.split()
    assert name == smoke.name
    assert last == f"{val[-1][0]:.4f}"
    assert (least, int(step)) == (f"{min(val)[0]:.4f}", min(val)[1])
    assert int(steps) == smoke.spec.train.steps
    (told,) = json.loads(here("losses", "mlp-ratio", "--profile", "smoke", "--runs", root, "--json").stdout)
    assert told["last"]["val"] == val[-1][0]
    assert told["least_val"] == {"loss": min(val)[0], "step": min(val)[1]}
    assert told["spec"]["model"]["mlp_ratio"] == smoke.spec.model.mlp_ratio
    assert told["planned"] is True


def test_runs_that_are_not_planned_so_any_more_are_named(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "mlp-ratio" / "smoke" / trained.name)
    manifest = log.read_manifest(folder)
    manifest["spec"]["train"]["steps"] += 1
    manifest["identity"] = identity(manifest["spec"], manifest["corpus"]["sha256"])
    log.write_manifest(folder, manifest)
    words = ("losses", "mlp-ratio", "--profile", "smoke", "--runs", str(tmp_path))
    assert here(*words).stdout.splitlines()[-1] == (
        f"not as the experiment plans them now, see `runner status`: {trained.name}"
    )
    (told,) = json.loads(here(*words, "--json").stdout)
    assert told["planned"] is False
    assert "unknown profile 'huge'" in here("losses", "mlp-ratio", "--profile", "huge").stderr


def test_a_run_that_diverged_says_when(trained, smoke, tmp_path, monkeypatch):
    run = log.read_run(trained)
    monkeypatch.setattr(
        log, "read_runs", lambda *_: [log.Run(run.path, run.manifest | {"status": "diverged", "diverged_at": 7})]
    )
    done = here("losses", "mlp-ratio", "--profile", "smoke", "--runs", str(tmp_path))
    assert "diverged at 7" in done.stdout


def test_no_run_is_one_line_and_status_2(tmp_path):
    done = here("losses", "mlp-ratio", "--profile", "smoke", "--runs", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == (
        f"runner: no run of mlp-ratio, smoke profile, has ended in {tmp_path}: train one, or name another folder "
        "with --runs\n"
    )
