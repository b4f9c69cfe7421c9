import pytest
import torch

from runner.errors import UserError
from runner.models.dropout import positions, site_keys, uniform
from runner.models.gpt.network import GPT
from runner.models.priced.network import PACE, Priced
from runner.models.priced.spec import PricedSpec
from runner.models.taps import listening
from runner.plan.spec import from_dict

SHAPE = {"n_layer": 2, "n_head": 2, "d_model": 16, "block_size": 8, "mlp_ratio": 2.0, "dropout": 0.0}
X = torch.randint(11, (3, 8), generator=torch.Generator().manual_seed(0))


def made(price: float) -> Priced:
    model = Priced(PricedSpec(**SHAPE, price=price), 11, torch.float64).double()
    model.init_weights(0)
    return model


def test_the_noise_is_uniform():
    u_N = uniform(positions((200_000,), torch.device("cpu")), torch.tensor(7, dtype=torch.int32))
    assert 0 < u_N.min() < 1e-4
    assert 1 - 1e-4 < u_N.max() < 1
    counts = torch.histc(u_N, 20, 0, 1) / 10_000
    assert counts.sub(1).abs().max() < 0.05


def test_open_gates_leave_a_gpt_and_closed_ones_remove_units():
    model = made(0.0)
    gpt = GPT(model.spec, 11, torch.float64).double()
    gpt.load_state_dict({name: t for name, t in model.state_dict().items() if not name.endswith("gate")})
    with torch.no_grad():
        for mlp in model.mlps:
            mlp.gate.fill_(10 / PACE)
        assert model(X).allclose(gpt(X), atol=1e-12)
        for mlp, other in zip(model.mlps, gpt.blocks, strict=True):
            mlp.gate[:5] = -10 / PACE
            other.mlp.down[:, :5] = 0
        assert model(X).allclose(gpt(X), atol=1e-12)
    shown = []
    with listening(lambda tap, layer, *what: shown.append((layer, what[0])) if tap == "mlp.gate" else None):
        model(X)
    assert [(layer, int((gate_F > 0).sum())) for layer, gate_F in shown] == [(0, 27), (1, 27)]


def test_gates_are_noisy_in_training_and_the_noise_belongs_to_the_step():
    model = made(0.0)
    losses = [model.loss(X, X, site_keys(0, step, model.sites)).item() for step in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert torch.equal(model(X), model(X))


def test_a_price_is_paid_for_each_open_unit():
    free, dear = made(0.0), made(2.0)
    keys = site_keys(0, 0, free.sites)
    paid = dear.loss(X, X, keys) - free.loss(X, X, keys)
    opened = sum(float(mlp.open().detach()) for mlp in dear.mlps)
    assert paid.item() == pytest.approx(2.0 * opened / (2 * 16))
    assert 0.95 * 64 < opened < 64
    paid.backward()
    assert all((mlp.gate.grad > 0).all() for mlp in dear.mlps), "a step down closes them"


def test_a_price_below_zero_is_named():
    with pytest.raises(UserError, match=r"price = -0.1 must be a finite number of at least 0"):
        from_dict({"model": {"kind": "priced", "price": -0.1}}, "here")
