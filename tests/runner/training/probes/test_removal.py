from dataclasses import replace

import pytest
import torch

from runner.evidence import log
from runner.models.taps import listening, tap
from runner.plan.spec import as_dict, from_dict
from runner.training.probes import removal
from runner.training.probes.probe import Removed, Removing, Squaring
from tests.conftest import train_here


def test_units_are_ranked_by_their_mean_square_over_all_batches():
    hear = Squaring()
    for batch in ([[1.0, 0.0, 2.0]], [[1.0, 3.0, 0.0]]):
        with listening(hear, {Removed.tap}):
            for layer in (0, 1, 0):  # the first one is run twice
                tap("mlp.hidden", layer, torch.tensor(batch))
            tap("residual", 0, torch.ones(1, 2))
    assert [square_F.tolist() for square_F in hear.sums] == [[4.0, 18.0, 8.0], [2.0, 9.0, 4.0]]
    assert removal.least_active(hear.sums[0]).tolist() == [0, 2, 1]
    assert removal.least_active(torch.zeros(3)).tolist() == [0, 1, 2], "of equal ones the first"


def test_units_are_removed_layer_by_layer_in_every_batch():
    hear = Removing([torch.tensor([0]), torch.tensor([1, 2])])
    for _ in range(2):
        first, second = torch.ones(2, 3), torch.ones(2, 3)
        with listening(hear, {Removed.tap}):
            tap("mlp.hidden", 0, first)
            tap("residual", 0, torch.ones(2, 3))
            tap("mlp.hidden", 1, second)
        assert first.tolist() == [[0, 1, 1]] * 2
        assert second.tolist() == [[1, 0, 0]] * 2


SMALL = {"kind": "megabyte", "patch": 4, "width": 16, "global_layers": 1, "local_layers": 1, "block_size": 32}


@pytest.mark.parametrize("model", [{}, SMALL], ids=["gpt", "megabyte"])
def test_a_run_ends_with_its_losses_without_some_units(tiny, tmp_path, model):
    plain = as_dict(tiny.spec)
    if model:
        plain |= {"model": model}
    spec = from_dict(plain | {"eval": {"every": 30, "probes": ["removal"]}}, "here")
    assert train_here(replace(tiny, spec=spec), tmp_path) == "finished"
    run = log.read_run(tiny.folder(tmp_path))
    found = run.probes().to_pandas()
    assert set(found.step) == {30}
    assert set(found.split) == {"val", "test"}
    assert found.layer.isna().all()
    val = found.query("split == 'val'")
    assert list(val["index"]) == [10, 25, 50, 75]
    whole = run.metrics().to_pandas().query("split == 'val' and step == 30").loss.item()
    assert val.value.nunique() == 4
    assert abs(val.value.iloc[0] - whole) < abs(val.value.iloc[-1] - whole)


def test_without_a_listener_nothing_is_removed():
    with listening(Removing([torch.tensor([0])]), {Removed.tap}):
        pass
    h_NF = torch.ones(1, 2)
    tap("mlp.hidden", 0, h_NF)
    assert h_NF.tolist() == [[1, 1]]
