from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from analysis.study import arms, units


def sweep(seen: list[dict], ends: float = 2.0) -> SimpleNamespace:
    """One arm with two seeds whose probes saw the same."""
    run = SimpleNamespace(name="wide-s0", probes=lambda: pa.Table.from_pylist(seen))
    losses = pd.Series({0: ends, 1: ends + 1})
    return SimpleNamespace(kept={"wide": {0: run, 1: run}}, seeds=[0, 1], ends=lambda split: {"wide": losses})


def row(step: int, probe: str, value: float, layer=None, index=None, split="batch") -> dict:
    return {"step": step, "split": split, "probe": probe, "layer": layer, "index": index, "value": value}


def test_layers_are_read_at_the_last_step():
    seen = [row(step, "active_units", step + layer, layer) for step in (0, 10) for layer in (0, 1)]
    found = units.by_layer(sweep(seen), "active_units", of=["wide"])
    assert found["wide"].tolist() == [[10, 11], [10, 11]]
    assert units.mean_of_layers(found)["wide"].mean == 10.5
    with pytest.raises(arms.Incomplete, match="wide-s0: nothing of the probe dead_units"):
        units.by_layer(sweep(seen), "dead_units")


def test_a_removal_costs_what_the_loss_rises_by():
    seen = [row(10, "removal", 2.5, index=50, split=split) for split in ("val", "test")]
    assert units.removed(sweep(seen), "removal")["wide"][50].tolist() == pytest.approx([0.5, -0.5])


def test_doublings_for_each_doubling():
    found = units.per_doubling({1.0: np.array([3.0, 5.0]), 4.0: np.array([6.0, 20.0])})
    assert found.values == pytest.approx((0.5, 1.0))


def test_a_price_makes_a_narrower_one_the_cheapest():
    losses = {1.0: np.array([2.2, 2.2]), 2.0: np.array([2.1, 2.15]), 4.0: np.array([2.05, 2.12])}
    assert units.cheapest(losses, 0.0).tolist() == [4, 4]
    assert units.cheapest(losses, 0.03).tolist() == [2, 2]
    assert units.cheapest(losses, 0.07).tolist() == [2, 1]
