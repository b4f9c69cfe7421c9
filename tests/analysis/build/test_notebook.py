import pytest

from analysis.build import notebook
from runner.errors import UserError
from tests.analysis import fake

HEAD = "# ---\n# jupyter: {}\n# ---\n\n# %% [markdown]\n# # Title\n#\n# Prose $x$.\n\n"


def script(parameters, tag='# %% tags=["parameters"]'):
    return f"{HEAD}{tag}\n{parameters}\n\n# %%\nprint(1)\n"


def test_cells_know_their_kind_and_line():
    found = notebook.cells(script("a = 1"))
    assert [(cell.kind, cell.text, cell.line) for cell in found] == [
        ("markdown", "# Title\n\nProse $x$.", 6),
        ("code", "a = 1", 11),
        ("code", "print(1)", 14),
    ]


def test_title_is_the_first_heading():
    assert notebook.title(script("a = 1"), "x") == "Title"
    assert notebook.title("# %%\n# not a heading\n", "x") == "x"


def test_parameters_are_json():
    source = script('a = 1\nb = [1.5, "x", None]\nc: dict = {"k": True}')
    assert notebook.parameters(source, "n.py") == {"a": 1, "b": [1.5, "x", None], "c": {"k": True}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = (1, 2)", r"n.py:11: parameter a must be of a JSON type"),
        ("b = 1\na = {1, 2}", r"n.py:12: parameter a must be of a JSON type"),
        ("experiments = 3", r"n.py:11: parameter experiments must be an experiment's name, or a list of names"),
        ("experiments = ['a', 1]", r"n.py:11: parameter experiments must be an experiment's name"),
        ("a = Path('x')", r"n.py:11: parameter a must be of a JSON type"),
        ("import os", r"n.py:11: the parameters cell holds only"),
        ("a = = 1", r"n.py:11: invalid syntax"),
    ],
)
def test_other_parameters_are_refused(text, said):
    with pytest.raises(UserError, match=said):
        notebook.parameters(script(text), "n.py")


@pytest.mark.parametrize("source", ["# %%\na = 1\n", script("a = 1") + script("b = 1")])
def test_there_is_one_cell_of_parameters(source):
    with pytest.raises(UserError, match="exactly one cell"):
        notebook.parameters(source, "n.py")


@pytest.mark.parametrize(
    ("known", "expected"), [({}, ["own"]), ({"experiment": "a"}, ["a"]), ({"experiments": ["a", "b"]}, ["a", "b"])]
)
def test_evidence_is_that_of_its_name_or_as_it_says(known, expected):
    assert notebook.reads(known, "own") == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [({}, ["mlp-ratio"]), ({"experiments": ["units", "mlp-ratio"]}, []), ({"experiments": [], "everything": True}, [])],
)
def test_what_is_read_is_declared(known, expected):
    text = (
        '%matplotlib inline\nsweep = arms.read(logs, "units", profile)\nother = arms.read(logs, "mlp-ratio", profile)\n'
    )
    assert notebook.undeclared(text, known, "units") == expected


def test_plans_that_a_notebook_loads_are_found():
    assert notebook.planned('%ls\nwide = experiment.load("mini-gpt").plans("paper")\nexperiment.load(name)') == [
        "mini-gpt"
    ]


def test_imports_are_followed():
    source = fake.REPOSITORY / "analysis" / "notebooks" / "mlp-ratio.py"
    names = {path.relative_to(fake.REPOSITORY).as_posix() for path in notebook.imports(source, fake.REPOSITORY)}
    assert {
        "analysis/study/results.py",
        "analysis/study/style.py",
        "runner/evidence/log.py",
        "runner/errors.py",
    } <= names
    assert not {"analysis/site/weave.py", "analysis/site/generator.py", "runner/training/loop.py"} & names


def test_what_a_registry_imports_when_it_is_asked_is_followed():
    source = fake.REPOSITORY / "analysis" / "notebooks" / "three-x-cost.py"
    names = {path.relative_to(fake.REPOSITORY).as_posix() for path in notebook.imports(source, fake.REPOSITORY)}
    assert {"runner/models/gpt/network.py", "runner/models/mlp/spec.py", "runner/models/layers.py"} <= names
