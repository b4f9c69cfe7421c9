import json
import shutil
import subprocess
import sys

import pytest

from analysis.build import execute
from analysis.build.execute import as_before, due, plan, plans, profiles, reason, record, settle
from runner.errors import UserError
from tests.analysis import fake

NAME = "mlp-ratio"


def why(project, profile=None):
    return reason(plan(project, NAME, project.logs, profile), record(project.results / NAME / (profile or "laptop")))


def test_an_executed_notebook_leaves_its_results(executed):
    folder = executed.results / NAME / "laptop"
    results = json.loads((folder / "results.json").read_text())
    assert results["numbers"]["best-ratio"]["value"] == 5
    assert {p.name for p in folder.iterdir()} == {"results.json", "record.json", "executed.ipynb", "figures"}
    assert not list(executed.results.rglob(".*"))


def test_nothing_changed_is_not_executed(house, monkeypatch):
    monkeypatch.setattr(execute, "_run", lambda *a: pytest.fail("executed"))
    assert execute.execute(plan(house, NAME, house.logs), house).reason == ""


def test_results_that_were_kept_to_compare_with_are_taken_back(house, monkeypatch):
    shutil.copytree(house.results / NAME / "laptop", house.published / NAME / "laptop")
    shutil.rmtree(house.results / NAME / "laptop")
    monkeypatch.setattr(execute, "_run", lambda *a: pytest.fail("executed"))
    assert execute.execute(plan(house, NAME, house.logs), house).reason == ""
    assert record(house.results / NAME / "laptop")["logs"] == "logs"
    assert why(house) == ""
    fake.write_run(house.logs, 4, 0, shift=0.01)  # other inputs are executed
    with pytest.raises(pytest.fail.Exception, match="executed"):
        execute.execute(plan(house, NAME, house.logs), house)


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


def test_of_many_modules_three_are_named(house):
    kept = record(house.results / NAME / "laptop")
    kept["parts"]["modules"] |= dict.fromkeys(("analysis/a.py", "analysis/b.py", "analysis/c.py", "runner/d.py"), "old")
    said = reason(plan(house, NAME, house.logs), kept)
    assert said == "analysis/a.py changed; analysis/b.py changed; analysis/c.py changed; 1 more changed"


def test_missing_results_are_a_reason(house):
    (house.results / NAME / "laptop" / "results.json").unlink()
    assert why(house) == "first time"


def test_there_is_a_plan_for_each_profile_or_for_the_one_that_is_named(house):
    assert [(one.profile, one.label) for one in plans(house, NAME, house.logs)] == [("laptop", NAME)]
    fake.write_run(house.logs, 4, 0, "paper")
    both = plans(house, NAME, house.logs)
    assert [(one.profile, one.label) for one in both] == [("paper", f"{NAME}, paper"), ("laptop", f"{NAME}, laptop")]
    assert [one.output for one in both] == [house.results / NAME / profile for profile in ("paper", "laptop")]
    assert [due(one) for one in both] == ["first time", ""]
    assert [one.label for one in plans(house, NAME, house.logs, "paper")] == [NAME]


def test_profiles_that_were_not_asked_for_are_removed(house):
    folder = house.results / NAME
    shutil.copytree(folder / "laptop", folder / "smoke")
    (folder / "results.json").write_text("{}")
    assert profiles(folder) == ["laptop", "smoke"]
    settle(house, plans(house, NAME, house.logs, "laptop"))
    assert [path.name for path in folder.iterdir()] == ["laptop"]


def test_a_profile_with_too_little_evidence_is_left_out(house, monkeypatch):
    fake.write_run(house.logs, 4, 0, "paper")
    both = plans(house, NAME, house.logs)
    outcome = execute.execute(both[0], house)
    assert outcome.lacking == "needs two ratios, not [4.0]"
    assert outcome.line() == "mlp-ratio, paper: too little evidence yet (needs two ratios, not [4.0])"
    assert profiles(house.results / NAME) == ["laptop"]
    settle(house, both)
    monkeypatch.setattr(execute, "_run", lambda *a: pytest.fail("executed"))
    assert execute.execute(both[0], house).lacking == outcome.lacking, "known from the record"
    fake.write_run(house.logs, 1, 0, "paper")
    assert due(plans(house, NAME, house.logs)[0]) == "logs changed: r1-s0"
    with pytest.raises(execute.NotebookFailed, match=r"too little evidence \(profile paper: needs two ratios"):
        settle(house, both[:1])


def test_what_was_executed_before_is_executed_again(house):
    fake.write_run(house.logs, 4, 0, "paper")
    assert [one.profile for one in as_before(house, NAME)] == ["laptop"]
    shutil.rmtree(house.results)
    assert [one.profile for one in as_before(house, NAME)] == ["paper", "laptop"]


def test_force_is_a_reason(house):
    assert reason(plan(house, NAME, house.logs), record(house.results / NAME / "laptop"), force=True) == "forced"


def test_the_same_logs_at_another_place_are_not_executed(house):
    shutil.copytree(house.logs, house.root / "runs")
    outcome = execute.execute(plan(house, NAME, house.root / "runs"), house)
    assert outcome.reason == ""
    assert record(house.results / NAME / "laptop")["logs"] == "runs"


def test_an_unknown_notebook_is_refused(house):
    with pytest.raises(UserError, match="unknown notebook 'mlp'; known: mlp-ratio"):
        plan(house, "mlp", house.logs)


def test_a_failing_cell_leaves_the_old_results(house):
    source = house.notebooks / f"{NAME}.py"
    head = source.read_text().split("# %%\nimport pandas")[0]
    source.write_text(head + "# %%\nimport math\n\n# %%\nhalf = 1\nmath.sqrt(-half)\n")
    before = (house.results / NAME / "laptop" / "results.json").read_bytes()
    with pytest.raises(execute.NotebookFailed) as failed:
        execute.execute(plan(house, NAME, house.logs), house)
    message = str(failed.value)
    line = source.read_text().splitlines().index("half = 1") + 1
    assert message.startswith(
        f"analysis/notebooks/mlp-ratio.py:{line}: code cell 3 failed: ValueError: math domain error"
    )
    assert "    math.sqrt(-half)" in message
    assert "\x1b" not in message
    assert (house.results / NAME / "laptop" / "results.json").read_bytes() == before
    assert not list(house.results.rglob(".*"))


def test_planning_imports_nothing_heavy():
    code = (
        "import sys, analysis.cli, analysis.build.execute; "
        "print({'papermill', 'jupytext', 'matplotlib', 'pandas', 'pyarrow', 'torch', 'jinja2', 'rich.progress'}"
        " & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=fake.REPOSITORY, check=True)
    assert done.stdout.strip() == "set()"


def test_several_are_executed_in_order_up_to_a_failure(house, monkeypatch):
    monkeypatch.setattr(execute, "MOST", 1)  # by one thread: two start in either order
    fake.write_run(house.logs, 4, 0, "paper")
    both = plans(house, NAME, house.logs)[::-1]

    def run(plan, project, scratch):
        if plan.profile == "paper":
            raise execute.NotebookFailed("it broke")
        (scratch / "results.json").write_text("{}")

    monkeypatch.setattr(execute, "_run", run)
    started, ended = [], []
    with pytest.raises(execute.NotebookFailed, match="it broke"):
        execute.execute_all(both, house, True, lambda plan, why: started.append((plan.profile, why)), ended.append)
    assert started == [("laptop", "forced"), ("paper", "first time")]
    assert [outcome.reason for outcome in ended] == ["forced"]
    assert (house.results / NAME / "laptop" / "results.json").read_text() == "{}"
    assert not (house.results / NAME / "paper").exists()
