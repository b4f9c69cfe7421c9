import numpy as np
import pytest

from runner.data import dataset
from runner.data.spec import DataSpec
from runner.data.tasks.arithmetic import ArithmeticSpec
from runner.data.tasks.task import Reading
from runner.errors import UserError

THREE = ArithmeticSpec(functions=3, modulus=13)
DATA = DataSpec("none", (0, 100), (100, 150), (150, 169), task="arithmetic", arithmetic=THREE)
READING = Reading(seed=1, block=4, batch=32)


def answers(inputs: np.ndarray) -> np.ndarray:
    """What the last token should be, by the definition."""
    a, b = THREE.coefficients[inputs[:, 0] - 13].T
    return (a * inputs[:, 1] + b * inputs[:, 2]) % 13


def test_only_the_answer_counts_and_it_is_right():
    inputs, targets, weights = dataset.task(DATA, dataset.load(DATA), READING).train(0, slice(None))
    assert (inputs[:, 3] == 16).all()
    assert (targets[:, -1] == answers(inputs)).all()
    assert weights.tolist() == [[0, 0, 0, 4]] * 32
    assert set(inputs[:, 0]) == {13, 14, 15}


def test_splits_share_no_pair_and_each_pair_comes_with_every_function():
    task, seen = dataset.task(DATA, dataset.load(DATA), READING), {}
    for name, count in (("train", 100), ("val", 50), ("test", 19)):
        batches = task.split(name)
        rows = np.concatenate([batch.inputs_BT[batch.weights_BU[:, -1] > 0] for batch in batches])
        seen[name] = {(x, y) for _, x, y, _ in rows.tolist()}
        assert len(rows) == 3 * count
        assert len({tuple(row) for row in rows.tolist()}) == 3 * count
        assert sum(batch.weights_BU.sum(dtype=float) for batch in batches) == pytest.approx(1)
    assert len(set.union(*seen.values())) == 169 == sum(map(len, seen.values()))


def test_training_draws_from_its_split_alone_and_from_all_of_it():
    task = dataset.task(DATA, dataset.load(DATA), READING)
    drawn = {tuple(row) for step in range(100) for row in task.train(step, slice(None)).inputs_BT.tolist()}
    known = {tuple(row) for batch in task.split("train") for row in batch.inputs_BT.tolist()}
    assert drawn == known


def test_functions_are_the_same_however_many_there_are_and_share_no_coefficient():
    eight = ArithmeticSpec(functions=8).coefficients
    assert (ArithmeticSpec(functions=3).coefficients == eight[:3]).all()
    assert len(set(eight[:, 0])) == len(set(eight[:, 1])) == 8
    assert (eight[:, 0] != eight[:, 1]).all()
    assert eight.min() >= 1
    assert (ArithmeticSpec(functions=8, draw=1).coefficients != eight).any()


def test_words_come_back():
    codec = dataset.load(DATA).codec
    assert codec.decode(codec.encode("f2 3 12 = 0")) == "f2 3 12 = 0"
    with pytest.raises(UserError, match=r"'13' is no word of modular arithmetic: write such as 'f0 1 2 ='"):
        codec.encode("f0 13 2 =")


@pytest.mark.parametrize(
    ("more", "block", "message"),
    [
        ({"arithmetic": ArithmeticSpec(modulus=15)}, 4, "data.arithmetic.modulus = 15 must be a prime from 5 to 997"),
        ({"arithmetic": ArithmeticSpec(functions=0)}, 4, "data.arithmetic.functions = 0 must be at least 1"),
        (
            {"arithmetic": ArithmeticSpec(functions=99)},
            4,
            "data.arithmetic.functions = 99 must be at least 1 and",
        ),
        ({"arithmetic": ArithmeticSpec(draw=-1)}, 4, "data.arithmetic.draw = -1 must be at least 0"),
        ({}, 64, "block_size = 64 must be 4 for modular arithmetic"),
        (
            {"val": (100, 170), "test": None},
            4,
            "data.val ends at 170, but there are 169 pairs of numbers modulo 13: end it there",
        ),
    ],
)
def test_bad_settings_are_named(more, block, message):
    from dataclasses import replace

    with pytest.raises(UserError) as error:
        replace(DATA, **more).check("here", block)
    assert str(error.value).startswith(f"here: {message}")
