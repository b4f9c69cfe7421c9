import contextlib
import os
import subprocess
import time
from pathlib import Path

import pytest

from runner.errors import UserError
from runner.plan.placement import Placement
from runner.training import machine


def test_a_device_that_is_not_there_is_named():
    with pytest.raises(UserError, match=r"device 'tpu' is not available: this machine has .*cpu"):
        machine.resolve({"device": "tpu"})


def test_threads_are_shared_by_the_jobs(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    assert machine.resolve({"device": "cpu", "jobs": 4}).threads == 2
    assert machine.resolve({"device": "cpu", "jobs": 16}).threads == 1
    assert machine.resolve({"device": "cpu", "jobs": 4, "threads": 1}).threads == 1


def test_no_setting_of_a_placement_is_lost():
    wishes = {"device": "cpu", "precision": "bf16", "compile": False, "threads": 3, "jobs": 2, "log_every": 7}
    wishes |= {"checkpoint_seconds": 4.0, "weights": False, "embedding": True, "samples": True, "from_token_0": 9}
    wishes |= {"sample_tokens": 8, "cold": True}
    assert wishes.keys() == vars(Placement()).keys()
    assert vars(machine.resolve(wishes)) == wishes


def test_the_environment_names_the_machine():
    found = machine.environment(Placement())
    assert found["device"] == "cpu"
    assert "cores" in found["machine"]
    assert found["torch"].startswith("2.")


def test_the_environment_names_variables_that_change_numbers(monkeypatch):
    for name in machine.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    plain = machine.environment(Placement())
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    monkeypatch.setenv("MKL_CBWR", "")
    assert machine.environment(Placement()) == plain | {"variables": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}


def test_the_environment_says_what_is_compiled_here(monkeypatch):
    monkeypatch.setattr(machine, "_can_compile", lambda device: False)
    assert machine.environment(Placement(compile=True))["compile"] is False


@pytest.mark.parametrize(
    ("name", "value", "threads", "message"),
    [
        ("OMP_DYNAMIC", "TRUE", 2, "OMP_DYNAMIC lets OpenMP choose how many threads work"),
        ("OMP_THREAD_LIMIT", "1", 2, "OMP_THREAD_LIMIT=1 is below the 2 threads of a run"),
        ("OMP_DYNAMIC", "true", 1, None),
        ("OMP_DYNAMIC", "false", 2, None),
        ("OMP_THREAD_LIMIT", "2", 2, None),
    ],
)
def test_fewer_threads_than_a_run_asks_for_are_refused(monkeypatch, name, value, threads, message):
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message) if message else contextlib.nullcontext():
        machine.resolve({"device": "cpu", "threads": threads})


def test_kernels_of_another_compiler_or_processor_are_kept_elsewhere(monkeypatch, tmp_path: Path):
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # so that what it was comes back
    compiler = tmp_path / "c++"

    def kept(version: str, flags: str) -> str:
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
        compiler.write_text(f"#!/bin/sh\necho c++ {version}\n")
        compiler.chmod(0o755)
        monkeypatch.setenv("CXX", str(compiler))
        monkeypatch.setattr(machine, "_cpu_info", lambda: f"model name : X\nflags : {flags}\ncpu MHz : {time.time()}\n")
        machine.keep_kernels()
        return os.environ["TORCHINDUCTOR_CACHE_DIR"]

    first = kept("12", "fpu avx2")
    assert Path(first).parent == tmp_path / "inductor"
    assert kept("12", "fpu avx2") == first
    assert len({first, kept("13", "fpu avx2"), kept("12", "fpu avx512f")}) == 3
    monkeypatch.setenv("CXX", str(tmp_path / "none"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    machine.keep_kernels()
    assert Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]).parent == tmp_path / "inductor", "no compiler is no error"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/elsewhere")
    machine.keep_kernels()
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/elsewhere", "where it is set, it stays"


def test_the_commit_says_when_the_runner_was_changed(tmp_path: Path):
    assert machine.commit(tmp_path) == "unknown"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / "runner").mkdir()
    (tmp_path / "runner" / "a.py").write_text("1")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    clean = machine.commit(tmp_path)
    assert len(clean) == 12
    (tmp_path / "runner" / "a.py").write_text("2")
    assert machine.commit(tmp_path) == f"{clean}-dirty"


@pytest.mark.parametrize(
    ("info", "units"),
    [
        ("model name\t: X\nflags\t\t: fpu avx512f avx512_bf16 amx_bf16 amx_tile\n", "AMX"),
        ("model name\t: AMD EPYC\nflags\t\t: fpu avx512f avx512_bf16 clzero\n", "AVX512-BF16"),
        ("Features\t: fp asimd bf16 i8mm\n", "Arm BF16"),
        ("flags\t\t: fpu avx512f avx2\nbugs\t\t: bf16\n", None),
        ("", None),
    ],
)
def test_precision_is_chosen_by_what_the_processor_multiplies(monkeypatch, info, units):
    monkeypatch.setattr(machine, "_cpu_info", lambda: info)
    assert machine.bf16_units() == units
    assert machine.resolve({"device": "cpu"}).precision == ("bf16" if units else "float32")
    assert machine.resolve({"device": "cpu", "precision": "bf16"}).precision == "bf16"
    said = machine.environment(machine.resolve({"device": "cpu"}))["machine"]
    assert (f"with {units}" in said) == ("with" in said) == bool(units)
