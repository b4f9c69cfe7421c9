import pytest
import torch

from runner.training.probes import activations

RANDOM = torch.Generator().manual_seed(0)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=RANDOM)


def test_the_norm_is_that_of_a_token_in_the_mean():
    x_BTD = torch.zeros(2, 3, 4)
    x_BTD[0, 0] = torch.tensor([3.0, 4.0, 0.0, 0.0])
    assert activations.mean_norm(x_BTD).item() == pytest.approx(5 / 6)


def test_a_unit_is_dead_where_no_token_moves_it():
    h_NF = noise(50, 8)
    assert activations.dead_share(h_NF).item() == 0
    h_NF[:, 2], h_NF[:, 5] = 0, 1e-4
    assert activations.dead_share(h_NF).item() == 0.25
    h_NF[17, 5] = 0.5
    assert activations.dead_share(h_NF).item() == 0.125, "one token that moves it is enough"
    assert activations.dead_share(1e-6 * h_NF).item() == 0.125, "whatever the scale"
    assert activations.dead_share(torch.zeros(50, 8)).item() == 1


def test_active_units_are_counted_without_a_threshold():
    h_NF = torch.tensor([[1.0, -1.0, 1.0, 1.0], [0.0, 5.0, 0.0, 0.0], [2.0, 2.0, 0.0, 0.0], [0.0] * 4])
    assert activations.active_units(h_NF[:1]).item() == 4
    assert activations.active_units(h_NF).item() == pytest.approx((4 + 1 + 2 + 0) / 4)
    assert activations.active_units(h_NF.view(2, 2, 4)).item() == activations.active_units(h_NF).item()


@pytest.mark.parametrize("tokens", [4000, 40])
def test_the_participation_ratio_is_that_of_the_covariance(tokens):
    h_NF = noise(tokens, 5) @ noise(5, 60) + 7  # five directions, and a mean that does not count
    eigenvalues = torch.linalg.eigvalsh(torch.cov(h_NF.T.double()))
    expected = eigenvalues.sum() ** 2 / eigenvalues.square().sum()
    assert activations.participation_ratio(h_NF).item() == pytest.approx(expected.item(), rel=1e-3)
    assert 2 < expected < 5
    assert activations.participation_ratio(noise(4000, 20)).item() == pytest.approx(20, rel=0.02)
    assert activations.participation_ratio(torch.ones(9, 4)).item() == 0
