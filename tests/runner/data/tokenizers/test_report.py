import pytest

from runner.data.tokenizers.characters import Characters
from runner.data.tokenizers.report import report
from runner.data.tokenizers.sentencepiece import SentencePiece, SentencePieceSpec
from runner.data.tokenizers.tokenizer import Source
from runner.data.tokenizers.wordpiece import WordPiece


def test_characters_spell_all_they_know():
    found = report(Characters("abcé "), {"train": ["ab ", "é"], "val": ["aaaa"]})
    assert found.vocabulary == 5
    assert found.longest[0] == "é"
    train, val = found.splits["train"], found.splits["val"]
    assert (train.tokens, train.characters, train.bytes, train.round_trip) == (4, 4, 5, True)
    assert (train.coverage, train.fallback, train.uncovered) == (1, 0, {})
    assert train.bytes_per_token == 1.25
    assert (train.used, val.used) == (4 / 5, 1 / 5)
    assert val.longest == {"a": 4}


def test_what_is_spelled_in_bytes_is_counted():
    text = "the cat and the hat and the bat\n" * 50
    codec = SentencePiece.of(Source("", text, SentencePieceSpec(vocabulary=275)))
    split = report(codec, {"val": ["the cat é\n"]}).splits["val"]
    assert split.round_trip
    assert split.uncovered == {"é": 1, "\n": 1}
    assert split.coverage == pytest.approx(8 / 10)
    assert split.fallback == pytest.approx(3 / split.tokens)
    assert " the" in report(codec, {}).longest or "the" in report(codec, {}).longest


def test_what_is_lost_is_said():
    split = report(WordPiece(), {"val": ["Hello world 🙂"]}).splits["val"]
    assert not split.round_trip
    assert split.uncovered == {" ": 2, "🙂": 1}
    assert split.fallback == pytest.approx(1 / 3)
