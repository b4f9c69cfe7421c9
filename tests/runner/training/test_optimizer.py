"""The learning rate at its corners, and AdamW with clipping, decay and a state that can be saved."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from runner.plan.spec import TrainSpec
from runner.training.optimizer import Optimizer, learning_rate

SPEC = TrainSpec(steps=1000, warmup_steps=100, learning_rate=1e-3, min_learning_rate=1e-4)


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.matrix = nn.Parameter(torch.randn(3, 4, generator=generator))
        self.vector = nn.Parameter(torch.randn(4, generator=generator))

    def fill(self, scale: float, step: int = 0) -> None:
        generator = torch.Generator().manual_seed(step)
        for parameter in self.parameters():
            parameter.grad = scale * torch.randn(parameter.shape, generator=generator)


def test_learning_rate_at_its_corners():
    assert learning_rate(SPEC, 0) == pytest.approx(1e-3 / 101)
    assert learning_rate(SPEC, 99) == pytest.approx(1e-3 * 100 / 101)
    assert learning_rate(SPEC, 100) == pytest.approx(1e-3)
    assert learning_rate(SPEC, 550) == pytest.approx((1e-3 + 1e-4) / 2)
    assert learning_rate(SPEC, 1000) == 1e-4
    assert learning_rate(SPEC, 5000) == 1e-4


def test_learning_rate_rises_then_falls():
    rates = [learning_rate(SPEC, step) for step in range(1001)]
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)


def test_a_warm_up_can_begin_above_nothing_and_a_level_can_drop():
    rates = [learning_rate(replace(SPEC, warmup_from=1e-5), step) for step in range(1000)]
    assert rates[0] == 1e-5
    assert rates[50] == pytest.approx((1e-5 + 1e-3) / 2)
    assert rates[100:] == [learning_rate(SPEC, step) for step in range(100, 1000)]
    dropped = [learning_rate(replace(SPEC, drop_at=700), step) for step in (100, 699, 700, 999)]
    assert dropped == [1e-3, 1e-3, 1e-4, 1e-4]


def test_sgd_goes_down_the_gradient_and_keeps_nothing():
    model, spec = Tiny(), replace(SPEC, optimizer="sgd", weight_decay=0.5, grad_clip=0.0)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.fill(1.0)
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    optimizer = Optimizer(model, spec)
    optimizer.step(100)
    assert torch.allclose(model.vector, before["vector"] - 1e-3 * grads["vector"])
    assert torch.allclose(model.matrix, before["matrix"] - 1e-3 * (grads["matrix"] + 0.5 * before["matrix"]))
    assert optimizer.state() == {}


@pytest.mark.parametrize("warmup", [0, 10, 20])
def test_learning_rate_with_no_room(warmup):
    spec = TrainSpec(steps=10, warmup_steps=warmup)
    assert all(0 < learning_rate(spec, step) <= spec.learning_rate for step in range(12))


def test_only_matrices_decay():
    model = Tiny()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model.fill(0.0)
    Optimizer(model, SPEC).step(100)
    assert torch.equal(model.vector, before["vector"])
    assert torch.allclose(model.matrix, before["matrix"] * (1 - 1e-3 * SPEC.weight_decay), rtol=1e-6)


def test_clips_by_the_global_norm_and_reports_it_unclipped():
    small, large = Tiny(), Tiny()
    small.fill(1.0)
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in small.parameters()))
    small.fill(1.0 / norm)
    large.fill(1000.0)
    Optimizer(small, SPEC).step(0)
    assert float(Optimizer(large, SPEC).step(0)) == pytest.approx(1000 * norm, rel=1e-5)
    assert torch.allclose(small.matrix, large.matrix, atol=1e-6)


def test_gradients_are_dropped_after_a_step():
    model = Tiny()
    model.fill(1.0)
    Optimizer(model, SPEC).step(0)
    assert all(p.grad is None for p in model.parameters())


class Layered(Tiny):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Tiny()])


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_max_norm_holds_for_the_rows_of_layers_after_a_step(optimizer):
    free, bound = Layered(), Layered()
    spec = replace(SPEC, optimizer=optimizer, weight_decay=0.0)
    for model, longest in ((free, None), (bound, 1.5)):
        model.fill(1.0)
        Optimizer(model, replace(spec, max_norm=longest)).step(100)
    norms_3 = free.layers[0].matrix.norm(dim=1)
    assert norms_3.min() < 1.5 < norms_3.max(), "or it tests nothing"
    assert torch.allclose(bound.layers[0].matrix.norm(dim=1), norms_3.clamp(max=1.5), rtol=1e-5)
    shorter = norms_3 < 1.5
    assert torch.equal(bound.layers[0].matrix[shorter], free.layers[0].matrix[shorter])
    assert torch.equal(bound.matrix, free.matrix), "an embedding's rows come into no unit"
    assert torch.equal(bound.layers[0].vector, free.layers[0].vector)


def test_state_goes_on_exactly():
    whole, parted = Tiny(), Tiny()
    first, second = Optimizer(whole, SPEC), Optimizer(parted, SPEC)
    assert first.state() == {}
    for step in range(6):
        if step == 3:
            state = {name: tensor.clone() for name, tensor in second.state().items()}
            assert sorted(state) == sorted(
                f"{part}.{name}" for part in ("exp_avg", "exp_avg_sq", "step") for name in ("matrix", "vector")
            )
            second = Optimizer(parted, SPEC)
            second.load(state)
        for model, optimizer in ((whole, first), (parted, second)):
            model.fill(1.0, step)
            optimizer.step(step)
    assert torch.equal(whole.matrix, parted.matrix)
    assert torch.equal(whole.vector, parted.vector)
    assert all(torch.equal(tensor, second.state()[name]) for name, tensor in first.state().items())


def test_a_clip_of_zero_is_no_clipping():
    moved = {}
    for clip in (0.0, 1e9):
        model = nn.Linear(3, 2, bias=False)
        nn.init.constant_(model.weight, 1.0)
        optimizer = Optimizer(model, TrainSpec(grad_clip=clip, weight_decay=0.0, warmup_steps=0))
        model(torch.ones(1, 3)).sum().mul(100).backward()
        assert float(optimizer.step(0)) > 100, "the norm is told before clipping"
        moved[clip] = model.weight.detach().clone()
    assert torch.equal(moved[0.0], moved[1e9])
    assert (moved[0.0] < 1).all()
