"""The WaveNet."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from runner.errors import UserError
from runner.models.cost import describe
from runner.models.wavenet.network import WaveNet, looking_back
from runner.models.wavenet.spec import WaveNetSpec
from runner.plan.spec import as_dict, from_dict
from tests.conftest import at_call, train_here

SMALL = WaveNetSpec(width=8, gate=6, skip=7, block_size=16)


def made(spec: WaveNetSpec, vocabulary: int = 11) -> WaveNet:
    model = WaveNet(spec, vocabulary)
    model.init_weights(0)
    return model


def test_it_has_the_parameters_of_the_source():
    assert describe(WaveNetSpec(), 30_522, 16).total() == 292_855_610


def test_a_position_depends_on_as_many_tokens_as_the_receptive_field_says():
    """By gradient: with a token of its own at each position, the rows of the embedding are the positions."""
    spec = replace(SMALL, readout="last", block_size=24)
    model = made(spec, vocabulary=24)
    model(torch.arange(24)[None])[0, -1].square().sum().backward()
    reached = model.token.grad.abs().sum(1).nonzero().flatten().tolist()
    assert reached == list(range(24 - spec.receptive_field, 24))
    assert spec.receptive_field == 16


def test_no_output_depends_on_a_later_input():
    model = made(replace(SMALL, readout="last"))
    x_BT = torch.arange(16)[None] % 11
    before = model(x_BT)
    for t in range(16):
        after = model(x_BT.where(torch.arange(16) != t, (x_BT + 1) % 11))
        changed = (after != before).any(-1)[0]
        assert not changed[:t].any()
        assert changed[t]


def test_a_dilated_kernel_is_a_convolution():
    x_BTD = torch.randn(2, 10, 3, generator=torch.Generator().manual_seed(0))
    weight_ODK = torch.randn(4, 3, 2, generator=torch.Generator().manual_seed(1))
    ours = looking_back(x_BTD, 2, 4) @ weight_ODK.permute(2, 1, 0).flatten(0, 1)
    theirs = F.conv1d(F.pad(x_BTD.transpose(1, 2), (4, 0)), weight_ODK, dilation=4)
    assert torch.allclose(ours, theirs.transpose(1, 2), atol=1e-6)


@pytest.mark.parametrize("readout", ["flatten", "last"])
def test_stopped_it_goes_on_to_the_same_bytes(tiny, tmp_path: Path, readout):
    plain = as_dict(tiny.spec)
    plain["data"] |= {"task": "context" if readout == "flatten" else "windows"}
    plain["data"] |= {"train": [0, 400], "val": [400, 600], "test": [600, 800]}
    model = {"kind": "wavenet", "width": 8, "gate": 6, "skip": 7, "block_size": 16, "readout": readout}
    plan = replace(tiny, name="wavenet-s0", spec=from_dict(plain | {"model": model}, "here"))
    assert train_here(plan, tmp_path / "whole") == "finished"
    assert train_here(plan, tmp_path / "parted", stopping=at_call(30)) == "stopped"
    assert train_here(plan, tmp_path / "parted") == "finished"
    logs = [(plan.folder(tmp_path / name) / "metrics.parquet").read_bytes() for name in ("whole", "parted")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block_size": 15}, "block_size = 15 is shorter than the receptive field of 16 tokens: lengthen the block"),
        ({"kernel": 1}, "kernel = 1 must be at least 2"),
        ({"readout": "first"}, 'readout = "first" is unknown; known: flatten, last'),
    ],
)
def test_what_cannot_be_is_named(settings, message):
    with pytest.raises(UserError, match=message):
        from_dict({"model": {"kind": "wavenet"} | settings, "data": {"task": "context"}}, "here")
