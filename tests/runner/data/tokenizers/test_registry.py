"""What every tokenizer promises."""

import numpy as np
import pytest

from runner.data.tokenizers.registry import TOKENIZERS
from runner.data.tokenizers.sentencepiece import SentencePieceSpec
from runner.data.tokenizers.tokenizer import Source, Tokenizer

TEXT = "\n".join(f"The {a} {b} said: naïve café — 東京, 🙂!  No.\t{i}\n" for i, (a, b) in enumerate(
    [("old", "king"), ("young", "queen"), ("old", "queen"), ("young", "king"), ("kind", "fool")] * 20
))  # fmt: skip
SETTINGS = {"sentencepiece": SentencePieceSpec(vocabulary=310, coverage=0.99)}


@pytest.fixture(params=TOKENIZERS)
def codec(request: pytest.FixtureRequest) -> Tokenizer:
    """Each of them, made for a small text."""
    return TOKENIZERS[request.param].of(Source(TEXT, TEXT, SETTINGS.get(request.param)))


def test_ids_are_small_numbers_within_the_vocabulary(codec: Tokenizer):
    ids = codec.encode(TEXT)
    assert ids.dtype in (np.uint8, np.uint16)
    assert ids.ndim == 1
    assert ids.max() < codec.vocabulary
    assert codec.encode("").shape == (0,)


def test_text_comes_back_and_its_bytes_add_up(codec: Tokenizer):
    ids = codec.encode(TEXT)
    assert codec.sizes().shape == (codec.vocabulary,)
    if codec.lossless:
        assert codec.decode(ids) == TEXT
        assert codec.sizes()[ids].sum() == len(TEXT.encode())
    else:
        assert "the old king said : naive cafe" in codec.decode(ids)


def test_an_end_is_no_text_and_a_prompt_is(codec: Tokenizer):
    if codec.end is not None:
        assert codec.end < codec.vocabulary
        assert codec.sizes()[codec.end] == 0
        assert codec.end not in codec.encode(TEXT)
        assert codec.end not in codec.encode("<|endoftext|></s>")
    prompt = codec.encode(codec.prompt)
    assert len(prompt) >= 1
    assert (codec.sizes()[prompt] > 0).all()


def test_what_spells_the_rest_is_known(codec: Tokenizer):
    fallback = codec.fallback()
    assert (fallback.shape, fallback.dtype) == ((codec.vocabulary,), bool)
    assert not fallback[codec.encode("The old king said")].any()
