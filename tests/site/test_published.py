"""What is published with the code: the logs, and the picture of the README."""

from pathlib import Path

import pytest

from runner.data import corpora
from runner.evidence import archive, log, planned, state
from runner.plan import experiment
from tests.conftest import ROOT


def test_the_picture_of_the_readme_is_the_published_figure(request: pytest.FixtureRequest):
    """Byte for byte."""
    named = request.config.getoption("--site")
    if not named:
        pytest.skip("`make pages` looks at it")
    drawn = Path(named).resolve().parent / "build/analysis/mlp-ratio/paper/figures/zoom-2-light.svg"
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
