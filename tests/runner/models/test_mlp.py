"""The MLP over a context."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from runner.errors import UserError
from runner.models.cost import describe
from runner.models.dropout import site_keys
from runner.models.mlp.network import MLP
from runner.models.mlp.spec import MLPSpec
from runner.plan.plan import Plan
from runner.plan.spec import as_dict, from_dict
from runner.training import sample
from tests.conftest import at_call, train_here

SMALL = MLPSpec(width=4, hidden=6, block_size=5)


def made(spec: MLPSpec, vocabulary: int = 11) -> MLP:
    model = MLP(spec, vocabulary)
    model.init_weights(0)
    return model


def of_contexts(tiny: Plan, **model) -> Plan:
    """A short run of this kind."""
    plain = as_dict(tiny.spec)
    plain["data"] |= {"task": "context", "train": [0, 400], "val": [400, 600], "test": [600, 800]}
    return replace(tiny, name="mlp-s0", spec=from_dict(plain | {"model": {"kind": "mlp"} | model}, "here"))


def test_it_has_the_parameters_of_the_source():
    assert describe(MLPSpec(), 50_281, 10).total() == 20_562_681


@pytest.mark.parametrize("reading", ["flatten", "last", "mean"])
def test_it_sees_what_its_reading_says(reading):
    model = made(replace(SMALL, reading=reading))
    x_BT = torch.arange(5)[None]
    before = model(x_BT)
    assert before.shape == (1, 1, 11)
    seen = [t for t in range(5) if not torch.equal(model(x_BT.where(torch.arange(5) != t, torch.tensor(9))), before)]
    assert seen == ([4] if reading == "last" else [0, 1, 2, 3, 4])
    swapped = torch.allclose(model(x_BT.flip(1)), before)
    assert swapped == (reading == "mean"), "only a mean forgets the order"


def test_a_shorter_context_begins_with_token_0():
    model = made(SMALL)
    assert torch.equal(model(torch.tensor([[3, 4]])), model(torch.tensor([[0, 0, 0, 3, 4]])))


def test_residual_layers_keep_their_input():
    model = made(replace(SMALL, n_layer=2, residual=True))
    with torch.no_grad():
        model.layers[1].weight.zero_()
    one = made(replace(SMALL, n_layer=1))
    with torch.no_grad():
        for name in ("token", "out", "bias"):
            getattr(one, name).copy_(getattr(model, name))
        one.layers[0].weight.copy_(model.layers[0].weight)
    x_BT = torch.arange(5)[None]
    assert torch.equal(model(x_BT), one(x_BT))


def test_dropout_takes_hidden_units_in_training_alone_and_scales_the_others():
    model, x_BT = made(replace(SMALL, hidden=400, dropout=0.5)), torch.arange(5)[None]
    keys = site_keys(0, 0, model.sites)
    with torch.no_grad():
        model.out.copy_(torch.ones_like(model.out))
        whole = model(x_BT)
        plain = made(replace(SMALL, hidden=400))
        plain.out.data.copy_(model.out)
        assert torch.equal(whole, plain(x_BT)), "evaluation has no dropout"
        assert torch.equal(plain(x_BT, keys), whole), "nor has training, where the rate is 0"
        hidden_BH = model.layers[0](model.token[x_BT].flatten(1), None)
        kept_BH = model.layers[0](model.token[x_BT].flatten(1), keys[0])
    dropped = kept_BH == 0
    assert 150 < int(dropped.sum()) < 250
    assert torch.allclose(kept_BH[~dropped], 2 * hidden_BH[~dropped], rtol=1e-5)
    assert not torch.equal(model(x_BT, keys), model(x_BT, keys + 1)), "the mask is of the key"


@pytest.mark.parametrize(
    ("norm", "dropout"), [("none", 0.0), ("none", 0.5), ("batch", 0.0), ("precise", 0.0), ("frozen", 0.5)]
)
def test_stopped_it_goes_on_to_the_same_bytes(tiny, tmp_path: Path, norm, dropout):
    plan = of_contexts(tiny, width=4, hidden=6, block_size=5, norm=norm, calibration=3, freeze_at=12, dropout=dropout)
    assert train_here(plan, tmp_path / "whole") == "finished"
    assert train_here(plan, tmp_path / "parted", stopping=at_call(35)) == "stopped"
    assert train_here(plan, tmp_path / "parted") == "finished"
    whole, parted = (plan.folder(tmp_path / name) for name in ("whole", "parted"))
    assert (whole / "metrics.parquet").read_bytes() == (parted / "metrics.parquet").read_bytes()
    assert (whole / "samples.txt").read_bytes() == (parted / "samples.txt").read_bytes()
    model, tokens = sample.load(whole)
    assert len(sample.generate(model, tokens, "R", 20, seed=1)) == 21


def test_it_is_trained_with_sgd(tiny, tmp_path: Path):
    plan = of_contexts(tiny, width=4, hidden=6, block_size=5)
    sgd = replace(plan.spec.train, optimizer="sgd", learning_rate=0.1, min_learning_rate=0.01, drop_at=20)
    plan = replace(plan, spec=replace(plan.spec, train=sgd))
    assert train_here(plan, tmp_path / "whole") == "finished"
    assert train_here(plan, tmp_path / "parted", stopping=at_call(35)) == "stopped"
    assert train_here(plan, tmp_path / "parted") == "finished"
    logs = [(plan.folder(tmp_path / name) / "metrics.parquet").read_bytes() for name in ("whole", "parted")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"model": {"kind": "mlp"}}, r'kind "mlp" predicts one token, after a whole context: task = "windows" does'),
        ({"data": {"task": "context"}}, r'kind "gpt" predicts a token after each position: task = "context" does not'),
        ({"model": {"kind": "mlp", "reading": "all"}}, 'reading = "all" is unknown; known: flatten, last, mean'),
        ({"model": {"kind": "mlp", "norm": "layer"}}, 'norm = "layer" is unknown; known: none, batch, precise, frozen'),
        ({"model": {"kind": "mlp", "dropout": 1.0}}, "dropout = 1 must be at least 0 and below 1"),
        ({"train": {"max_norm": 0.0}}, r"max_norm = 0\.0 must be a positive number; leave it out for no bound"),
        ({"train": {"max_norm": float("nan")}}, "max_norm = nan must be a positive number"),
        ({"model": {"kind": "mlp", "width": 0}}, "width = 0 must be at least 1"),
        ({"train": {"optimizer": "lion"}}, 'optimizer = "lion" is unknown; known: adamw, sgd'),
        ({"train": {"drop_at": 9000}}, "drop_at = 9000 must lie between warmup_steps = 100 and steps = 5000"),
        ({"train": {"warmup_from": 1.0}}, r"warmup_from = 1\.0 must lie between 0 and learning_rate = 0\.001"),
    ],
)
def test_what_cannot_be_is_named(table, message):
    with pytest.raises(UserError, match=message):
        from_dict(table, "here")
