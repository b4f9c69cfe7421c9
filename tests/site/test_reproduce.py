"""The main job, as a newcomer would see it."""

import json
import shutil
import sys
from pathlib import Path

from runner.data import corpora
from runner.evidence import archive, log, planned, state
from runner.plan import experiment
from tests.conftest import ROOT
from tests.site.conftest import call, make


def test_from_data_to_site_in_one_command(reproduced, built_site: Path):
    said = reproduced.stdout
    assert "r1-s0 trains: it has not been trained" in said
    assert "10 runs in" in said
    assert "mlp-ratio: 10 runs to train, some seconds" in said
    assert "notebook mlp-ratio: executed" in said
    assert f"page: {built_site / 'posts' / 'is-4-the-magic-number' / 'index.html'}" in said
    # A post at a time, the title post first.
    assert said.index("notebook mlp-ratio: executed") < said.index("activations/relu2-s0 trains")
    assert "Traceback" not in said + reproduced.stderr


def test_every_number_of_the_page_comes_from_this_evidence(checkout: Path, built_site: Path):
    results = json.loads((checkout / "build/analysis/mlp-ratio/smoke/results.json").read_text())
    runs = log.read_runs(checkout / "runs", "mlp-ratio", "smoke")
    assert results["numbers"]["runs"]["value"] == len(runs) == 10
    best = min(float(run.metrics().to_pandas().query("split == 'val'").loss.min()) for run in runs)
    assert best <= results["numbers"]["best-reference"]["value"] < best + 0.2
    page = (built_site / "posts/is-4-the-magic-number/index.html").read_text()
    assert "smoke" in page


def test_the_second_time_it_says_that_nothing_changed(checkout: Path, built_site: Path):
    again = make(checkout, "reproduce", "PROFILE=smoke")
    assert again.returncode == 0, again.stdout + again.stderr
    lines = again.stdout.splitlines()
    assert lines[0] == "nothing has changed"
    assert str(built_site / "posts" / "is-4-the-magic-number" / "index.html") in lines
    assert not any("trains:" in line or "executed" in line for line in lines)
    (checkout / "posts" / "about.md").touch()  # what looks changed and is not
    looked = make(checkout, "reproduce", "PROFILE=smoke").stdout.splitlines()
    assert "mlp-ratio: all 10 runs of the smoke profile are unchanged" in looked
    assert "site: unchanged" in looked
    assert not any("trains:" in line or "executed" in line for line in looked)


def test_a_run_that_lost_its_manifest_comes_out_again_to_the_same_bytes(checkout: Path, built_site: Path):
    metrics = checkout / "runs/mlp-ratio/smoke/r3-s1/metrics.parquet"
    before = metrics.read_bytes()
    (metrics.parent / "manifest.json").unlink()
    again = call(checkout, f"{sys.prefix}/bin/runner", "sweep", "mlp-ratio", "--profile", "smoke")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "r3-s1 resumes: its manifest is missing" in again.stdout
    assert metrics.read_bytes() == before


def test_an_unknown_profile_is_one_line_and_a_failure(checkout: Path):
    done = make(checkout, "reproduce", "PROFILE=huge")
    assert done.returncode != 0
    assert "unknown profile 'huge'; known: paper, laptop, smoke" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_picture_of_the_readme_is_the_published_figure(checkout: Path, built_site: Path, tmp_path_factory):
    """Made again from the published logs, byte for byte. CI builds the whole site from them."""
    folder = tmp_path_factory.mktemp("published")
    made = {"build", "runs", "site"}  # of the folder itself: analysis has rooms of these names
    shutil.copytree(
        checkout, folder, dirs_exist_ok=True, ignore=lambda where, names: made if Path(where) == checkout else set()
    )
    done = call(folder, sys.executable, "-m", "analysis.cli", "execute", "mlp-ratio", "--profile", "paper")
    assert done.returncode == 0, done.stdout + done.stderr
    drawn = folder / "build/analysis/mlp-ratio/paper/figures/zoom-2-light.svg"
    assert (ROOT / "figure.svg").read_bytes() == drawn.read_bytes(), f"copy {drawn} to figure.svg"


def test_the_published_logs_match_their_manifests(monkeypatch):
    """Each published run is a planned one. Not all that are planned need be there: the real sizes take weeks."""
    monkeypatch.setattr(corpora, "here", lambda name: True)  # plans are those that read the preferred corpora
    found = archive.ended(ROOT / "logs")
    assert {(run.manifest["experiment"], run.manifest["profile"]) for run in found} >= {("mlp-ratio", "laptop")}
    for name, profile in {(run.manifest["experiment"], run.manifest["profile"]) for run in found}:
        plans = planned.plans(experiment.load(name), profile, ROOT / "logs")
        published = {run.name: run.manifest["identity"] for run in log.read_runs(ROOT / "logs", name, profile)}
        assert published.items() <= {plan.name: state.plan_identity(plan) for plan in plans}.items()
