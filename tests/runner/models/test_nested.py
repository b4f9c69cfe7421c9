from dataclasses import replace

import pytest
import torch

from runner.errors import UserError
from runner.models.cost import describe
from runner.models.dropout import site_keys
from runner.models.gpt.network import GPT
from runner.models.nested.network import Nested
from runner.models.nested.spec import NestedSpec
from runner.models.taps import listening
from runner.plan.spec import from_dict
from runner.training.probes.probe import Removing

SPEC = NestedSpec(n_layer=2, n_head=2, d_model=16, block_size=8, mlp_ratio=2, halvings=2, dropout=0.1)
X = torch.randint(11, (3, 8), generator=torch.Generator().manual_seed(0))


def made(spec: NestedSpec) -> Nested:
    model = Nested(spec, 11, torch.float64).double()
    model.init_weights(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def narrow(model: Nested, halvings: int) -> GPT:
    """A GPT of its own with the first hidden units."""
    gpt = GPT(model.spec.narrowed(halvings), 11, torch.float64).double()
    state = model.state_dict()
    for layer, width in enumerate(gpt.spec.d_ffs):
        up, down = (f"blocks.{layer}.mlp.{name}" for name in ("up", "down"))
        parts = state[up].chunk(2) if gpt.spec.gated else [state[up]]
        state[up], state[down] = torch.cat([part[:width] for part in parts]), state[down][:, :width]
    gpt.load_state_dict(state)
    return gpt


@pytest.mark.parametrize("more", [{}, {"activation": "swiglu", "post_norm": True}], ids=["gelu", "swiglu"])
def test_the_loss_is_the_mean_of_those_of_the_narrower_models(more):
    model = made(replace(SPEC, **more))
    keys = site_keys(0, 0, model.sites)
    each = [narrow(model, halvings).loss(X, X, keys) for halvings in range(3)]
    assert model.loss(X, X, keys).item() == pytest.approx(torch.stack(each).mean().item(), rel=1e-12)
    assert torch.equal(model(X), made(replace(SPEC, **more))(X)), "and it is left with all of its units"


def test_without_its_last_units_it_is_a_narrower_model():
    model = made(SPEC)
    with listening(Removing([torch.arange(8, 32)] * 2), {"mlp.hidden"}), torch.no_grad():
        found = model(X)
    assert found.allclose(narrow(model, 2)(X), atol=1e-12)


def test_training_costs_the_sum_of_its_widths():
    whole, half, quarter = (describe(SPEC.narrowed(halvings), 11, 8) for halvings in range(3))
    found = describe(SPEC, 11, 8)
    assert found.total() == whole.total()
    assert found.work() == whole.work() + half.work() + quarter.work()
    assert found.activation > whole.activation


def test_a_width_that_cannot_be_halved_is_named():
    table = {"model": {"kind": "nested", "d_model": 36, "n_head": 2, "mlp_ratio": 1, "halvings": 3}}
    with pytest.raises(
        UserError, match=r"halvings = 3: 36 hidden units cannot be halved so often: [^.]* multiple of 8"
    ):
        from_dict(table, "here")
    with pytest.raises(UserError, match="halvings = -1 must be from 0 to 16"):
        from_dict({"model": {"kind": "nested", "halvings": -1}}, "here")
