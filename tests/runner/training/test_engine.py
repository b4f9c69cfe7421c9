"""One engine: a pinned step, exact resume, and the same numbers compiled or not."""

import math
import os
import platform
import shutil

import pytest
import torch
import torch._inductor
from torch.utils._python_dispatch import TorchDispatchMode

from runner.models.dropout import site_keys
from runner.models.gpt.spec import GPTSpec
from runner.models.kernels import kernels
from runner.plan.spec import TrainSpec
from runner.training.engine import COMPILED, Engine, can_compile, keep_memory, use_deterministic_algorithms

CPU = torch.device("cpu")
MODEL = GPTSpec(n_layer=2, n_head=2, d_model=16, block_size=12, mlp_ratio=4.0, dropout=0.2)
TRAIN = TrainSpec(steps=20, batch_size=4, warmup_steps=2)


def engine(precision: str = "float32", seed: int = 0, compile: bool = False) -> Engine:
    return Engine(MODEL, TRAIN, 11, seed, CPU, precision, compile)


def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
    x_BT = torch.randint(11, (4, 12), generator=torch.Generator().manual_seed(step))
    return x_BT, (3 * x_BT + 1) % 11


def test_a_tiny_step_is_pinned():
    one = engine()
    loss, norm = one.step(*batch(0), 0)
    assert (float(loss), float(norm)) == pytest.approx((2.4156840, 1.1259666), rel=1e-5)
    loss, norm = one.step(*batch(1), 1)
    assert (float(loss), float(norm)) == pytest.approx((2.3971033, 1.1360171), rel=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("at", [0, 1, 5])
def test_state_goes_on_exactly(precision, at):
    whole, parted = engine(precision), engine(precision)
    for step in range(8):
        if step == at:
            state = {name: tensor.clone() for name, tensor in parted.state().items()}
            parted = engine(precision, seed=0)
            with torch.no_grad():
                for parameter in parted.model.parameters():
                    parameter.zero_()
            parted.load(state)
        for a, b in zip(whole.step(*batch(step), step), parted.step(*batch(step), step), strict=True):
            assert torch.equal(a, b)
    ours, theirs = whole.state(), parted.state()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_cuda_is_told_to_be_deterministic_before_it_starts(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    try:
        use_deterministic_algorithms()
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        torch.use_deterministic_algorithms(False)


def test_seeds_differ_in_weights_and_masks():
    zero, one = engine(seed=0), engine(seed=1)
    one.load(zero.state())
    assert float(zero.step(*batch(0), 0)[0]) != float(one.step(*batch(0), 0)[0])


def test_loss_and_norm_are_single_numbers_without_a_graph():
    loss, norm = engine().step(*batch(0), 0)
    assert loss.shape == norm.shape == ()
    assert not loss.requires_grad
    assert not norm.requires_grad


def test_evaluation_sums_what_is_weighted():
    one, (x_BT, y_BT) = engine(), batch(0)
    ones = torch.ones(x_BT.shape)
    first = (torch.arange(12) < 5).expand(4, 12).float()
    whole = one.evaluate(x_BT, y_BT, ones)
    assert whole.dtype == torch.float64
    assert float(one.evaluate(x_BT, y_BT, first) + one.evaluate(x_BT, y_BT, ones - first)) == pytest.approx(
        float(whole)
    )
    assert float(one.evaluate(x_BT, y_BT, 0 * ones)) == 0
    assert float(whole) / 48 == pytest.approx(2.4, abs=0.1)  # ln 11


def test_a_step_never_waits_for_its_numbers():
    class Asked(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            asked.append(str(function))
            return function(*args, **(kwargs or {}))

    one, asked = engine("bf16"), []
    with Asked():
        for step in range(2):
            loss, norm = one.step(*batch(step), step)
        assert not [name for name in asked if "_local_scalar_dense" in name]
        assert math.isfinite(float(loss + norm))
    assert "aten._local_scalar_dense.default" in asked  # so it would have been seen


def test_what_inductor_is_told_is_known_to_it():
    assert set(COMPILED) <= set(torch._inductor.list_options())


def test_without_a_compiler_it_runs_as_it_stands(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert not can_compile(CPU)
    assert torch.equal(engine(compile=True).step(*batch(0), 0)[0], engine().step(*batch(0), 0)[0])


def test_memory_is_kept_where_glibc_is():
    assert keep_memory() == (platform.libc_ver()[0] == "glibc")


@pytest.mark.skipif(not can_compile(CPU), reason="no C++ compiler")
def test_compiled_masks_are_those_of_eager_code():
    score_GQS = torch.randn(6, 20, 20, generator=torch.Generator().manual_seed(0))
    key = site_keys(1, 2, 1)[0]
    plain, compiled = (kernels(on).weights_forward(score_GQS, key, 0, 77, 0.25, 0.2) for on in (False, True))
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(plain, compiled, strict=True))
    assert torch.equal(plain[0] < 0, compiled[0] < 0)
    assert 0.1 < float((plain[0] < 0).sum() / (plain[0] != 0).sum()) < 0.3
