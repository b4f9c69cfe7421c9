import math

import numpy as np
import pandas as pd
import pytest

from analysis.study import arms, milestones
from runner.evidence import log
from tests.analysis import fake


def test_milestones_of_each_run(tmp_path):
    fake.write_logs(tmp_path, seeds=2, ratios=(1, 4))
    sweep = arms.read(tmp_path, "mlp-ratio", "laptop", arms.setting("model.mlp_ratio"))
    found = milestones.of(sweep)
    run = found.loc[(4, 1)]
    path = sweep.losses(4, 1)
    assert (run.best, run.onset, run.final, run["last"]) == (path.min(), path.idxmin(), path[1500], 1500)
    assert run.gap == run.final - run.best > 0
    assert run.held_out == sweep.losses(4, 1, "test")[run.onset]
    assert run.train_end == sweep.losses(4, 1, "train")[1500]
    level = milestones.reachable(sweep)
    assert level == max(sweep.losses(arm, seed, "train").min() for arm in sweep for seed in sweep.seeds)
    steps = milestones.reached(sweep, level)
    assert list(steps.index) == list(found.index)
    assert steps[4, 0] < steps[1, 0] <= 1500


def test_a_best_at_the_start_counts_as_half_an_interval():
    assert list(milestones.doublings(pd.Series([0, 64.0]), 4)) == [1, np.log2(64)]


STEPS = np.arange(0, 1001, 25)


def curve(onset: float, noise: float = 0.0, seed: int = 0) -> pd.Series:
    """A parabola in log2 of the step around its onset, with noise a value."""
    x = np.log2(np.maximum(STEPS, 12) / onset)
    draws = np.random.default_rng(seed).normal(size=len(STEPS))
    return pd.Series(2.4 + 0.15 * x**2 + noise * draws, index=STEPS)


def test_a_minimum_between_evaluations_is_found():
    for method in (milestones.fitted, milestones.smoothed):
        assert method(curve(390)).step == pytest.approx(390, rel=0.01)
    assert milestones.lowest(curve(390)).step == 400
    assert milestones.fitted(curve(390)).error == pytest.approx(0, abs=1e-6)


def test_its_error_is_how_far_it_strays():
    """Over many curves it scatters by what it says of itself, and by less than the lowest evaluation does."""
    curves = [curve(390, 0.01, seed) for seed in range(200)]
    found = [milestones.fitted(one) for one in curves]
    strays = np.std([math.log2(one.step / 390) for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(strays, rel=0.25)
    assert strays < 0.6 * np.std([math.log2(milestones.lowest(one).step / 390) for one in curves])


def test_what_cannot_be_fitted_is_the_lowest_evaluation():
    falling = pd.Series(np.linspace(3, 2, len(STEPS)), index=STEPS)
    assert milestones.fitted(falling).step == 1000
    few = pd.Series([4.0, 2.0, 3.0], index=[0, 50, 100])
    assert milestones.fitted(few).step == 50
    assert math.isnan(milestones.fitted(few).error)


def test_onsets_of_each_run_by_every_method(tmp_path):
    fake.write_logs(tmp_path, seeds=2, ratios=(1, 4))
    sweep = arms.read(tmp_path, "mlp-ratio", "laptop", arms.setting("model.mlp_ratio"))
    raw = milestones.of(sweep).onset
    for method in milestones.METHODS.values():
        found = milestones.onsets(sweep, method)
        assert list(found.index) == list(raw.index)
        assert np.allclose(found.step, raw, rtol=0.3)


def test_what_a_run_observed_of_itself(tmp_path):
    """The largest gradient after a fifth of the steps over the median one, and the largest logit of the last step."""
    folder = fake.write_run(tmp_path, 4, 0)
    norms = {0: 90.0, 300: 1.0, 600: 5.0, 900: 2.0, 1500: 2.0}
    rows = [{"step": step, "split": "batch", "loss": 1.0, "grad_norm": norm} for step, norm in norms.items()]
    log.write(folder / "metrics.parquet", log.table(rows, log.METRICS))
    seen = [
        {"step": step, "split": split, "probe": "attention_logit", "layer": layer, "value": value}
        for step, split, layer, value in (
            (0, "val", 0, 9.0),
            (10, "val", 0, 3.0),
            (10, "val", 1, 4.0),
            (10, "test", 0, 8.0),
        )
    ]
    run = log.read_run(folder)
    assert run is not None
    run.attach("probes.parquet", log.table(seen, log.PROBES))
    assert milestones.spike(run) == 2.5
    assert milestones.largest_logit(run) == 4.0
