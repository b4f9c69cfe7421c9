import numpy as np
import pytest

from runner.data import order


def test_starts_depend_on_seed_and_step_alone():
    first = order.starts(3, 7, 64, (100, 10_000), 32)
    order.starts(3, 8, 64, (100, 10_000), 32)
    assert (first == order.starts(3, 7, 64, (100, 10_000), 32)).all()
    assert (first[:16] == order.starts(3, 7, 16, (100, 10_000), 32)).all()
    for other in (
        order.starts(3, 8, 64, (100, 10_000), 32),
        order.starts(4, 7, 64, (100, 10_000), 32),
        order.starts(3, 7, 64, (100, 10_000), 32, order.EVAL_STREAM),
    ):
        assert (first != other).any()


def test_starts_are_pinned():
    """Philox is defined, not versioned: these numbers hold for every library."""
    assert order.starts(0, 0, 4, (0, 1_003_854), 256).tolist() == [11588, 242418, 111826, 566445]


def test_starts_cover_their_span_evenly_and_stay_inside():
    found = np.concatenate([order.starts(0, step, 1000, (10, 40), 5) for step in range(100)])
    assert (found.min(), found.max()) == (10, 34), "the last window's last target is the split's last token"
    counts = np.bincount(found - 10)
    assert counts.max() / counts.min() < 1.15


@pytest.mark.parametrize(("span", "block"), [((0, 101), 10), ((7, 110), 10), ((0, 11), 10), ((5, 24), 9)])
def test_windows_predict_every_token_once(span, block):
    starts, skip = order.windows(span, block)
    targets = [s + i + 1 for s, k in zip(starts, skip, strict=True) for i in range(block) if i >= k]
    assert sorted(targets) == list(range(span[0] + 1, span[1]))
    assert starts.min() >= span[0]
    assert (starts + block).max() < span[1]


@pytest.mark.parametrize("stride", [1, 3, 4, 9, 10])
@pytest.mark.parametrize("span", [(0, 101), (7, 110), (0, 11), (5, 24)])
def test_overlapping_windows_predict_every_token_once(span, stride):
    starts, skip = order.windows(span, 10, stride)
    targets = [s + i + 1 for s, k in zip(starts, skip, strict=True) for i in range(10) if i >= k]
    assert targets == list(range(span[0] + 1, span[1]))
    assert (skip[1:] >= 10 - stride).all()
    assert (starts + 10).max() == span[1] - 1


def test_windows_are_spread_evenly():
    assert order.spread(10, 3).tolist() == [0, 3, 6]
    assert order.spread(4, 9).tolist() == [0, 1, 2, 3], "never more than there are"


def test_a_shuffled_order_is_pinned_and_has_every_number():
    assert order.shuffled(10, 0, 5).tolist() == [7, 3, 4, 1, 9, 6, 5, 8, 0, 2]
    assert sorted(order.shuffled(1000, 3, 5).tolist()) == list(range(1000))
    assert (order.shuffled(1000, 3, 5) != order.shuffled(1000, 4, 5)).any()
