"""The main job, as a newcomer would see it."""

import json
import sys
from pathlib import Path

from runner.evidence import log
from tests.site.conftest import call, make


def test_from_data_to_site_in_one_command(reproduced, site: Path):
    said = reproduced.stdout
    assert "r1-s0 trains: it has not been trained" in said
    assert "10 runs in" in said
    assert "mlp-ratio: 10 runs to train, some seconds" in said
    assert "notebook mlp-ratio: executed" in said
    assert f"page: {site / 'posts' / 'is-4-the-magic-number' / 'index.html'}" in said
    assert "Traceback" not in said + reproduced.stderr


def test_every_number_of_the_page_comes_from_this_evidence(checkout: Path, site: Path):
    results = json.loads((checkout / "build/analysis/mlp-ratio/smoke/results.json").read_text())
    runs = log.read_runs(checkout / "runs", "mlp-ratio", "smoke")
    assert len(runs) == 10
    best = min(float(run.metrics().to_pandas().query("split == 'val'").loss.min()) for run in runs)
    assert results["numbers"]["best-loss"]["value"] == best
    page = (site / "posts/is-4-the-magic-number/index.html").read_text()
    assert f"{best:.3f} nats" in page.replace("\N{NO-BREAK SPACE}", " ")
    assert "smoke" in page


def test_the_second_time_it_says_that_nothing_changed(checkout: Path, site: Path):
    again = make(checkout, "reproduce", "PROFILE=smoke")
    assert again.returncode == 0, again.stdout + again.stderr
    lines = again.stdout.splitlines()
    assert lines[0] == "nothing has changed"
    assert str(site / "posts" / "is-4-the-magic-number" / "index.html") in lines
    assert not any("trains:" in line or "executed" in line for line in lines)
    (checkout / "posts" / "about.md").touch()  # what looks changed and is not
    looked = make(checkout, "reproduce", "PROFILE=smoke").stdout.splitlines()
    assert "mlp-ratio: all 10 runs of the smoke profile are unchanged" in looked
    assert "site: unchanged" in looked
    assert not any("trains:" in line or "executed" in line for line in looked)


def test_a_run_that_lost_its_manifest_comes_out_again_to_the_same_bytes(checkout: Path, site: Path):
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
