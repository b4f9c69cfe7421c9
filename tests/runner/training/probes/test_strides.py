"""Strided inference, observed beside the plain one."""

from dataclasses import replace
from pathlib import Path

import pytest

from runner.errors import UserError
from runner.evidence import log
from runner.plan.plan import Plan
from runner.plan.spec import as_dict, from_dict
from tests.conftest import train_here

MODEL = {"kind": "megabyte", "patch": 4, "width": 8, "global_layers": 1, "local_layers": 1, "block_size": 16}
BESIDE = ["position_loss", "dead_units", "strided_loss", "strided_position_loss"]


def trained(tiny: Plan, root: Path, probes: list[str], **more: object) -> log.Run:
    plain = as_dict(tiny.spec)
    plain["data"] |= {"tokenizer": "bytes", "train": [0, 400], "val": [400, 600], "test": [600, 800]}
    plain["eval"] |= {"probes": probes}
    plan = replace(tiny, spec=from_dict(plain | {"model": MODEL | more}, "here"))
    assert train_here(plan, root) == "finished"
    return log.read_run(plan.folder(root))


def test_it_is_what_a_strided_model_is_evaluated_as(tiny, tmp_path):
    beside = trained(tiny, tmp_path / "beside", BESIDE)
    plain = trained(tiny, tmp_path / "plain", ["position_loss", "dead_units"])
    strided = trained(tiny, tmp_path / "strided", ["position_loss"], strided=True)
    assert beside.metrics().to_pandas().equals(plain.metrics().to_pandas()), "it changes no number"
    found = beside.probes().to_pandas()
    both = found.query("not probe.str.startswith('strided')").reset_index(drop=True)
    assert both.equals(plain.probes().to_pandas()), "and other probes see one evaluation only"

    losses = strided.metrics().to_pandas().query("split != 'batch'").set_index(["step", "split"]).loss
    seen = found.query("probe == 'strided_loss'").set_index(["step", "split"]).value
    assert seen.to_dict() == pytest.approx(losses.to_dict(), rel=1e-6)
    once = plain.metrics().to_pandas().query("split != 'batch'").set_index(["step", "split"]).loss
    assert seen.to_dict() != pytest.approx(once.to_dict(), rel=1e-6)
    places = strided.probes().to_pandas().query("probe == 'position_loss'").value
    assert found.query("probe == 'strided_position_loss'").value.tolist() == places.tolist()


def test_a_patch_of_one_byte_has_no_half(tiny, tmp_path):
    with pytest.raises(UserError, match="the probe 'strided_loss' observes strided, which a model of kind 'megabyte'"):
        trained(tiny, tmp_path, ["strided_loss"], patch=1)
