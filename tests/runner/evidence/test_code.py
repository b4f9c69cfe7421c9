"""Which code decides a run's numbers."""

from dataclasses import replace
from pathlib import Path

import pytest

from runner.evidence import code
from runner.plan.spec import RunSpec


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources, to be changed."""
    for module in code.modules(RunSpec()):
        path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code._path(module).read_text())
    monkeypatch.setattr(code, "ROOT", tmp_path)
    return tmp_path


def fresh() -> str:
    code._digest.cache_clear()
    code._read.cache_clear()
    return code.fingerprint(RunSpec())


def test_it_is_the_loop_and_the_kind_and_what_they_import():
    found = set(code.modules(RunSpec()))
    assert {"runner.training.loop", "runner.training.engine", "runner.models.gpt.network"} <= found
    assert {
        "runner.models.kernels",
        "runner.data.dataset",
        "runner.data.tasks.windows",
        "runner.data.tokenizers.characters",
        "runner.plan.spec",
        "runner.training.optimizer",
    } <= found
    assert not {name for name in found if name.split(".")[1] in ("evidence", "launch", "cli")}
    assert "runner.models.registry" not in found, "another kind's line changes no number of this one"


def test_probes_belong_to_the_runs_that_ask_for_them():
    plain = RunSpec()
    observing = [
        replace(plain, eval=replace(plain.eval, probes=("accuracy",))),
        replace(plain, eval=replace(plain.eval, attention_logits=True)),
    ]
    assert "runner.training.probes.prediction" not in code.modules(plain)
    assert all("runner.training.probes.prediction" in code.modules(spec) for spec in observing)


def test_comments_docstrings_and_blank_lines_are_no_change(copy):
    before = fresh()
    path = copy / "runner/training/optimizer.py"
    text = path.read_text()
    path.write_text(text.replace('"""Linear warm-up', '"""A linear warm-up') + "\n\n# A remark.\n")
    assert path.read_text() != text
    assert fresh() == before


def test_a_statement_is_a_change(copy):
    before = fresh()
    path = copy / "runner/models/gpt/network.py"
    path.write_text(path.read_text().replace("0.02 /", "0.03 /"))
    assert fresh() != before


@pytest.fixture(autouse=True)
def _forget():
    yield
    code._digest.cache_clear()
    code._read.cache_clear()
