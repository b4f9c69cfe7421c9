import sys

import pytest

from analysis import cli
from analysis.build import execute, project


@pytest.fixture
def run(house, monkeypatch, capsys):
    """Run the command in the house; returns exit status, output and errors."""
    monkeypatch.setattr(project, "current", lambda: house)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["analysis", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return run


def test_execute_says_that_nothing_changed(run):
    assert run("execute") == (0, "notebook mlp-ratio: unchanged\n", "")


def test_weave_says_what_it_wrote(run):
    status, out, _ = run("weave")
    assert status == 0
    assert out.startswith("weave: ")
    assert run("weave")[1] == "weave: unchanged\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["execute", "nope"], "unknown notebook 'nope'; known: mlp-ratio\n"),
        (
            ["execute", "--profile", "huge"],
            "no logs of profile 'huge' of mlp-ratio under logs; there are: laptop; `runner sweep` makes them in runs, "
            "and `runner publish` takes them into logs\n",
        ),
        (["build", "--logs", "nowhere"], "no logs of mlp-ratio under "),
    ],
)
def test_a_user_error_is_one_line_and_status_2(run, words, said):
    status, _, err = run(*words)
    assert status == 2
    assert err.startswith(said)
    assert err.count("\n") == 1


def test_a_failed_notebook_is_status_1(run, monkeypatch):
    def fail(*_):
        raise execute.NotebookFailed("notebook.py:3: code cell 2 failed: ValueError: no")

    monkeypatch.setattr(execute, "_run", fail)
    status, _, err = run("execute", "--force")
    assert (status, err) == (1, "notebook.py:3: code cell 2 failed: ValueError: no\n")


def test_compare_tells_agreement(run):
    status, out, _ = run("compare")
    assert status == 0
    first, rest = out.split("\n", 1)
    assert first.startswith(
        "is-4-the-magic-number: 15 of 15 runs have the published bytes; of 5 numbers and verdicts 5 are identical,"
    )
    assert first.endswith("no verdict flips")
    assert rest.replace("\n", " ").startswith("mlp-ratio, laptop profile, against the published results: 5 identical")
