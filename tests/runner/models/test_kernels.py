"""The cache of compiled kernels."""

import time

import pytest
import torch
import torch._inductor
from torch._dynamo.utils import counters
from torch._inductor.exc import InductorError

from runner.models.kernels import Compiled, forgotten, kernels


def scaled(x: torch.Tensor, by: float) -> torch.Tensor:
    return (x * by).exp().sum(1)


def test_what_was_compiled_is_kept_for_other_processes():
    x, now = torch.linspace(0, 1, 64).view(8, 8), time.time()  # a kernel that nobody has compiled
    counters.clear()
    first = Compiled(scaled)(x, now % 1)
    assert counters["inductor"]["fxgraph_cache_miss"] == 1
    counters.clear()
    assert torch.equal(Compiled(scaled)(x, now % 1), first)
    assert counters["inductor"] == {"fxgraph_cache_hit": 1}


def backward(rows: int, width: int) -> tuple[torch.Tensor, ...]:
    """The gradients through a residual stream and its norm, of some numbers."""
    draw = torch.Generator().manual_seed(rows)
    dx_ND, dn_ND, n_ND = (torch.randn(rows, width, generator=draw) for _ in range(3))
    rstd_N1, key = torch.rand(rows, 1, generator=draw), torch.tensor(5, dtype=torch.int32)
    args = dx_ND, dn_ND.bfloat16(), n_ND.bfloat16(), rstd_N1, key, 0.0, torch.bfloat16
    return kernels(True).add_norm_backward(*args)


def test_a_kernel_rounds_alike_whatever_was_compiled_before_it():
    with forgotten():
        alone = backward(256, 192)
    with forgotten():
        counters.clear()
        backward(2048, 24)
        after = backward(256, 192)
        assert counters["inductor"]["fxgraph_cache_miss"] == 2, "each shape has a kernel of its own"
    assert all(torch.equal(one, other) for one, other in zip(alone, after, strict=True))


def test_a_kernel_of_one_number_of_threads_serves_no_other():
    x, now, before = torch.linspace(0, 1, 64).view(8, 8), time.time(), torch.get_num_threads()
    compiled = Compiled(scaled)
    try:
        for threads in (1, 2, 1):
            torch.set_num_threads(threads)
            compiled(x, now % 1)
    finally:
        torch.set_num_threads(before)
    assert len(compiled.graphs) == 2


def test_nothing_is_known_of_what_was_compiled_before_where_that_is_asked():
    run, qkv_BTE = kernels(True), torch.linspace(0, 1, 96).view(1, 8, 12)
    run.heads(qkv_BTE, None, None, 2, 2)
    counters.clear()
    with forgotten():
        assert kernels(True) is not run
        kernels(True).heads(qkv_BTE, None, None, 2, 2)
        kernels(True).heads(qkv_BTE, None, None, 2, 2)  # within the block, once is enough
        assert (counters["inductor"]["fxgraph_cache_miss"], counters["inductor"]["fxgraph_cache_hit"]) == (1, 0)
    kernels(True).heads(qkv_BTE, None, None, 2, 2)  # and what was compiled before the block is still there
    assert (counters["inductor"]["fxgraph_cache_miss"], counters["inductor"]["fxgraph_cache_hit"]) == (1, 1)


@pytest.mark.parametrize("kept", [True, False])
def test_half_a_library_is_removed_and_compiled_again(tmp_path, monkeypatch, kept):
    """Whether it belongs to a kernel that was taken from the cache or to one that was compiled."""
    library, calls = tmp_path / "kernel.main.so", []
    library.write_bytes(b"")

    def compile_(graph, inputs, options):
        calls.append(library.exists())
        if library.exists():
            error = ImportError("file too short", path=str(library))
            raise error if kept else InductorError(error, None)
        return graph

    monkeypatch.setattr(torch._inductor, "compile", compile_)
    assert Compiled(lambda x: x + 1)(torch.ones(2)).tolist() == [2.0, 2.0]
    assert calls == [True, False]


def test_another_error_of_the_compiler_is_raised_as_it_is(monkeypatch):
    def compile_(graph, inputs, options):
        raise InductorError(RuntimeError("no compiler"), None)

    monkeypatch.setattr(torch._inductor, "compile", compile_)
    with pytest.raises(InductorError, match="no compiler"):
        Compiled(lambda x: x + 1)(torch.ones(2))
