import contextlib

import torch

from runner.plan.spec import EvalSpec
from runner.training.probes import registry, rounding, strides


def test_int8_is_off_by_half_a_step_of_its_row_at_most():
    w = torch.randn(8, 33, generator=torch.Generator().manual_seed(0)) * torch.logspace(-3, 3, 8)[:, None]
    step = w.abs().amax(1, keepdim=True) / 127
    assert ((rounding.int8(w) - w).abs() <= step * 0.501).all()
    assert rounding.int8(torch.zeros(2, 3)).equal(torch.zeros(2, 3))


def test_a_codebook_has_so_many_values_and_finds_clusters():
    w = torch.randn(40, 30, generator=torch.Generator().manual_seed(0))
    errors = []
    for size in (4, 16, 256):
        found = rounding.codebook(w, size)
        assert found.shape == w.shape
        assert len(found.unique()) <= size
        errors.append((found - w).square().mean().item())
    assert errors[0] > errors[1] > errors[2]
    assert errors[0] < 0.13  # Max 1960: 0.1175 of the variance of a normal distribution, with 4 levels
    clusters = torch.tensor([[1.0, 1.0, 5.0], [5.0, -3.0, -3.0]])
    assert rounding.codebook(clusters, 3).equal(clusters)


def test_weights_come_back_even_after_an_error():
    model = torch.nn.Linear(5, 3)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    with contextlib.suppress(KeyError), rounding.rounded(model, rounding.PROBES[0]):
        assert not model.weight.equal(before["weight"])
        assert model.bias.equal(before["bias"])
        raise KeyError
    assert all(p.equal(before[name]) for name, p in model.named_parameters())


def test_all_probes_are_those_that_observe():
    anew = {probe.name for probe in (*rounding.PROBES, *strides.PROBES)}
    assert not anew & {probe.name for probe in registry.named(EvalSpec(probes=("all",)))}
    assert anew < {probe.name for probe in registry.named(EvalSpec(probes=("all", *anew)))}
