"""Shapes of a family, from their runs."""

import pytest

from analysis.study import arms, shapes
from tests.analysis import fake


@pytest.fixture
def family(tmp_path):
    fake.write_logs(tmp_path, seeds=2, ratios=(1, 4, 5))
    return shapes.Shapes(arms.read(tmp_path, "mlp-ratio", "laptop"))


def test_a_shape_says_what_it_has_and_costs(family):
    assert list(family.by_ratio) == [1, 4, 5]
    four = family.by_ratio[4]
    assert (four.model.d_model, four.d_ff, four.rate, four.steps) == (64, 256, 3e-3, 1000)
    assert four.matrices == 2 * (4 * 64**2 + 2 * 64 * 256)
    assert four.cost.work() > family.by_ratio[1].cost.work()


def test_each_ratio_is_judged_at_its_best_rate(family):
    assert family.rates == [3e-3]
    tuned = family.tuned("test")
    assert tuned.rates == dict.fromkeys([1, 4, 5], 3e-3)
    assert list(tuned.losses[4]) == [fake.loss("test", 1500, 4, seed) for seed in (0, 1)]
    assert tuned.edge == [], "one rate is no edge"


def test_ratios_are_written_short():
    assert [shapes.name(r) for r in (2 / 3, 1.8375, 4.0, 416 / 48)] == ["0.67", "1.84", "4", "8.67"]
    assert shapes.shown(416 / 48) == 8.67
    assert shapes.named([2 / 3, 4]) == "0.67, 4"
