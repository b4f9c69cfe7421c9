import numpy as np
import pytest

from runner.data.tokenizers.characters import Characters
from runner.data.tokenizers.tokenizer import Source
from runner.errors import UserError


def test_the_alphabet_is_that_of_the_corpus_in_order():
    codec = Characters.of(Source("hello, ß!", ""))
    assert codec.alphabet == " !,ehloß"
    assert codec.encode("ell").tolist() == [3, 5, 5]
    assert codec.encode("ell").dtype == np.uint8
    assert codec.decode(codec.encode("hello")) == "hello"
    assert codec.sizes().tolist() == [1] * 7 + [2]


def test_strange_characters_are_named():
    with pytest.raises(UserError, match="the model does not know the characters 'x' 'y': its alphabet is 'abz'"):
        Characters("abz").encode("axby")


def test_a_large_alphabet_needs_wider_ids():
    assert Characters("".join(map(chr, range(1000)))).encode(chr(999)).tolist() == [999]
