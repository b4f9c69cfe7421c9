import hashlib

import numpy as np
import pytest

from runner.data import dataset, order
from runner.data.spec import DataSpec
from runner.data.tasks.task import Reading

DATA = DataSpec(train=(0, 10_000), val=(1_003_854, 1_006_854))
READING = Reading(seed=3, block=32, batch=16)


def test_training_batches_are_pinned():
    """What every published run has read; the digest is of int64 inputs and targets."""
    task = dataset.task(DATA, dataset.load(DATA), READING)
    inputs, targets, weights = task.train(7, slice(None))
    assert weights is None
    assert (inputs[:, 1:] == targets[:, :-1]).all()
    assert hashlib.sha256(inputs.tobytes() + targets.tobytes()).hexdigest()[:12] == "12358848ff15"


def test_processes_read_their_rows_of_one_batch():
    task = dataset.task(DATA, dataset.load(DATA), READING)
    whole, part = task.train(2, slice(None)), task.train(2, slice(4, 8))
    assert (part.inputs_BT == whole.inputs_BT[4:8]).all()
    assert (part.targets_BU == whole.targets_BU[4:8]).all()


def test_a_batch_begins_where_the_order_says():
    tokens = dataset.load(DATA)
    inputs = dataset.task(DATA, tokens, READING).train(5, slice(None)).inputs_BT
    assert (inputs[:, 0] == tokens.ids[order.starts(3, 5, 16, (0, 10_000), 32)]).all()


def test_a_split_predicts_every_token_once():
    tokens = dataset.load(DATA)
    batches = dataset.task(DATA, tokens, READING).split("val")
    targets = np.concatenate([batch.targets_BU[batch.weights_BU > 0] for batch in batches])
    assert (targets == tokens.ids[1_003_855:1_006_854]).all()
    assert sum(batch.weights_BU.sum(dtype=float) for batch in batches) == pytest.approx(1)
