"""The Mini GPT of source 2 against plain PyTorch, its counts, its causality, its refusals."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from runner.errors import UserError
from runner.models.cost import describe, kept
from runner.models.minigpt.network import MiniGPT
from runner.models.minigpt.spec import MiniGPTSpec
from runner.models.taps import listening
from runner.plan.spec import as_dict, from_dict
from tests.runner.models.perturbed import perturbed

SPEC = MiniGPTSpec(n_layer=2, d_model=16, d_head=4, block_size=130)
VARIANTS = {
    "the source's": {},
    "learned": {"positions": "learned"},
    "none": {"positions": "none"},
    "untied": {"tied": False},
    "wide": {"mlp_ratio": 3.5},
}
VOCAB = 11
SIZES = {128: 1_046_656, 256: 3_404_032, 384: 7_072_128}  # 3,000 tokens


def model_of(spec: MiniGPTSpec = SPEC) -> MiniGPT:
    """A float64 model whose every parameter matters."""
    return perturbed(MiniGPT(spec, VOCAB, torch.float64).double())


def tokens(size: int = 2, length: int = 130) -> Tensor:
    return torch.randint(VOCAB, (size, length), generator=torch.Generator().manual_seed(0))


def textbook(model: MiniGPT, x_BT: Tensor) -> Tensor:
    """The same mathematics out of PyTorch's own functions, without dropout."""
    spec, (B, T), D = model.spec, x_BT.shape, model.spec.d_model

    def norm(x: Tensor, of: torch.nn.Module) -> Tensor:
        return F.layer_norm(x, (D,), of.weight, of.bias)

    def linear(x: Tensor, of: torch.nn.Module) -> Tensor:
        return F.linear(x, of.weight, of.bias)

    x = F.embedding(x_BT, model.token) * D**0.5
    if spec.positions == "learned":
        x = x + model.position[:T]
    if spec.positions == "sinusoidal":
        unit = torch.arange(D)
        angle = torch.arange(T)[:, None] / 10_000 ** ((unit - unit % 2) / D).double()
        x = x + torch.where(unit % 2 == 0, angle.sin(), angle.cos())
    for block in model.blocks:
        q, k, v = linear(norm(x, block.attention_norm), block.qkv).view(B, T, 3, -1, spec.d_head).unbind(2)
        score = torch.einsum("bqhk,bshk->bhqs", q, k) / spec.d_head**0.5
        weight = score.masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), float("-inf")).softmax(-1)
        x = x + linear(torch.einsum("bhqs,bshk->bqhk", weight, v).flatten(2), block.out)
        x = x + linear(F.gelu(linear(norm(x, block.mlp_norm), block.up)), block.down)
    return norm(x, model.norm) @ (model.token if spec.tied else model.output).T


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("training", [False, True])
def test_loss_and_gradients_are_those_of_plain_pytorch(variant, training):
    model, x_BT = model_of(replace(SPEC, **VARIANTS[variant])), tokens()
    y_BT = (3 * x_BT + 1) % VOCAB
    wanted = F.cross_entropy(textbook(model, x_BT).flatten(0, 1), y_BT.flatten())
    expected = torch.autograd.grad(wanted, list(model.parameters()))
    keys = torch.arange(model.sites, dtype=torch.int32)
    loss = (
        model.loss(x_BT, y_BT, keys)
        if training
        else model.summed_loss(x_BT, y_BT, torch.ones(2, 130).double()) / y_BT.numel()
    )
    torch.testing.assert_close(loss, wanted)
    for (name, parameter), gradient in zip(model.named_parameters(), expected, strict=True):
        found = torch.autograd.grad(loss, parameter, retain_graph=True)[0]
        torch.testing.assert_close(found, gradient, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_token_sees_what_comes_after_it(variant):
    model, x_BT = model_of(replace(SPEC, **VARIANTS[variant])), tokens(1)
    changed = x_BT.clone()
    changed[:, 70:] = (changed[:, 70:] + 1) % VOCAB
    before, after = model(x_BT), model(changed)
    torch.testing.assert_close(before[:, :70], after[:, :70], rtol=0, atol=1e-12)
    assert (before[:, 70] - after[:, 70]).abs().max() > 1e-3, "the token itself is seen"


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_is_decoded_piece_by_piece_is_what_is_read_at_once(variant):
    model, x_BT = model_of(replace(SPEC, **VARIANTS[variant])), tokens(2, 40)
    whole_BTV, cache, begin = model(x_BT), None, 0
    for end in (17, 18, 19, 30, 40):
        logits_BV, cache = model.decode(x_BT[:, begin:end], cache)
        torch.testing.assert_close(logits_BV, whole_BTV[:, end - 1])
        begin = end
    assert {tuple(kept.shape) for kept in cache.layers.values()} == {(2, 2, 4, 130, 4)}


def test_only_positions_tell_the_order():
    """Without them, and in one block, the last token's prediction does not depend on the order of those before."""
    x_BT = tokens(1, 20)
    turned = torch.cat((x_BT[:, :-1].flip(1), x_BT[:, -1:]), 1)
    apart = {}
    for positions in ("none", "learned", "sinusoidal"):
        model = model_of(replace(SPEC, n_layer=1, positions=positions))
        apart[positions] = (model(x_BT)[:, -1] - model(turned)[:, -1]).detach().abs().max().item()
    assert apart["none"] < 1e-12
    assert min(apart["learned"], apart["sinusoidal"]) > 1e-3


@pytest.mark.parametrize("d_model", SIZES)
def test_the_three_sizes_have_the_parameters_of_the_source(d_model):
    spec, V = MiniGPTSpec(d_model=d_model), 3000
    costs = describe(spec, V, 256)
    assert costs.total() == SIZES[d_model] == V * d_model + 5 * (8 * d_model**2 + 11 * d_model) + 2 * d_model
    assert spec.n_head == d_model // 32
    assert costs.parameters["token"] == V * d_model
    assert costs.parameters["attention"] == 5 * (4 * d_model**2 + 4 * d_model)
    assert costs.parameters["mlp"] == 5 * (4 * d_model**2 + 3 * d_model)
    assert describe(replace(spec, tied=False), V, 256).total() - costs.total() == V * d_model
    assert describe(replace(spec, positions="none"), V, 256).total() == costs.total()
    assert describe(replace(spec, positions="learned"), V, 256).total() - costs.total() == 256 * d_model


@pytest.mark.parametrize("n_layer", [1, 3])
def test_what_backward_keeps_and_the_products_are_counted(n_layer):
    spec = replace(SPEC, n_layer=n_layer)
    costs = describe(spec, VOCAB, 130, torch.float32)
    with torch.device("meta"):
        model = MiniGPT(spec, VOCAB)
    assert costs.activation == kept(model, 3, 130) - kept(model, 2, 130)
    real, x_BT = MiniGPT(spec, VOCAB), tokens(1)
    real.init_weights(0)
    with FlopCounterMode(display=False) as counter:
        real.loss(x_BT, x_BT, torch.zeros(real.sites, dtype=torch.int32)).backward()
    dense = sum(cost for part, cost in costs.flops.items() if part != "scores") * 130
    weights = 3 * 2 * 2 * n_layer * spec.d_model * (65 * 65 + 65 * 130)  # the two blocks of queries
    folded = 3 * 2 * sum(p.numel() for n, p in real.named_parameters() if n.endswith(("qkv.weight", "up.weight")))
    assert counter.get_total_flops() == pytest.approx(dense + weights, rel=0.02, abs=folded + 6 * VOCAB * spec.d_model)


def test_a_tied_output_is_one_parameter():
    names = [name for name, _ in MiniGPT(SPEC, VOCAB).named_parameters()]
    assert "output" not in names
    assert "output" in dict(MiniGPT(replace(SPEC, tied=False), VOCAB).named_parameters())
    assert set(MiniGPT(SPEC, VOCAB).state_dict()) == set(names), "fixed positions are made, not kept"


def test_taps_are_those_of_the_gpt():
    heard = []
    with listening(lambda name, layer, *shown: heard.append((name, layer, tuple(shown[0].shape)))):
        model_of()(tokens())
    rows = 2 * 130
    assert heard[:4] == [
        ("attention.qkv", 0, (2, 130, 48)),
        ("attention.heads", 0, (rows, 16)),
        ("mlp.hidden", 0, (rows, 32)),
        ("residual", 0, (rows, 16)),
    ]
    assert [layer for _, layer, _ in heard] == [0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_head": 48}, "d_head = 48 does not divide d_model = 256"),
        ({"positions": "rotary"}, 'positions = "rotary" is unknown; known: sinusoidal, learned, none'),
        ({"d_model": 33, "d_head": 33}, "sinusoids come in pairs, and d_model = 33 is odd"),
        ({"mlp_ratio": 0}, "mlp_ratio = 0 must be a positive number, such as 2"),
        ({"n_layer": 0}, "n_layer = 0 must be at least 1"),
        ({"dropout": 1}, "dropout = 1 must be at least 0 and below 1"),
        ({"n_head": 8}, "unknown setting model.n_head; known: n_layer, d_model, d_head"),
    ],
)
def test_bad_settings_are_named(settings, message):
    with pytest.raises(UserError) as error:
        from_dict({"model": {"kind": "minigpt"} | settings}, "here")
    assert message in str(error.value)


def test_the_spec_comes_back_from_its_plain_form():
    spec = from_dict({"model": {"kind": "minigpt", "d_model": 64}}, "here")
    assert from_dict(as_dict(spec), "there") == spec
    assert as_dict(spec)["model"]["kind"] == "minigpt"
