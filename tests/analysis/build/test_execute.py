import json
import shutil
import subprocess
import sys

import pytest

from analysis.build import execute
from analysis.build.execute import plan, reason, record
from runner.errors import UserError
from tests.analysis import fake

NAME = "mlp-ratio"


def why(project, profile=None):
    return reason(plan(project, NAME, project.logs, profile), record(project.results / NAME))


def test_an_executed_notebook_leaves_its_results(executed):
    folder = executed.results / NAME
    results = json.loads((folder / "results.json").read_text())
    assert results["numbers"]["best-ratio"]["value"] == 5
    assert {p.name for p in folder.iterdir()} == {"results.json", "record.json", "executed.ipynb", "figures"}
    assert not list(executed.results.glob(".*"))


def test_nothing_changed_is_not_executed(house, monkeypatch):
    monkeypatch.setattr(execute, "_run", lambda *a: pytest.fail("executed"))
    assert execute.execute(plan(house, NAME, house.logs), house).reason == ""


def test_each_input_is_a_reason(house):
    assert why(house) == ""
    fake.write_run(house.logs, 4, 0, shift=0.01)
    assert why(house) == "logs changed: r4-s0"
    fake.write_run(house.logs, 6, 0)
    assert why(house) == "logs changed: r4-s0, r6-s0"
    (house.root / "requirements.lock").write_text("torch==2.14.0\n")
    assert why(house).endswith("; lock file changed")
    with (house.root / "analysis/study/results.py").open("a") as file:
        file.write("# more\n")
    assert "analysis/study/results.py changed" in why(house)
    source = house.notebooks / f"{NAME}.py"
    source.write_text(source.read_text().replace("bar = 1.8", "bar = 1.9"))
    assert why(house).startswith("notebook changed; analysis/study/results.py changed; parameter bar: 1.8 → 1.9; logs")


def test_missing_results_are_a_reason(house):
    (house.results / NAME / "results.json").unlink()
    assert why(house) == "first time"


def test_another_profile_is_a_reason(house):
    fake.write_run(house.logs, 4, 0, "smoke")
    assert why(house, "smoke") == "parameter profile: laptop → smoke"


def test_force_is_a_reason(house):
    assert reason(plan(house, NAME, house.logs), record(house.results / NAME), force=True) == "forced"


def test_the_same_logs_at_another_place_are_not_executed(house):
    shutil.copytree(house.logs, house.root / "runs")
    outcome = execute.execute(plan(house, NAME, house.root / "runs"), house)
    assert outcome.reason == ""
    assert record(house.results / NAME)["logs"] == "runs"


def test_unknown_names_are_refused(house):
    with pytest.raises(UserError, match="unknown notebook 'mlp'; known: mlp-ratio"):
        plan(house, "mlp", house.logs)
    with pytest.raises(UserError, match="unknown parameter 'bat'"):
        plan(house, NAME, house.logs, given={"bat": 1})


def test_a_failing_cell_leaves_the_old_results(house):
    source = house.notebooks / f"{NAME}.py"
    head = source.read_text().split("# %%\nimport pandas")[0]
    source.write_text(head + "# %%\nimport math\n\n# %%\nhalf = 1\nmath.sqrt(-half)\n")
    before = (house.results / NAME / "results.json").read_bytes()
    with pytest.raises(execute.NotebookFailed) as failed:
        execute.execute(plan(house, NAME, house.logs), house)
    message = str(failed.value)
    line = source.read_text().splitlines().index("half = 1") + 1
    assert message.startswith(
        f"analysis/notebooks/mlp-ratio.py:{line}: code cell 3 failed: ValueError: math domain error"
    )
    assert "    math.sqrt(-half)" in message
    assert "\x1b" not in message
    assert (house.results / NAME / "results.json").read_bytes() == before
    assert not list(house.results.glob(".*"))


def test_planning_imports_nothing_heavy():
    code = (
        "import sys, analysis.cli, analysis.build.execute; "
        "print({'papermill', 'jupytext', 'matplotlib', 'pandas', 'pyarrow', 'torch', 'jinja2', 'rich.progress'}"
        " & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=fake.REPOSITORY, check=True)
    assert done.stdout.strip() == "set()"
