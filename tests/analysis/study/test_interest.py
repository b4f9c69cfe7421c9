import math

import pytest

from analysis.study import arms, interest
from analysis.study.results import Results
from tests.analysis import fake


@pytest.fixture
def sweep(tmp_path):
    fake.write_logs(tmp_path, seeds=2, ratios=(1, 4))
    return arms.read(tmp_path, "mlp-ratio", "laptop", arms.setting("model.mlp_ratio"))


def test_it_is_one_difference_in_every_unit(sweep):
    """A token of two bytes carries twice the nats; a bit is ln 2 nats."""
    assert sweep.manifest["corpus"]["bytes_per_token"] == {"train": 1.0, "val": 2.0, "test": 1.0}
    assert interest.smallest(sweep, "test") == interest.SMALLEST
    assert interest.smallest(sweep) == 2 * interest.SMALLEST
    assert interest.smallest(sweep, bits=True) == interest.SMALLEST / math.log(2)


def test_its_reasons_come_from_the_experiment(sweep, tmp_path):
    curve = sweep.curves()[4.0]
    assert interest.scatter(sweep, 4.0) == pytest.approx(curve.min().std(ddof=1))
    share, path = interest.price(sweep, 4.0), curve.mean(axis=1)
    path = path[path.index <= path.idxmin()]
    reached = (1 - share) * path.index[-1]
    assert path[path.index <= reached].min() >= path.min() + interest.smallest(sweep) > path[path.index > reached].max()
    results = Results(tmp_path / "out")
    interest.report(results, sweep, 4.0, "nats", prefix="x-")
    numbers = results.as_dict()["numbers"]
    assert numbers["x-interest"]["value"] == interest.smallest(sweep)
    assert numbers["x-interest-price"]["value"] == pytest.approx(100 * share)
    assert numbers["x-interest-sigmas"]["value"] == pytest.approx(
        interest.smallest(sweep) / interest.scatter(sweep, 4.0)
    )


def test_a_loss_that_hardly_falls_has_no_price(sweep):
    flat = 0.1 * interest.SMALLEST * (sweep.rows.loss - sweep.rows.loss.min())
    sweep.rows["loss"] = 2.0 + flat / flat.max() * 0.5 * interest.SMALLEST
    assert interest.price(sweep, 4.0) is None
