"""Kernels that are forked from a warm process."""

import os
import subprocess
import sys
import threading
import time

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

from analysis.build import kernel

FACTS = """
import matplotlib, os, sys
import analysis
print(__name__, matplotlib.get_backend().lower(), os.getcwd(), hash("r = 4"), os.getpgrp() == os.getpid())
"""


def executed(source: str, folder) -> list[str]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    where = {"metadata": {"path": str(folder)}}
    options = {"extra_arguments": ["--IPKernelApp.log_level=50"], "resources": where}
    NotebookClient(notebook, kernel_name="python3", kernel_manager_class=kernel.Manager, **options).execute()
    return notebook.cells[0].outputs[0].text.split()


def test_a_kernel_works_in_its_folder_draws_without_a_display_and_hashes_alike(tmp_path):
    first, second = executed(FACTS, tmp_path), executed(FACTS, tmp_path)
    assert first == second, "hashes are not random"
    assert first[:3] == ["__main__", "agg", str(tmp_path)]
    assert first[4] == "True", "Ctrl-C on the terminal does not reach it"


def test_libraries_are_there_before_a_kernel_asks(tmp_path):
    (loaded,) = executed(f"import sys; print(set({kernel.LIBRARIES}) <= set(sys.modules))", tmp_path)
    assert loaded == "True"


def test_kernels_share_no_state(tmp_path):
    executed("import sys, runner; sys.modules['house'] = sys; print(1)", tmp_path)
    (found,) = executed("import sys; print({'house', 'runner'} & set(sys.modules) or 'neither')", tmp_path)
    assert found == "neither"


def test_the_environment_of_this_process_stays_as_it_is(monkeypatch):
    """Other threads copy it at the same time, and start processes with it."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    before, names = dict(os.environ), ["PYTHONHASHSEED", "OMP_NUM_THREADS"]

    def inherited() -> list[str]:
        code = f"import os; print(*(os.environ.get(name) for name in {names}))"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    with kernel._environment(kernel.FIXED):
        assert dict(os.environ) == before
        assert inherited() == ["0", "1"]
    assert dict(os.environ) == before
    assert inherited() == ["None", "7"]


def test_killing_them_ends_who_waits(tmp_path):
    errors = []

    def wait():
        try:
            executed("import pathlib, time; pathlib.Path('begun').touch(); time.sleep(600)", tmp_path)
        except DeadKernelError as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < until:
        time.sleep(0.05)
    kernel.kill()
    thread.join(60)
    assert len(errors) == 1


def test_a_dead_kernel_has_a_status(tmp_path):
    with pytest.raises(DeadKernelError):
        executed("import os; os._exit(3)", tmp_path)
