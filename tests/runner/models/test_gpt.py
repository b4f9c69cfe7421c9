"""The model against plain PyTorch: its values, its gradients, its parameters."""

import math
import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from functorch.compile import make_boxed_func
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._inductor.decomposition import select_decomp_table

from benchmarks.reference import Reference, copy_weights, trainer
from runner.errors import UserError
from runner.models.dropout import dropout, kept, positions, site_keys
from runner.models.gpt.network import GPT
from runner.models.gpt.spec import SITES, GPTSpec
from runner.models.gradients import query_blocks
from runner.models.taps import listening
from runner.plan.spec import RunSpec, TrainSpec, check, from_dict
from runner.training.engine import Engine
from runner.training.optimizer import learning_rate
from runner.training.probes.probe import Listening
from runner.training.probes.registry import PROBES
from tests.runner.models.perturbed import perturbed

SPEC = GPTSpec(n_layer=2, n_head=2, d_model=16, block_size=130, mlp_ratio=3.0, dropout=0.2)
VOCAB = 11


def model_of(spec: GPTSpec = SPEC) -> GPT:
    """A float64 model whose every parameter matters."""
    return perturbed(GPT(spec, VOCAB, torch.float64).double())


def batch(length: int, size: int = 2, vocab: int = VOCAB, seed: int = 0) -> tuple[Tensor, Tensor]:
    x_BT = torch.randint(vocab, (size, length), generator=torch.Generator().manual_seed(seed))
    return x_BT, (3 * x_BT + 1) % vocab


PLAIN = {
    "gelu": F.gelu,
    "silu": F.silu,
    "relu2": lambda h: h.clamp(min=0) ** 2,
    "swiglu": lambda h: F.silu(h[:, : h.shape[1] // 2]) * h[:, h.shape[1] // 2 :],
}


def turned(x_BHTK: Tensor) -> Tensor:
    """Rotary positions as products of complex numbers."""
    *_, T, K = x_BHTK.shape
    angle = torch.arange(T)[:, None] * 10_000.0 ** (-torch.arange(0, K, 2, dtype=torch.float64) / K)
    pairs = torch.complex(x_BHTK[..., : K // 2], x_BHTK[..., K // 2 :])
    pairs = pairs * torch.polar(torch.ones_like(angle), angle)
    return torch.cat((pairs.real, pairs.imag), dim=-1)


def plain_loss(model: GPT, x_BT: Tensor, y_BT: Tensor, keys: Tensor) -> Tensor:
    """The same mathematics with the same masks, as a textbook would write it."""
    spec, (B, T) = model.spec, x_BT.shape
    D, H, p = spec.d_model, spec.n_head, {site: spec.dropout * (site in spec.dropout_sites) for site in SITES}
    K, kv = spec.d_head, spec.kv_heads
    x = model.token[x_BT] + (0 if model.position is None else model.position[:T])
    after = spec.norm == "after"

    def carried(x: Tensor) -> Tensor:
        return F.layer_norm(x, (D,)) if after else x

    def read(x: Tensor, weight: Tensor) -> Tensor:
        return x * weight if after else F.layer_norm(x, (D,), weight)

    x = carried(dropout(x.view(B * T, D), keys[0], p["embedding"]))
    for block, (weights, first, second) in zip(model.blocks, keys[1:].view(-1, 3), strict=True):
        n = read(x, block.attention.norm)
        q, k, v = (n @ block.attention.qkv.T).view(B, T, H + 2 * kv, K).transpose(1, 2).split((H, kv, kv), dim=1)
        if spec.qk_norm:
            q, k = F.layer_norm(q, (K,), block.attention.q_norm), F.layer_norm(k, (K,), block.attention.k_norm)
        if spec.positions == "rotary":
            q, k = turned(q), turned(k)
        of_query = torch.arange(H) // (H // kv)  # which head of keys and values each query shares
        q, k, v = (t.reshape(B * H, T, K) for t in (q, k[:, of_query], v[:, of_query]))
        score = (q @ k.mT / math.sqrt(D // H)).masked_fill(~torch.ones(T, T, dtype=torch.bool).tril(), -math.inf)
        parts, offset = [], 0
        for start, stop in query_blocks(T):
            weight = score.softmax(-1)[:, start:stop, :stop]
            keep = kept(offset + positions(tuple(weight.shape), weight.device), weights, p["weights"])
            parts.append(torch.where(keep, weight / (1 - p["weights"]), 0.0) @ v[:, :stop])
            offset += weight.numel()
        y = torch.cat(parts, 1).view(B, H, T, -1).transpose(1, 2).reshape(B * T, D)
        branch = y @ block.attention.out.T
        if spec.post_norm:
            branch = F.layer_norm(branch, (D,), block.attention.post_norm) / math.sqrt(2 * spec.n_layer)
        x = carried(x + dropout(branch, first, p["projection"]))
        h = read(x, block.mlp.norm) @ block.mlp.up.T
        branch = PLAIN[spec.activation](h) @ block.mlp.down.T
        if spec.post_norm:
            branch = F.layer_norm(branch, (D,), block.mlp.post_norm)
        x = carried(x + dropout(branch, second, p["mlp"]))
    return F.cross_entropy(read(x, model.norm) @ model.token.T, y_BT.flatten())


EVERYTHING = {"n_kv_head": 2, "qk_norm": True, "post_norm": True, "positions": "rotary"}
VARIANTS = {
    "as it was": {},
    "ratios": {"mlp_ratio": (1.0, 2.5)},
    "silu": {"activation": "silu"},
    "relu2": {"activation": "relu2"},
    "swiglu": {"activation": "swiglu"},
    "matched": {"activation": "swiglu", "match_params": True},
    "grouped": {"n_kv_head": 1},
    "qk norm": {"qk_norm": True},
    "post norm": {"post_norm": True},
    "norms after": {"norm": "after"},
    "rotary": {"positions": "rotary"},
    "dropout of weights": {"dropout_sites": ("weights",)},
    "dropout of the projection": {"dropout_sites": ("projection",)},
    "everything": EVERYTHING | {"n_head": 4, "activation": "swiglu", "mlp_ratio": (3.0, 1.5)},
}


@pytest.mark.parametrize(
    ("length", "variant"), [*((T, "as it was") for T in (1, 7, 64, 129)), *((130, name) for name in VARIANTS)]
)
def test_loss_and_gradients_are_those_of_plain_pytorch_with_the_same_masks(length, variant):
    spec = check(RunSpec(model=replace(SPEC, **VARIANTS[variant])), "here").model
    model, (x_BT, y_BT) = model_of(spec), batch(length)
    keys, parameters = site_keys(3, 4, model.sites), list(model.parameters())
    ours, plain = model.loss(x_BT, y_BT, keys), plain_loss(model, x_BT, y_BT, keys)
    assert ours.item() == pytest.approx(plain.item(), rel=1e-12)
    pairs = zip(torch.autograd.grad(ours, parameters), torch.autograd.grad(plain, parameters), strict=True)
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in pairs)


def test_gradients_agree_with_finite_differences():
    model, (x_BT, y_BT) = model_of(), batch(130, size=1)
    keys, parameters = site_keys(0, 1, model.sites), list(model.parameters())
    grads = torch.autograd.grad(model.loss(x_BT, y_BT, keys), parameters)
    generator, epsilon = torch.Generator().manual_seed(2), 1e-5
    for parameter, grad in zip(parameters, grads, strict=True):
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            parameter += epsilon * direction
            up = model.loss(x_BT, y_BT, keys).item()
            parameter -= 2 * epsilon * direction
            down = model.loss(x_BT, y_BT, keys).item()
            parameter += epsilon * direction
        assert float((grad * direction).sum()) == pytest.approx((up - down) / (2 * epsilon), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_without_dropout_20_steps_follow_the_reference(precision):
    spec = GPTSpec(n_layer=2, n_head=4, d_model=64, block_size=64, dropout=0.0)
    train = TrainSpec(steps=100, batch_size=8, warmup_steps=5)
    engine = Engine(spec, train, 65, 0, torch.device("cpu"), precision, compile=False)
    reference = Reference(spec, 65)
    copy_weights(engine.model, reference)
    step = trainer(reference, train)
    for i in range(20):
        x_BT, y_BT = batch(64, size=8, vocab=65, seed=i)
        theirs, their_norm = step(x_BT, y_BT, learning_rate(train, i))
        ours, our_norm = engine.step(x_BT, y_BT, i)
        assert abs(float(ours) - float(theirs)) < 0.005
        assert float(our_norm) == pytest.approx(float(their_norm), rel=0.02)
    assert float(ours) < 3.5  # it learned


def test_every_dropout_site_has_its_key():
    model, (x_BT, y_BT) = model_of(), batch(9)
    keys = site_keys(0, 0, model.sites)
    losses = {model.loss(x_BT, y_BT, keys).item()}
    for site in range(len(keys)):
        changed = keys.clone()
        changed[site] += 1
        losses.add(model.loss(x_BT, y_BT, changed).item())
    assert len(losses) == len(keys) + 1 == 8


@pytest.mark.parametrize(("place", "site"), list(enumerate(SITES)))
def test_dropout_at_one_site_takes_the_keys_of_that_site_alone(place, site):
    model, (x_BT, y_BT) = model_of(replace(SPEC, dropout_sites=(site,))), batch(9)
    keys = site_keys(0, 0, model.sites)
    before, mine = model.loss(x_BT, y_BT, keys).item(), [0] if place == 0 else [place, place + 3]
    moved = []
    for key in range(len(keys)):
        changed = keys.clone()
        changed[key] += 1
        if model.loss(x_BT, y_BT, changed).item() != before:
            moved.append(key)
    assert moved == mine


def test_dropout_at_every_site_is_what_it_was():
    (x_BT, y_BT), keys = batch(9), site_keys(0, 0, 7)
    said = model_of(replace(SPEC, dropout_sites=tuple(reversed(SITES)))).loss(x_BT, y_BT, keys)
    assert torch.equal(said, model_of().loss(x_BT, y_BT, keys))


@pytest.mark.parametrize(
    ("sites", "message"),
    [
        (["weights", "heads"], "dropout_sites: unknown heads; known: embedding, weights, projection, mlp"),
        ([], "dropout_sites must name at least one site, and each once; for no dropout set dropout = 0"),
        (["mlp", "mlp"], "dropout_sites must name at least one site, and each once"),
    ],
)
def test_sites_that_cannot_be_are_named(sites, message):
    with pytest.raises(UserError, match=message):
        from_dict({"model": {"dropout_sites": sites}}, "here")


@pytest.mark.parametrize("variant", ["as it was", "everything"])
def test_compiled_as_one_it_adds_in_one_order_and_asks_the_device_nothing(variant):
    """What an accelerator gets: one graph forward and one backward. An accumulating scatter is made of atomics there,
    whose order changes from run to run."""
    spec = check(RunSpec(model=replace(SPEC, **VARIANTS[variant])), "here").model
    graphs, (x_BT, y_BT) = [], batch(130)

    def keep(graph, _):
        graphs.append({str(node.target) for node in graph.graph.nodes if node.op == "call_function"})
        return make_boxed_func(graph.forward)

    backend = aot_autograd(fw_compiler=keep, bw_compiler=keep, decompositions=select_decomp_table())
    model = model_of(spec)
    keys, parameters = site_keys(3, 4, model.sites), list(model.parameters())
    loss = torch.compile(model.loss, dynamic=False, fullgraph=True, backend=backend)(x_BT, y_BT, keys)
    pairs = zip(
        torch.autograd.grad(loss, parameters),
        torch.autograd.grad(model.loss(x_BT, y_BT, keys), parameters),
        strict=True,
    )
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in pairs)
    assert len(graphs) == 2
    strange = [
        op
        for op in sorted(set.union(*graphs))
        if re.search(r"index_put|index_add|accumulate|(?<!slice_)scatter|_local_scalar", op)
    ]
    assert strange == []


def test_evaluation_takes_any_length_and_looks_at_no_later_token():
    model, (x_BT, y_BT) = model_of(), batch(130)
    with torch.no_grad():
        whole_BTV = model(x_BT)
        for length in (1, 2, 77, 129):
            assert torch.allclose(model(x_BT[:, :length]), whole_BTV[:, :length], rtol=1e-9, atol=1e-12)
        summed = model.summed_loss(x_BT, y_BT, torch.ones(2, 130))
        mean = F.cross_entropy(whole_BTV.flatten(0, 1), y_BT.flatten())
    assert float(summed) == pytest.approx(260 * float(mean))


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_decoding_gives_what_the_whole_window_gives(variant):
    """In parts of one token and of several, for a batch; and it keeps the keys and values that the costs count."""
    spec = check(RunSpec(model=replace(SPEC, **VARIANTS[variant])), "here").model
    model, (x_BT, _) = model_of(spec), batch(130)
    whole_BTV, cache, done = model(x_BT), None, 0
    for length in (7, 1, 1, 40, 1, 79, 1):
        logits_BV, cache = model.decode(x_BT[:, done : done + length], cache)
        done += length
        assert torch.allclose(logits_BV, whole_BTV[:, done - 1], rtol=1e-9, atol=1e-12)
    assert done == cache.length == 130
    kept = sum(tensor.untyped_storage().nbytes() for tensor in cache.layers.values())
    assert kept == 2 * 130 * GPT.cost(spec, VOCAB, 130, torch.float64).kv_cache


def test_evaluation_is_training_without_dropout():
    spec = GPTSpec(n_layer=2, n_head=2, d_model=16, block_size=130, mlp_ratio=3.0, dropout=0.0)
    model, (x_BT, y_BT) = model_of(spec), batch(130)
    trained = model.loss(x_BT, y_BT, site_keys(0, 0, model.sites))
    assert trained.item() * 260 == pytest.approx(model.summed_loss(x_BT, y_BT, torch.ones(2, 130)).item())


@torch.no_grad()
def logits(model: GPT, x_BT: Tensor) -> Tensor:
    """The largest attention logit of each layer, as the probe finds it."""
    hear = Listening([PROBES["attention_logit"]])
    with listening(hear):
        model(x_BT)
    return hear.take()["attention_logit"]


@pytest.mark.parametrize("variant", ["as it was", "everything"])
def test_the_largest_attention_logit_is_that_of_the_queries_and_keys(variant, monkeypatch):
    model, (x_BT, _) = model_of(replace(SPEC, **VARIANTS[variant])), batch(7)
    plain, seen = F.scaled_dot_product_attention, []

    def attention(q, k, v, is_causal):
        pairs = [(i, j) for i in range(7) for j in range(i + 1)]
        seen.extend(((q[:, :, i] * k[:, :, j]).sum(-1) / math.sqrt(q.shape[-1])).abs().max() for i, j in pairs)
        return plain(q, k, v, is_causal=is_causal)

    monkeypatch.setattr(F, "scaled_dot_product_attention", attention)
    found = logits(model, x_BT)
    assert len(seen) == 2 * 28  # layers and pairs
    assert found.shape == (2,)
    assert found.amax().item() == pytest.approx(max(map(float, seen)))


@pytest.mark.parametrize(("qk_norm", "factor"), [(False, 9), (True, 1)])
def test_attention_logits_grow_with_the_weights_unless_queries_and_keys_are_normed(qk_norm, factor):
    model, (x_BT, _) = model_of(replace(SPEC, n_layer=1, qk_norm=qk_norm)), batch(7)
    before = logits(model, x_BT)
    with torch.no_grad():
        model.blocks[0].attention.qkv.mul_(3)
    assert logits(model, x_BT).item() == pytest.approx(factor * before.item(), rel=1e-3)


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 5, 8 / 3, 0.01])
def test_parameters_are_counted_by_a_closed_formula_and_hold_no_bias(ratio):
    spec = GPTSpec(mlp_ratio=float(ratio))
    with torch.device("meta"):
        parameters = dict(GPT(spec, 65).named_parameters())
    D, hidden = spec.d_model, max(1, round(ratio * spec.d_model))
    expected = 65 * D + 256 * D + 6 * (4 * D * D + 2 * D * hidden + 2 * D) + D
    assert sum(p.numel() for p in parameters.values()) == expected
    assert not any("bias" in name for name in parameters)
    assert len(parameters) == 3 + 6 * 6


def test_arms_of_a_sweep_start_alike_where_their_shapes_agree():
    def start(ratio: float, seed: int) -> dict[str, Tensor]:
        model = GPT(GPTSpec(n_layer=2, n_head=2, d_model=16, block_size=8, mlp_ratio=ratio), VOCAB)
        model.init_weights(seed)
        return dict(model.named_parameters())

    two, three, other = start(2.0, 0), start(3.0, 0), start(2.0, 1)
    for name, parameter in two.items():
        assert name.endswith(("mlp.up", "mlp.down")) != torch.equal(parameter, three[name]) or parameter.ndim < 2
        assert torch.equal(parameter, other[name]) == (parameter.ndim < 2)


def test_initial_scales_are_those_of_gpt2():
    model = GPT(GPTSpec(n_layer=2, n_head=2, d_model=128, block_size=64), 65)
    model.init_weights(0)
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            assert bool((parameter == 1).all())
        else:
            scale = 0.01 if name.endswith((".out", ".down")) else 0.02
            assert float(parameter.detach().std()) == pytest.approx(scale, rel=0.05)
