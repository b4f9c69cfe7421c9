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
