"""A kind that the runner has never heard of is trained, killed, resumed, verified, sampled and described."""

import functools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from runner.cli.models import table
from runner.errors import UserError
from runner.evidence import log
from runner.models import registry
from runner.models.cost import describe
from runner.models.registry import ModelSpec
from runner.plan import experiment
from runner.plan.plan import Plan
from runner.plan.spec import as_dict, from_dict
from runner.training import sample
from runner.training.verify import verify
from tests.conftest import at_call, train_here
from tests.runner.training.test_sample import lively
from tests.toy import Toy, ToySpec


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tiny: Plan) -> Plan:
    """A short run of a toy."""
    monkeypatch.setitem(registry.KINDS, "toy", ("tests.toy:ToySpec", "tests.toy:Toy"))
    plain = as_dict(tiny.spec)
    return replace(tiny, name="toy-s0", spec=from_dict(plain | {"model": {"kind": "toy", "width": 8}}, "here"))


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_kind_keeps_the_promises_of_the_protocol(kind):
    spec = registry.spec_of({"kind": kind}, "here")()
    with torch.device("meta"):
        shapes = {name: tuple(p.shape) for name, p in registry.network(kind)(spec, 65).named_parameters()}
    costs = describe(spec, 65, min(32, spec.block_size))
    assert costs.total() == sum(math.prod(shape) for shape in shapes.values())
    assert costs.work() > 0
    assert costs.activation > 0
    assert spec.shape
    assert spec.details()


@functools.cache
def smallest() -> dict[str, ModelSpec]:
    """A small spec of each kind: that of a smoke run."""
    plans = [plan for name in experiment.names() for plan in experiment.load(name).plans("smoke")]
    return {plan.spec.model.kind: plan.spec.model for plan in plans}


@pytest.mark.parametrize("kind", registry.KINDS)
def test_every_kind_decodes_what_it_predicts(kind):
    """Whatever it keeps of earlier tokens: in one piece, token by token, and in pieces, up to its block."""
    spec = smallest()[kind]
    model = lively(registry.network(kind)(spec, 65, torch.float32, False))
    x_BT = torch.randint(65, (2, spec.block_size), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for size in (1, 3, spec.block_size):
            cache = None
            for start in range(0, spec.block_size, size):
                logits_BV, cache = model.decode(x_BT[:, start : start + size], cache)
                read = min(start + size, spec.block_size)
                torch.testing.assert_close(logits_BV, model(x_BT[:, :read])[:, -1], rtol=1e-4, atol=1e-4)


def test_its_settings_are_its_own(toy):
    assert toy.spec.model == ToySpec(width=8)
    assert as_dict(toy.spec)["model"] == {"width": 8, "block_size": 32, "kind": "toy"}
    with pytest.raises(UserError, match=r"here: unknown setting model\.n_head; known: width, block_size, kind"):
        from_dict({"model": {"kind": "toy", "n_head": 2}}, "here")
    with pytest.raises(UserError, match="here: width = 0 must be at least 1"):
        from_dict({"model": {"kind": "toy", "width": 0}}, "here")
    with pytest.raises(UserError, match=r"here: unknown kind of model 'tor'; known: .*gpt.*toy"):
        from_dict({"model": {"kind": "tor"}}, "here")


def test_it_learns_and_a_resume_restores_its_buffers(toy, tmp_path: Path):
    assert train_here(toy, tmp_path / "whole") == "finished"
    assert train_here(toy, tmp_path / "parted", stopping=at_call(50)) == "stopped"
    assert train_here(toy, tmp_path / "parted") == "finished"
    whole, parted = (toy.folder(tmp_path / name) for name in ("whole", "parted"))
    assert (whole / "metrics.parquet").read_bytes() == (parted / "metrics.parquet").read_bytes()
    assert (whole / "samples.txt").read_bytes() == (parted / "samples.txt").read_bytes()
    rows = log.read_run(whole).metrics().to_pandas().query("split == 'val'")
    assert rows.loss.iloc[-1] < rows.loss.iloc[0]


def test_it_is_verified_and_sampled(toy, tmp_path: Path):
    train_here(toy, tmp_path)
    assert verify(toy.folder(tmp_path), 10).kind == "identical"
    model, codec = sample.load(toy.folder(tmp_path))
    assert isinstance(model, Toy)
    assert model.mean.abs().sum() > 0, "buffers come back too"
    assert "decode" not in vars(Toy), "it has no cache, and reads its window again for each token"
    assert len(sample.generate(model, codec, "ROMEO", 20, seed=1)) == 25


def test_probes_observe_it(toy, tmp_path: Path):
    """They know taps and parameters, and no kind. What it does not tap, it is not asked for."""
    spec = replace(toy.spec, eval=replace(toy.spec.eval, probes=("all",), probe_every=20))
    train_here(replace(toy, spec=spec), tmp_path)
    found = log.read_run(toy.folder(tmp_path)).probes().to_pandas()
    hidden = {"dead_units", "active_units", "participation_ratio", "hidden_histogram"}
    updates = {"gradient_norm", "update_ratio", "weight_histogram", "gradient_histogram"}
    assert set(found.probe) == hidden | updates | {"accuracy", "removal", "narrowed", "position_loss"}
    assert set(found[found.probe.isin(hidden)].layer) == {0}
    assert found[found.probe.isin(updates)].layer.isna().all()


def test_it_is_described(toy):
    costs = describe(toy.spec.model, 65, 32)
    assert costs.total() == 3 * 65 * 8
    assert costs.activation > 0
    assert table("toy", toy.spec.model, costs).title.startswith("toy: 8 units")


def test_an_entry_without_a_class_is_named(monkeypatch):
    monkeypatch.setitem(registry.KINDS, "odd", ("runner.models.gpt.spec:Odd", "runner.models.odd:Odd"))
    with pytest.raises(UserError, match=r"registry\.py names runner\.models\.gpt\.spec:Odd: .*no attribute 'Odd'"):
        registry.spec_of({"kind": "odd"}, "here")
    with pytest.raises(UserError, match=r"registry\.py names runner\.models\.odd:Odd: No module named"):
        registry.network("odd")
