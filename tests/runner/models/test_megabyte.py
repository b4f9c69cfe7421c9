"""The model of two scales."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from runner.errors import UserError
from runner.evidence import log
from runner.models.cost import describe
from runner.models.dropout import site_keys
from runner.models.gradients import query_blocks
from runner.models.megabyte.network import Megabyte, remaining
from runner.models.megabyte.spec import MegabyteSpec
from runner.models.taps import listening
from runner.plan.spec import as_dict, from_dict
from runner.training.probes.probe import Listening
from runner.training.probes.registry import PROBES
from tests.conftest import at_call, train_here

SMALL = MegabyteSpec(patch=4, width=8, global_layers=2, global_heads=2, local_layers=1, local_heads=2, block_size=16)
READING = replace(SMALL, block_size=32, latents=3)  # of eight patches


def made(spec: MegabyteSpec, vocabulary: int = 11) -> Megabyte:
    model = Megabyte(spec, vocabulary)
    model.init_weights(0)
    with torch.no_grad():  # far from the small first weights, so that every path shows
        for parameter in model.parameters():
            parameter.mul_(10) if parameter.ndim == 2 else parameter.add_(0.1 * torch.arange(len(parameter)) % 1)
    return model


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("latents", [0, 1, 3, 4])
@pytest.mark.parametrize("length", [16, 13, 2])
def test_no_output_depends_on_a_later_input_and_every_one_on_its_own(strided, latents, length):
    model = made(replace(SMALL, strided=strided, latents=latents))
    x_BT = torch.arange(length)[None] % 11
    before = model(x_BT)
    assert before.shape == (1, length, 11)
    for t in range(length):
        after = model(x_BT.where(torch.arange(length) != t, (x_BT + 1) % 11))
        changed = (after != before).any(-1)[0]
        assert not changed[:t].any()
        assert changed[t]


def test_a_patch_sees_all_patches_before_it():
    model = made(SMALL)
    x_BT = torch.arange(16)[None] % 11
    changed = (model(x_BT.where(torch.arange(16) != 1, torch.tensor(7))) != model(x_BT)).any(-1)[0]
    assert changed.tolist() == [False] + [True] * 15


def test_strided_inference_takes_the_first_half_of_each_patch():
    plain, strided = made(SMALL), made(replace(SMALL, strided=True))
    x_BT = torch.arange(16)[None] % 11
    first, moved, both = plain(x_BT), plain(x_BT[:, 2:]), strided(x_BT)
    for t in range(16):
        from_first = t % 4 < 2 or t < 2
        assert torch.equal(both[:, t], first[:, t] if from_first else moved[:, t - 2])
    keys = site_keys(0, 0, strided.sites)
    assert torch.equal(strided(x_BT, keys), plain(x_BT, keys)), "training predicts once"


@pytest.mark.parametrize("more", [{}, {"strided": True}, {"latents": 2}])
def test_each_layer_is_heard_once_under_a_number_of_its_own(more):
    """Also where a prediction takes several passes."""
    model = made(replace(SMALL, **more))
    hear = Listening([PROBES["activation_norm"], PROBES["active_units"]])
    heard: list[int] = []
    numbers = listening(lambda tap, layer, *_: heard.append(layer), {"mlp.hidden"})
    with torch.no_grad(), listening(hear, hear.taps), numbers:
        model(torch.arange(SMALL.block_size)[None] % 11)
    layers = SMALL.global_layers + SMALL.local_layers + bool(more.get("latents"))
    assert sorted(set(heard)) == list(range(layers))
    assert {name: len(found) for name, found in hear.take().items()} == {
        "activation_norm": SMALL.global_layers + SMALL.local_layers, "active_units": layers,
    }  # fmt: skip


def test_context_is_dropped_by_patches_in_training_alone():
    model, plain = made(replace(SMALL, context_drop=0.9)), made(SMALL)
    x_BT = torch.arange(16)[None] % 11
    assert torch.equal(model(x_BT), plain(x_BT))
    keys = [site_keys(0, step, model.sites) for step in range(5)]
    changed = [(model(x_BT, each) != plain(x_BT, each)).any(-1)[0] for each in keys]
    assert not any(each[:4].any() for each in changed), "the first patch has no context to lose"
    assert any(each[4:].any() for each in changed)


def rows_that_matter(model: Megabyte, keys: torch.Tensor | None, position: int) -> list[int]:
    """The positions of a block that an output depends on through the global model, by gradient: each position has a
    token of its own, so that the rows of the global model's embedding are the positions."""
    model.zero_grad()
    model(torch.arange(32)[None], keys)[0, position].square().sum().backward()
    return model.byte.grad.abs().sum(1).nonzero().flatten().tolist()


def test_latents_read_all_patches_before_them_and_are_all_that_is_predicted():
    model = made(READING, vocabulary=32)
    keys = site_keys(0, 0, model.sites)
    logits_BTV = model(torch.arange(32)[None], keys)
    assert logits_BTV.shape == (1, 12, 32), "three patches of four"
    assert rows_that_matter(model, keys, 0) == list(range(20)), "the first latent: all patches before its own"
    assert rows_that_matter(model, keys, 11) == list(range(28))
    y_BT = (torch.arange(32)[None] + 1) % 32
    given = torch.nn.functional.cross_entropy(logits_BTV[0], y_BT[0, 20:])
    assert torch.allclose(model.loss(torch.arange(32)[None], y_BT, keys), given)
    weight_BT = torch.nn.functional.one_hot(torch.tensor([21]), 32).float()
    one = torch.nn.functional.cross_entropy(logits_BTV[0, 1], y_BT[0, 21])
    assert torch.allclose(model.loss(torch.arange(32)[None], y_BT, keys, weight_BT), one)


def test_at_evaluation_what_comes_before_the_latents_is_predicted_from_what_comes_before_it():
    model = made(READING)
    x_BT = torch.arange(32)[None] % 11
    whole = model(x_BT)
    assert whole.shape == (1, 32, 11)
    assert torch.allclose(whole[:, 20:], model(x_BT, site_keys(0, 0, model.sites)), atol=1e-6)
    assert torch.equal(whole[:, :20], model(x_BT[:, :20]))
    assert torch.equal(whole[:, :8], model(x_BT[:, :8]))


def test_context_before_the_latents_is_left_out_in_training_alone():
    model, plain = made(replace(READING, context_drop=0.6), 32), made(READING, 32)
    x_BT = torch.arange(32)[None]
    assert torch.equal(model(x_BT), plain(x_BT))
    seen = set()
    for step in range(8):
        keys = site_keys(0, step, model.sites)
        rows = rows_that_matter(model, keys, 0)
        assert rows == rows_that_matter(model, keys, 0), "the keys decide it"
        kept = remaining(1, 5, keys[0], 0.6)[0].tolist()
        assert len(kept) == 2, "three of the five patches before the latents are left out"
        # The global model is shown patch k at place k + 1; before the first place there is nothing.
        patches = [place - 1 for place in kept if place > 0] + [4]
        assert rows == [4 * patch + place for patch in patches for place in range(4)]
        seen.add(tuple(kept))
    assert len(seen) > 3, "another step, another choice"


def test_each_sequence_leaves_out_patches_of_its_own_and_all_as_often():
    stays = remaining(2000, 6, site_keys(0, 0, 1)[0], 0.5)
    assert stays.shape == (2000, 3)
    assert (stays.diff(dim=1) > 0).all()
    assert torch.bincount(stays.flatten(), minlength=6).float().div(1000).sub(1).abs().max() < 0.1


@pytest.mark.parametrize("spec", [SMALL, READING, replace(READING, context_drop=0.6)], ids=["all", "latents", "drop"])
def test_flops_are_those_that_pytorch_counts_but_for_what_causal_attention_does_not_need(spec):
    spec, batch = replace(spec, dropout=0.1), 2
    model, T, p = made(spec), spec.block_size, spec.patch
    x_BT = torch.arange(T).expand(batch, -1) % 11
    counter = FlopCounterMode(display=False)
    with counter:
        model.loss(x_BT, x_BT, site_keys(0, 0, model.sites)).backward()
    costs, latents = describe(spec, 11, T), spec.latents or spec.patches
    squares = {n: sum((stop - start) * stop for start, stop in query_blocks(n)) for n in (latents, p)}
    scores = 12 * p * spec.width * spec.global_layers * squares[latents]
    scores += 12 * spec.width * spec.local_layers * squares[p] * latents
    if spec.latents:
        read = spec.patches - (3 if spec.context_drop else 0)
        scores += 12 * p * spec.width * latents * read
    assert counter.get_total_flops() == batch * (T * (costs.work() - costs.flops["scores"]) + scores)
    assert costs.flops["scores"] * T < scores
    assert costs.total() == sum(parameter.numel() for parameter in model.parameters())


def test_latents_are_described_and_cost_less_than_all_patches():
    described = describe(READING, 11, 32)
    assert described.work() < describe(replace(READING, latents=8), 11, 32).work()
    assert described.activation < describe(replace(READING, latents=8), 11, 32).activation
    assert READING.details()[0].endswith("the last 3 of which read all 8 once")
    assert "latents" not in as_dict(from_dict({"model": {"kind": "megabyte"}}, "here"))["model"], "published runs stay"


@pytest.mark.parametrize("more", [{}, {"latents": 1, "context_drop": 0.7}], ids=["all", "latents"])
def test_stopped_it_goes_on_to_the_same_bytes(tiny, tmp_path: Path, more):
    plain = as_dict(tiny.spec)
    plain["data"] |= {"tokenizer": "bytes", "train": [0, 400], "val": [400, 600], "test": [600, 800]}
    sizes = {"patch": 4, "width": 8, "global_layers": 1, "local_layers": 1, "block_size": 16}
    model = sizes | {"kind": "megabyte", "dropout": 0.2, "context_drop": 0.1, "strided": True} | more
    plan = replace(tiny, name="megabyte-s0", spec=from_dict(plain | {"model": model}, "here"))
    assert train_here(plan, tmp_path / "whole") == "finished"
    assert train_here(plan, tmp_path / "parted", stopping=at_call(30)) == "stopped"
    assert train_here(plan, tmp_path / "parted") == "finished"
    logs = [(plan.folder(tmp_path / name) / "metrics.parquet").read_bytes() for name in ("whole", "parted")]
    assert logs[0] == logs[1]
    rows = log.read_run(plan.folder(tmp_path / "whole")).metrics().to_pandas().query("split == 'val'")
    assert rows.loss.iloc[-1] < rows.loss.iloc[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": 7}, "patch = 7 does not divide block_size = 256; choose a divisor of the block"),
        ({"local_heads": 3}, "local_heads = 3 does not divide the width of 64 units; choose a divisor"),
        ({"patch": 1, "strided": True}, "strided moves patches on by half of one: patch = 1 must be even"),
        ({"context_drop": 1.0}, "context_drop = 1 must be at least 0 and below 1"),
        ({"context_drop": -0.5, "latents": 8}, "context_drop = -0.5 must be at least 0 and below 1"),
        ({"latents": 33}, "latents = 33 must lie between 0 and the 32 patches of a block; 0 is all of them"),
        ({"latents": -1}, "latents = -1 must lie between 0 and the 32 patches of a block"),
        (
            {"latents": 32, "context_drop": 0.5},
            "context_drop = 0.5 of the 0 patches before the latents is less than one patch: take fewer latents",
        ),
    ],
)
def test_what_cannot_be_is_named(settings, message):
    with pytest.raises(UserError, match=message):
        from_dict({"model": {"kind": "megabyte"} | settings}, "here")
