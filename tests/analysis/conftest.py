"""A house with executed notebooks, made once; each test works in a copy of its own."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from analysis.build import execute
from analysis.build.project import Project
from tests.analysis import fake


@pytest.fixture(scope="session")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Its notebook was executed by papermill, once for all of pytest's processes. Not to be written to."""
    base = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        base = base.parent  # which the processes share
    claimed, done, project = base / "claimed", base / "done", Project(base / "house")
    try:
        claimed.mkdir()
    except FileExistsError:
        waited = time.monotonic() + 120
        while not done.exists():
            assert time.monotonic() < waited, "the process that executes the notebook did not end"
            time.sleep(0.1)
        return project
    fake.house(project.root)
    outcome = execute.execute(execute.plan(project, "mlp-ratio", project.logs), project)
    assert outcome.reason == "first time"
    done.mkdir()
    return project


@pytest.fixture
def house(executed: Project, tmp_path: Path) -> Project:
    """A copy to change."""
    return Project(shutil.copytree(executed.root, tmp_path / "house"))


@pytest.fixture
def two_sizes(house: Project) -> Project:
    """A copy with a paper profile of two seeds, whose losses are lower, beside the laptop profile."""
    for seed in range(2):
        for ratio in fake.RATIOS:
            fake.write_run(house.logs, ratio, seed, "paper", shift=-0.5)
    folder = house.results / "mlp-ratio"
    shutil.copytree(folder / "laptop", folder / "paper")
    path = folder / "paper" / "results.json"
    results = json.loads(path.read_text())
    results["numbers"]["best-loss"]["value"] -= 0.5
    results["claims"]["S0-4"] |= {"verdict": "inconclusive", "reason": "two seeds"}
    results["provenance"]["mlp-ratio"]["profile"] = "paper"
    path.write_text(json.dumps(results))
    execute.write_record(execute.plan(house, "mlp-ratio", house.logs, "paper"), house, folder / "paper")
    return house


@pytest.fixture
def bare(tmp_path: Path) -> Project:
    """Two runs and no results."""
    project = fake.house(tmp_path / "house", logs=False)
    fake.write_logs(project.logs, seeds=1, ratios=(1, 4))
    return project
