import hashlib
from pathlib import Path

import pytest

from runner.data import corpora, hub
from runner.errors import UserError
from tests.loopback import DATASET, Hub

FILE = "plain_text/train/stories.txt"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no network."""
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("urllib.request.urlopen", _unreachable)
    return tmp_path / "cache"


def _unreachable(*_, **__):
    raise OSError("no route to host")


@pytest.fixture
def pinned(monkeypatch: pytest.MonkeyPatch) -> str:
    """A corpus of two words in the place of the plays."""
    text = b"two words"
    digest, address = hashlib.sha256(text).hexdigest(), "https://example.org/small"
    small = corpora.Corpus("small", digest, "", address, rebuild=lambda: text)
    monkeypatch.setitem(corpora.REGISTRY, "small", small)
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
    with pytest.raises(UserError, match="unknown corpus 'bible'; known: shakespeare-plays, tiny-shakespeare, stories"):
        corpora.load("bible")


STORIES = "Once.\n<|endoftext|>\n\n\nTwice upon\na time.  \n<|endoftext|>\n<|endoftext|>\nA story that is cut o"


@pytest.fixture
def tales(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A hub that has more than the beginning that the corpus is, and an empty cache."""
    wanted = STORIES.encode()
    prefix = corpora.Prefix(DATASET, FILE, len(wanted))
    small = corpora.Corpus("tales", hashlib.sha256(wanted).hexdigest(), "", prefix=prefix, separator="<|endoftext|>")
    monkeypatch.setitem(corpora.REGISTRY, "tales", small)
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with Hub({FILE: wanted + b"ff and goes on" * 1000}) as running:
        monkeypatch.setenv("RUNNER_HUB", running.address)
        yield running


def test_the_beginning_of_a_file_is_asked_for_and_continued(tales: Hub, tmp_path: Path):
    tales.drops.append(10)
    assert corpora.load("tales") == STORIES.encode()
    last = len(STORIES.encode()) - 1
    assert tales.asked(FILE) == [f"bytes=0-{last}", f"bytes=10-{last}"]
    assert corpora.load("tales") == STORIES.encode()
    assert len(tales.requests) == 2, "what is in the cache is not asked for again"
    (tmp_path / "cache" / "tales.txt").unlink()
    tales.ranges = False
    assert corpora.load("tales") == STORIES.encode(), "a hub that knows no ranges is read as far as is needed"


def test_documents_are_whole_and_without_white_space_around(tales: Hub):
    assert corpora.documents("tales") == ["Once.", "Twice upon\na time."]
    assert corpora.text("tales") == "Once.\n\nTwice upon\na time.\n\n"
    with pytest.raises(UserError, match="tiny-shakespeare is not parted into documents; corpora that are: stories"):
        corpora.documents("tiny-shakespeare")


def test_an_altered_or_truncated_file_of_the_hub_is_named(tales: Hub, tmp_path: Path):
    tales.files[FILE] = b"?" * 2000
    with pytest.raises(UserError, match=f"has sha256 .*, not {corpora.named('tales').sha256} as is pinned here"):
        corpora.load("tales")
    tales.files[FILE] = b"Once."
    with pytest.raises(UserError, match="has fewer than the 92 bytes that are asked for"):
        corpora.load("tales")
    assert not (tmp_path / "cache" / "tales.txt").exists()


def test_where_no_hub_answers_callers_can_tell(tales: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNNER_HUB", "http://127.0.0.1:9")
    with pytest.raises(hub.Unreachable, match=r"tales: .*refused.* set RUNNER_DATA to a folder that holds tales\.txt"):
        corpora.load("tales")


def test_no_text_is_the_corpus_of_tasks_that_make_their_own(cache: Path):
    assert corpora.load("none") == b""
    assert "none" not in corpora.CORPORA
    assert not cache.exists()
