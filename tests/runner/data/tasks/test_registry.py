"""What every task promises."""

import numpy as np
import pytest

from runner.data import dataset
from runner.data.spec import DataSpec
from runner.data.tasks.registry import TASKS
from runner.data.tasks.task import Reading, Task

SPANS = {"train": (0, 5000), "val": (5000, 5500), "test": (6000, 6400)}
SPECS = {name: DataSpec(**SPANS, task=name) for name in TASKS} | {
    "arithmetic": DataSpec("none", **SPANS, task="arithmetic"),
}
READING = Reading(seed=2, block=4, batch=16)


@pytest.fixture(params=TASKS)
def task(request: pytest.FixtureRequest) -> Task:
    """Each of them, on some thousand sequences."""
    spec = SPECS[request.param]
    spec.check("here", READING.block)
    return dataset.task(spec, dataset.load(spec), READING)


def test_a_batch_depends_on_seed_and_step_alone(task: Task):
    first = task.train(3, slice(None))
    task.train(4, slice(None))
    again, other = task.train(3, slice(None)), task.train(4, slice(None))
    assert all(np.array_equal(a, b) for a, b in zip(first[:2], again[:2], strict=True))
    assert not np.array_equal(first.inputs_BT, other.inputs_BT)
    elsewhere = type(task)(task.tokens, Reading(3, READING.block, READING.batch), task.settings)
    assert not np.array_equal(first.inputs_BT, elsewhere.train(3, slice(None)).inputs_BT)


def test_processes_share_a_batch_by_rows(task: Task):
    whole = task.train(0, slice(None))
    parts = [task.train(0, slice(i, i + 4)) for i in range(0, 16, 4)]
    assert np.array_equal(np.concatenate([part.inputs_BT for part in parts]), whole.inputs_BT)
    assert np.array_equal(np.concatenate([part.targets_BU for part in parts]), whole.targets_BU)


def test_arrays_are_what_an_embedding_and_a_loss_take(task: Task):
    inputs, targets, weights = task.train(0, slice(None))
    for array in (inputs, targets):
        assert array.dtype == np.int64
        assert len(array) == READING.batch
        assert 0 <= array.min() <= array.max() < task.tokens.vocabulary
    if weights is not None:
        assert (weights.shape, weights.dtype) == (targets.shape, np.float32)
        assert weights.mean(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("mode", ["exact", "sampled"])
def test_the_batches_of_a_split_are_of_one_shape_and_weigh_one(task: Task, mode: str):
    reading = Reading(2, READING.block, READING.batch, mode, batches=3)
    batches = type(task)(task.tokens, reading, task.settings).split("val")
    assert len({(batch.inputs_BT.shape, batch.targets_BU.shape) for batch in batches}) == 1
    assert all(batch.weights_BU.shape == batch.targets_BU.shape for batch in batches)
    assert sum(batch.weights_BU.sum(dtype=float) for batch in batches) == pytest.approx(1)
    assert mode == "exact" or sum(batch.weights_BU.any(axis=1).sum() for batch in batches) == 3 * READING.batch


@pytest.mark.parametrize("mode", ["exact", "sampled"])
def test_short_sequences_are_evaluated_many_at_once(task: Task, mode: str, monkeypatch):
    found = []
    for tokens in (1, 24 * READING.block, 10**9):
        monkeypatch.setattr(type(task), "at_once", tokens)
        reading = Reading(2, READING.block, READING.batch, mode, batches=3)
        batches = type(task)(task.tokens, reading, task.settings).split("val")
        if tokens < 10**9:
            assert {len(batch.inputs_BT) for batch in batches} == {max(READING.batch, tokens // READING.block)}
        else:
            assert len(batches) == 1, "never more than there are"
        parts = [(batch.inputs_BT, batch.weights_BU) for batch in batches]
        inputs, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
        counted = weights.any(axis=1)
        found.append((inputs[counted], weights[counted]))
    for others in found[1:]:
        assert all(map(np.array_equal, found[0], others)), "the same sequences, with the same weights"


def test_a_part_of_the_training_split_can_stand_for_it(task: Task):
    reading = Reading(2, READING.block, READING.batch, train_tokens=100)
    batches = type(task)(task.tokens, reading, task.settings).split("train")
    assert 100 <= sum((batch.weights_BU > 0).sum() for batch in batches) < 100 + READING.block
