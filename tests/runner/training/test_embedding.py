from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runner.data import dataset
from runner.errors import UserError
from runner.evidence import checkpoint, log
from runner.models import registry
from runner.plan.plan import Plan
from runner.plan.spec import as_dict, from_dict
from tests.conftest import train_here


def test_a_run_that_is_asked_leaves_its_embedding_beside_the_same_numbers(tiny: Plan, trained: Path, tmp_path: Path):
    plan = replace(tiny, placement={"embedding": True})
    assert train_here(plan, tmp_path / "asked") == "finished"
    assert train_here(tiny, tmp_path / "not") == "finished"
    asked, other = (log.read_run(tiny.folder(tmp_path / name)) for name in ("asked", "not"))
    assert asked.metrics().equals(other.metrics())
    assert "embedding.parquet" in asked.manifest["files"]
    assert "embedding.parquet" not in other.manifest["files"]
    assert other.embedding().num_rows == 0
    log.check(asked)
    frame = asked.embedding().to_pandas()
    weights = checkpoint.weights(asked.path / "checkpoint", asked.manifest["identity"])["model.token"].numpy()
    assert np.array_equal(np.stack(frame.vector), weights.astype(np.float16))
    tokens = dataset.load(plan.spec.data)
    start, stop = plan.spec.data.train
    assert frame.times.tolist() == np.bincount(tokens.ids[start:stop], minlength=tokens.vocabulary).tolist()
    assert "".join(frame.text) == tokens.codec.decode(np.arange(tokens.vocabulary))


def test_a_kind_without_an_embedding_is_refused_before_it_is_trained(tiny: Plan, tmp_path: Path, monkeypatch):
    monkeypatch.setitem(registry.KINDS, "toy", ("tests.toy:ToySpec", "tests.toy:Toy"))
    spec = from_dict(as_dict(tiny.spec) | {"model": {"kind": "toy", "width": 8}}, "here")
    plan = replace(tiny, name="toy-s0", spec=spec, placement={"embedding": True})
    with pytest.raises(UserError, match="a model of kind 'toy' has no embedding of tokens to leave"):
        train_here(plan, tmp_path)
    assert not (plan.folder(tmp_path) / "manifest.json").exists()
