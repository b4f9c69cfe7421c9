import hashlib
from dataclasses import replace

import pytest

from runner.data import corpora, dataset
from runner.data.spec import DataSpec
from runner.data.tasks.task import Reading
from runner.data.tokenizers.sentencepiece import SentencePieceSpec
from runner.errors import UserError

SMALL = SentencePieceSpec(vocabulary=290)


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


CUT = {"train": (0, 8000), "val": (8000, 9000), "test": (9000, 9999)}


@pytest.mark.parametrize("tokenizer", ["sentencepiece", "bert-base-uncased", "gpt2", "characters"])
def test_splits_of_characters_are_the_same_text_for_every_tokenizer(tokenizer):
    spec = DataSpec(**CUT, tokenizer=tokenizer, unit="characters", sentencepiece=SentencePieceSpec(400))
    tokens, text = dataset.load(spec), corpora.text("tiny-shakespeare")
    assert list(tokens.spans) == ["train", "val", "test"]
    start, stop = tokens.spans["val"]
    assert tokens.spans["train"] == (0, start)
    assert tokens.bytes_per_token(["val"])["val"] == pytest.approx(1000 / (stop - start))
    assert dataset.texts(spec)["val"] == [text[8000:9000]]
    if tokens.codec.lossless:
        assert tokens.codec.decode(tokens.ids[start:stop]) == text[8000:9000]


@pytest.fixture
def tales(tmp_path, monkeypatch) -> str:
    """A corpus of a hundred short documents."""
    text = "".join(f"Once there was fox {i}.\n<|endoftext|>\n" for i in range(100)) + "Once there"
    digest = hashlib.sha256(text.encode()).hexdigest()
    corpus = corpora.Corpus("tales", digest, "", rebuild=lambda: text.encode(), separator="<|endoftext|>")
    monkeypatch.setitem(corpora.REGISTRY, "tales", corpus)
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))
    return "tales"


def test_splits_of_documents_are_whole_documents_each_with_its_end(tales):
    spec = DataSpec(tales, (0, 80), (80, 90), tokenizer="sentencepiece", unit="documents", sentencepiece=SMALL)
    tokens = dataset.load(spec)
    start, stop = tokens.spans["val"]
    assert (tokens.ids[start:stop] == tokens.codec.end).sum() == 10
    assert tokens.ids[start - 1] == tokens.ids[stop - 1] == tokens.codec.end
    assert tokens.codec.decode(tokens.ids[start:stop]).startswith("Once there was fox 80.Once there was fox 81.")
    assert tokens.bytes_per_token(["val"])["val"] == pytest.approx(22 * 10 / (stop - start))
    plain = dataset.load(replace(spec, tokenizer="characters", sentencepiece=SentencePieceSpec()))
    assert plain.codec.decode(plain.ids[: plain.spans["train"][1]]).startswith("Once there was fox 0.\n\nOnce there")


def test_a_split_shorter_than_the_block_in_tokens_is_named(tales):
    spec = DataSpec(tales, (0, 80), (80, 81), tokenizer="sentencepiece", unit="documents", sentencepiece=SMALL)
    with pytest.raises(UserError, match=r"tales: block_size = 64 is longer than data\.val has \(\d+ tokens\)"):
        dataset.task(spec, dataset.load(spec), Reading(0, 64, 8))
    with pytest.raises(UserError, match=r"data\.val ends at 101, but tales has 100 documents: end it there"):
        dataset.load(replace(spec, val=(80, 101)))
