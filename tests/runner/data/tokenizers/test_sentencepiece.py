from pathlib import Path

import pytest

from runner.data import corpora
from runner.data.tokenizers import sentencepiece
from runner.data.tokenizers.sentencepiece import SentencePiece, SentencePieceSpec
from runner.data.tokenizers.tokenizer import Source
from runner.errors import UserError


@pytest.fixture(scope="module")
def play() -> str:
    """The first part of tiny Shakespeare."""
    return corpora.text("tiny-shakespeare")[:100_000]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))
    return tmp_path / "sentencepiece"


def test_a_model_is_the_same_whenever_it_is_trained_and_kept(cache: Path, play: str, monkeypatch: pytest.MonkeyPatch):
    source = Source("", play, SentencePieceSpec(vocabulary=600))
    first = SentencePiece.of(source)
    assert first.vocabulary == 600
    assert sentencepiece._learnt(play, source.settings) == first.model
    (kept,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(sentencepiece, "_train", lambda *_: pytest.fail("trained again"))
        assert SentencePiece.of(source).model == first.model
    kept.write_bytes(b"damaged")
    assert SentencePiece.of(source).model == first.model
    assert [path.name for path in cache.iterdir()] == [kept.name]


def test_it_learns_from_the_training_split_alone_unless_told_to_leak(cache: Path, play: str):
    made = {
        leaky: SentencePiece.of(Source("Zyxel, Zyxel! " * 500 + play, play, SentencePieceSpec(600, leaky=leaky)))
        for leaky in (False, True)
    }
    pieces = {leaky: {codec.piece(i) for i in range(600)} for leaky, codec in made.items()}
    assert b" Zyxel" not in pieces[False]
    assert b" Zyxel" in pieces[True]
    assert len(list(cache.iterdir())) == 2


def test_a_vocabulary_out_of_reach_names_the_largest_that_is_not(cache: Path, play: str):
    most = sentencepiece.largest(play, SentencePieceSpec())
    message = rf"vocabulary = 20000 cannot be reached: the text to learn from gives {most} at most; set it to that or"
    with pytest.raises(UserError, match=message):
        SentencePiece.of(Source("", play, SentencePieceSpec(vocabulary=20_000)))
    assert [path.suffix for path in cache.iterdir()] == [".limit"], "the limit is kept, and no model"
    assert SentencePiece.of(Source("", play, SentencePieceSpec(vocabulary=most))).vocabulary == most


def test_the_largest_vocabulary_is_kept(cache: Path, play: str, monkeypatch: pytest.MonkeyPatch):
    most = sentencepiece.largest(play, SentencePieceSpec())
    (kept,) = cache.iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(sentencepiece, "_train", lambda *_: pytest.fail("trained again"))
        assert sentencepiece.largest(play, SentencePieceSpec()) == most
    assert sentencepiece.largest(play[:20_000], SentencePieceSpec()) < most
    kept.write_bytes(b"1")
    assert sentencepiece.largest(play, SentencePieceSpec()) == most


def test_a_vocabulary_too_small_for_the_characters_is_named(cache: Path, play: str):
    with pytest.raises(UserError, match=r"vocabulary = 270 is too small: bytes, marks and characters alone take 31\d"):
        SentencePiece.of(Source("", play, SentencePieceSpec(vocabulary=270)))


def test_pieces_are_no_longer_than_told_and_no_text_is_too_short_a_message(cache: Path, play: str):
    codec = SentencePiece.of(Source("", play, SentencePieceSpec(vocabulary=1000, max_piece=4)))
    assert max(len(codec.processor.id_to_piece(i)) for i in range(259, 1000)) == 4
    with pytest.raises(UserError, match="sentencepiece learns nothing from this text"):
        SentencePiece.of(Source("", "", SentencePieceSpec()))
    with pytest.raises(UserError, match=r"\(U\+2581\), which sentencepiece keeps for spaces"):
        codec.encode("a▁b")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (SentencePieceSpec(vocabulary=259), "vocabulary = 259 must be from 260 to 65536"),
        (SentencePieceSpec(coverage=0.5), "coverage = 0.5 must be from 0.9 to 1"),
        (SentencePieceSpec(max_piece=0), "max_piece = 0 must be from 1 to 512"),
    ],
)
def test_bad_settings_are_named(settings: SentencePieceSpec, message: str):
    with pytest.raises(UserError, match=f"here: data.sentencepiece.{message}"):
        settings.check("here")
