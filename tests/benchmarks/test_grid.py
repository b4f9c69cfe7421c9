import pytest
import torch

from benchmarks import grid
from runner.plan import experiment

PLANS = experiment.load("tasks").plans("smoke")


@pytest.mark.parametrize(("low", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.02)])
def test_stacked_runs_train_as_plain_ones(low, tolerance):
    for job in grid.jobs(PLANS, "stacked"):
        stacked, plain = grid.stacked(job, low), [grid.plain([plan]) for plan in job]
        for number in range(20):
            assert stacked(number) == pytest.approx([step(number) for step in plain], abs=tolerance)


def test_every_run_is_in_one_job():
    for way in grid.WAYS:
        names = [plan.name for job in grid.jobs(PLANS, way) for plan in job]
        assert sorted(names) == sorted(plan.name for plan in PLANS)
        assert all(len({plan.spec.model.mlp_ratio for plan in job}) == 1 for job in grid.jobs(PLANS, way))


def test_a_worker_takes_the_next_job_when_it_is_free():
    assert grid.end([5.0, 3.0, 1.0, 2.0], 2) == 6.0
    assert grid.end([5.0, 3.0, 1.0, 2.0], 1) == 11.0
