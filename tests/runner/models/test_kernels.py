"""The cache of compiled kernels."""

import pytest
import torch
import torch._inductor
from torch._inductor.exc import InductorError

from runner.models.kernels import Compiled


def test_half_a_library_is_removed_and_compiled_again(tmp_path, monkeypatch):
    library, calls = tmp_path / "kernel.main.so", []
    library.write_bytes(b"")

    def compile_(graph, inputs):
        calls.append(library.exists())
        if library.exists():
            raise InductorError(ImportError("file too short", path=str(library)), None)
        return graph

    monkeypatch.setattr(torch._inductor, "compile", compile_)
    assert Compiled(lambda x: x + 1)(torch.ones(2)).tolist() == [2.0, 2.0]
    assert calls == [True, False]


def test_another_error_of_the_compiler_is_raised_as_it_is(monkeypatch):
    def compile_(graph, inputs):
        raise InductorError(RuntimeError("no compiler"), None)

    monkeypatch.setattr(torch._inductor, "compile", compile_)
    with pytest.raises(InductorError, match="no compiler"):
        Compiled(lambda x: x + 1)(torch.ones(2))
