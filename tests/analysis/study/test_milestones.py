import numpy as np
import pandas as pd

from analysis.study import arms, milestones
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
