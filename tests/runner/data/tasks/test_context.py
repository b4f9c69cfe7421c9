import numpy as np
import pytest

from runner.data import dataset
from runner.data.spec import DataSpec
from runner.data.tasks.task import Reading
from runner.errors import UserError

DATA = DataSpec(train=(0, 10_000), val=(20_000, 20_300), task="context")


def test_a_context_predicts_the_token_after_it():
    windows = dataset.task(DataSpec(train=DATA.train, val=DATA.val), dataset.load(DATA), Reading(1, 10, 8))
    inputs, targets, weights = dataset.task(DATA, dataset.load(DATA), Reading(1, 10, 8)).train(3, slice(None))
    other = windows.train(3, slice(None))
    assert (inputs.shape, targets.shape, weights) == ((8, 10), (8, 1), None)
    assert (inputs == other.inputs_BT).all(), "the same places as windows of that length"
    assert (targets == other.targets_BU[:, -1:]).all()


def test_a_split_predicts_every_token_with_a_whole_context():
    tokens = dataset.load(DATA)
    batches = dataset.task(DATA, tokens, Reading(1, 10, 64)).split("val")
    assert len({batch.inputs_BT.shape for batch in batches}) == 1
    targets = np.concatenate([batch.targets_BU[batch.weights_BU > 0] for batch in batches])
    assert (targets == tokens.ids[20_010:20_300]).all()
    assert sum(batch.weights_BU.sum(dtype=float) for batch in batches) == pytest.approx(1)


def test_a_context_longer_than_a_split_is_named():
    with pytest.raises(UserError, match=r"here: block_size = 300 is longer than data\.val has \(300 tokens\)"):
        DATA.check("here", 300)
