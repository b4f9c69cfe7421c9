import numpy as np
import pytest

from runner.data import dataset
from runner.data.spec import DataSpec
from runner.errors import UserError


def test_the_characters_of_tiny_shakespeare():
    tokens = dataset.load(DataSpec())
    assert tokens.vocabulary == 65
    assert tokens.ids.shape == (1_115_394,)
    assert tokens.codec.decode(tokens.ids[:14]) == "First Citizen:"
    assert (tokens.codec.encode("First Citizen:") == tokens.ids[:14]).all()


def test_a_split_beyond_the_data_is_named():
    with pytest.raises(UserError, match=r"data\.val ends at 1115395, but tiny-shakespeare has 1115394 tokens"):
        dataset.load(DataSpec(val=(0, 1_115_395)))


def test_strange_characters_are_named():
    with pytest.raises(UserError, match="'ß'"):
        dataset.load(DataSpec()).codec.encode("Straße")


def test_starts_depend_on_seed_and_step_alone():
    first = dataset.starts(3, 7, 64, (100, 10_000), 32)
    dataset.starts(3, 8, 64, (100, 10_000), 32)
    assert (first == dataset.starts(3, 7, 64, (100, 10_000), 32)).all()
    assert (first[:16] == dataset.starts(3, 7, 16, (100, 10_000), 32)).all()
    for other in (
        dataset.starts(3, 8, 64, (100, 10_000), 32),
        dataset.starts(4, 7, 64, (100, 10_000), 32),
        dataset.starts(3, 7, 64, (100, 10_000), 32, dataset.EVAL_STREAM),
    ):
        assert (first != other).any()


def test_starts_are_pinned():
    """Philox is defined, not versioned: these numbers hold for every library."""
    assert dataset.starts(0, 0, 4, (0, 1_003_854), 256).tolist() == [11588, 242418, 111826, 566445]


def test_starts_cover_their_span_evenly_and_stay_inside():
    found = np.concatenate([dataset.starts(0, step, 1000, (10, 40), 5) for step in range(100)])
    assert (found.min(), found.max()) == (10, 34), "the last window's last target is the split's last token"
    counts = np.bincount(found - 10)
    assert counts.max() / counts.min() < 1.15


@pytest.mark.parametrize(("span", "block"), [((0, 101), 10), ((7, 110), 10), ((0, 11), 10), ((5, 24), 9)])
def test_windows_predict_every_token_once(span, block):
    starts, skip = dataset.windows(span, block)
    targets = [s + i + 1 for s, k in zip(starts, skip, strict=True) for i in range(block) if i >= k]
    assert sorted(targets) == list(range(span[0] + 1, span[1]))
    assert starts.min() >= span[0]
    assert (starts + block).max() < span[1]


def test_windows_are_spread_evenly():
    assert dataset.spread(10, 3).tolist() == [0, 3, 6]
    assert dataset.spread(4, 9).tolist() == [0, 1, 2, 3], "never more than there are"
