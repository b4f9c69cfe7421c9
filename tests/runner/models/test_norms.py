"""BatchNorm and where its statistics come from."""

import pytest
import torch

from runner.models.norms import BatchNorm


def norm(how: str, freeze_at: int = 2) -> BatchNorm:
    made = BatchNorm(3, how, freeze_at)
    torch.nn.init.ones_(made.gain)
    torch.nn.init.zeros_(made.shift)
    return made


def batches(count: int) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    return [2 * torch.randn(8, 3, generator=random) + i for i in range(count)]


def test_training_normalises_by_the_batch_as_pytorch_does():
    ours, theirs = norm("batch"), torch.nn.BatchNorm1d(3)
    for x_NH in batches(3):
        assert torch.allclose(ours(x_NH, training=True), theirs(x_NH), atol=1e-6)
    assert torch.allclose(ours.mean, theirs.running_mean, atol=1e-6)


def test_a_precise_norm_has_the_statistics_of_all_it_is_calibrated_with():
    ours, seen = norm("precise"), batches(5)
    ours.sums = []
    for x_NH in seen:
        ours(x_NH, training=False)
    ours.calibrated()
    whole = torch.cat(seen)
    assert torch.allclose(ours.mean, whole.mean(0), atol=1e-5)
    assert torch.allclose(ours.variance, whole.var(0, unbiased=False), rtol=1e-5)
    y_NH = ours(whole, training=False)
    assert y_NH.mean(0).abs().max() < 1e-5
    assert torch.allclose(y_NH.std(0, unbiased=False), torch.ones(3), atol=1e-4)


def test_a_frozen_norm_trains_with_the_population_from_its_step_on():
    ours, seen = norm("frozen", freeze_at=2), batches(4)
    ours.sums = []
    ours(seen[0], training=False)
    ours.calibrated()
    for x_NH in seen[:2]:
        assert ours(x_NH, training=True).mean(0).abs().max() < 1e-5
    frozen = ours(seen[3], training=True)
    torch.testing.assert_close(frozen, ours(seen[3], training=False))
    assert frozen.mean(0).min() > 0.5, "its batch has another mean"
    before = ours.mean.clone()
    ours.sums = []
    ours(seen[3], training=False)
    ours.calibrated()
    assert torch.equal(ours.mean, before), "once frozen, it stays"


@pytest.mark.parametrize("how", ["batch", "precise"])
def test_at_evaluation_an_element_depends_on_no_other(how):
    ours, x_NH = norm(how), batches(1)[0]
    ours(x_NH, training=True)
    assert torch.equal(ours(x_NH, training=False)[:1], ours(x_NH[:1], training=False))
