"""What is published with the code: the logs, and the picture of the README."""

import json
from collections.abc import Iterator
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

from analysis.build.project import Project
from analysis.site import post
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


def named(body: str) -> Iterator[tuple[int, str, str, str]]:
    """The results that a post names: line, kind, name, and the notebook that it says, if any. Those that it asks for
    with `has` may be missing, and with them those whose names begin like theirs."""
    calls = [
        (call.node.name, call)
        for call in jinja2.Environment(autoescape=False).parse(body).find_all(nodes.Call)
        if isinstance(call.node, nodes.Name) and call.args and isinstance(call.args[0], nodes.Const)
    ]
    optional = tuple(call.args[0].value for function, call in calls if function == "has")
    kinds = {"number": "numbers", "value": "numbers", "table": "tables", "figure": "figures"}
    for function, call in calls:
        if function in kinds and not call.args[0].value.startswith(optional):
            said = [word.value.value for word in call.kwargs if word.key == "notebook"]
            yield call.lineno, kinds[function], call.args[0].value, said[0] if said else ""


def test_posts_name_only_results_that_exist_in_branches_that_are_not_taken_too(request: pytest.FixtureRequest):
    """Which branches are taken hangs on the results, and readers have other ones."""
    site = request.config.getoption("--site")
    if not site:
        pytest.skip("`make pages` looks at it")
    project = Project(Path(site).resolve().parent)
    for one in post.every(project):
        for line, kind, name, notebook in named(one.body):
            paths = [p for n in [notebook] * bool(notebook) or one.notebooks for p in (project.results / n).glob("*/*")]
            found = [json.loads(path.read_text())[kind] for path in paths if path.name == "results.json"]
            assert any(name in results for results in found), f"{one.where}:{line}: {name} is in no results"
