"""Notebooks are questions: what they share stands in analysis/study, and each is short."""

import pytest

from analysis.build import notebook
from analysis.build.project import Project
from tests.analysis import fake

NOTEBOOKS = sorted(Project(fake.REPOSITORY).notebooks.glob("*.py"))
LINES, CELL = 370, 60


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_and_its_cells_are_short(path):
    source = path.read_text()
    assert source.count("\n") <= LINES, "move what is shared to analysis/study, or ask the second question elsewhere"
    long = [cell.line for cell in notebook.cells(source) if cell.text.count("\n") >= CELL]
    assert not long, f"cells of more than {CELL} lines at {long}"
