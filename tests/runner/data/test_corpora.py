import hashlib
from pathlib import Path

import pytest

from runner.data import corpora
from runner.errors import UserError


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RUNNER_DATA", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", _unreachable)
    return tmp_path / "cache"


def _unreachable(*_, **__):
    raise OSError("no route to host")


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> str:
    """A corpus of two words in the place of the plays."""
    text = b"two words"
    small = corpora.Corpus("small", hashlib.sha256(text).hexdigest(), "https://example.org/small", lambda: text, "")
    monkeypatch.setitem(corpora.CORPORA, "small", small)
    return "small"


def test_where_no_address_answers_it_is_rebuilt_once(cache, pinned):
    lines = []
    assert corpora.load(pinned, lines.append) == b"two words"
    assert "cannot be reached (no route to host)" in lines[0]
    assert "rebuilt" in lines[1]
    lines.clear()
    assert corpora.load(pinned, lines.append) == b"two words"
    assert lines == []


def test_a_damaged_cache_is_named_with_both_sums(cache, pinned):
    cache.mkdir()
    (cache / "small.txt").write_bytes(b"two worms")
    with pytest.raises(UserError) as error:
        corpora.load(pinned)
    assert hashlib.sha256(b"two worms").hexdigest() in str(error.value)
    assert corpora.named(pinned).sha256 in str(error.value)
    assert str(cache / "small.txt") in str(error.value)


def test_a_folder_of_the_users_is_taken_and_checked(cache, pinned, tmp_path, monkeypatch):
    monkeypatch.setenv("RUNNER_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"has no small\.txt"):
        corpora.load(pinned)
    (tmp_path / "small.txt").write_bytes(b"other")
    with pytest.raises(UserError, match="sha256"):
        corpora.load(pinned)
    assert not cache.exists(), "what is wrong is not kept"
    (tmp_path / "small.txt").write_bytes(b"two words")
    assert corpora.load(pinned) == b"two words"


def test_an_answer_of_the_address_is_checked(cache, pinned, monkeypatch):
    import io

    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: io.BytesIO(b"a page about an error"))
    with pytest.raises(UserError, match=r"https://example\.org/small has sha256"):
        corpora.load(pinned)


def test_tiny_shakespeare_is_the_original():
    text = corpora.load("tiny-shakespeare")
    assert len(text) == 1_115_394
    assert hashlib.sha256(text).hexdigest() == corpora.named("tiny-shakespeare").sha256
    assert text.startswith(b"First Citizen:\nBefore we proceed any further")


def test_unknown_corpora_are_named():
    with pytest.raises(UserError, match="unknown corpus 'bible'; known: shakespeare-plays, tiny-shakespeare"):
        corpora.load("bible")
