"""The smallest width that does."""

import numpy as np
import pytest

from analysis.study.capacity import smallest

FOUND = {
    (1, 1.0): [0.99, 0.94], (1, 2.0): [0.99, 0.99], (1, 4.0): [1.0, 1.0],
    (2, 1.0): [0.96, 0.20], (2, 2.0): [0.50, 0.90], (2, 4.0): [0.97, 0.99],
    (4, 1.0): [0.10, 0.10], (4, 2.0): [0.20, 0.20], (4, 4.0): [0.30, 0.99],
}  # fmt: skip


def test_the_smallest_value_that_reaches_the_bar_and_stays_above_it():
    found = smallest(FOUND, 0.95)
    assert {count: list(2**values) for count, values in found.at.items()} == {1: [1, 2], 2: [4, 4], 4: [8, 4]}
    assert found.missed == {1: 0, 2: 0, 4: 1}, "and none counts as twice the largest"
    assert found.slope.values == pytest.approx((1.5, 0.5))
    assert found.crossed.tolist() == [True, True]


def test_a_slope_may_be_made_of_the_ends_of_what_was_tried():
    ends = {(1, 1.0): [1.0, 1.0], (1, 2.0): [1.0, 1.0], (2, 1.0): [0.3, 1.0], (2, 2.0): [0.3, 1.0]}
    found = smallest(ends, 0.95)
    assert found.slope.values == pytest.approx((2, 0))
    assert found.slope.values[1] == 0, "where nothing changes it is nought to the last digit"
    assert found.crossed.tolist() == [False, False]


def test_the_order_of_the_keys_does_not_matter():
    turned = dict(reversed(FOUND.items()))
    for count, values in smallest(turned, 0.95).at.items():
        assert np.array_equal(values, smallest(FOUND, 0.95).at[count])
