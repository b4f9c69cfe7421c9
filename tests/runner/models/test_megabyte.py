"""The model of two scales."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from runner.errors import UserError
from runner.evidence import log
from runner.models.dropout import site_keys
from runner.models.megabyte.network import Megabyte
from runner.models.megabyte.spec import MegabyteSpec
from runner.plan.spec import as_dict, from_dict
from tests.conftest import at_call, train_here

SMALL = MegabyteSpec(patch=4, width=8, global_layers=2, global_heads=2, local_layers=1, local_heads=2, block_size=16)


def made(spec: MegabyteSpec) -> Megabyte:
    model = Megabyte(spec, 11)
    model.init_weights(0)
    with torch.no_grad():  # far from the small first weights, so that every path shows
        for parameter in model.parameters():
            parameter.mul_(10) if parameter.ndim == 2 else parameter.add_(0.1 * torch.arange(len(parameter)) % 1)
    return model


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("length", [16, 13, 2])
def test_no_output_depends_on_a_later_input_and_every_one_on_its_own(strided, length):
    model = made(replace(SMALL, strided=strided))
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


def test_context_is_dropped_by_patches_in_training_alone():
    model, plain = made(replace(SMALL, context_drop=0.9)), made(SMALL)
    x_BT = torch.arange(16)[None] % 11
    assert torch.equal(model(x_BT), plain(x_BT))
    keys = [site_keys(0, step, model.sites) for step in range(5)]
    changed = [(model(x_BT, each) != plain(x_BT, each)).any(-1)[0] for each in keys]
    assert not any(each[:4].any() for each in changed), "the first patch has no context to lose"
    assert any(each[4:].any() for each in changed)


def test_stopped_it_goes_on_to_the_same_bytes(tiny, tmp_path: Path):
    plain = as_dict(tiny.spec)
    plain["data"] |= {"tokenizer": "bytes", "train": [0, 400], "val": [400, 600], "test": [600, 800]}
    sizes = {"patch": 4, "width": 8, "global_layers": 1, "local_layers": 1, "block_size": 16}
    model = sizes | {"kind": "megabyte", "dropout": 0.2, "context_drop": 0.1, "strided": True}
    plan = replace(tiny, name="megabyte-s0", spec=from_dict(plain | {"model": model}, "here"))
    assert train_here(plan, tmp_path / "whole") == "finished"
    assert train_here(plan, tmp_path / "parted", stopping=at_call(60)) == "stopped"
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
    ],
)
def test_what_cannot_be_is_named(settings, message):
    with pytest.raises(UserError, match=message):
        from_dict({"model": {"kind": "megabyte"} | settings}, "here")
