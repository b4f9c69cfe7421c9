import hashlib
from pathlib import Path

import pytest

from runner.data import corpora, dataset, hub, stories
from runner.data.spec import DataSpec
from runner.errors import Absent, UserError
from tests.loopback import DATASET, Hub

TRAIN, VALID = "plain_text/train/train.txt", "plain_text/train/valid.txt"
STORY = "One day, story {} of {} began and\nended.\n<|endoftext|>\n"
TEXTS = {TRAIN: "".join(STORY.format(i, "training") for i in range(300)).encode()}
TEXTS[VALID] = "".join(STORY.format(i, "validation") for i in range(40)).encode()
SIZE, LINES, HELD_OUT = 5_000, 900, 30


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Files of a few stories in the place of the real ones, and an empty cache; returns the corpus' folder in it."""
    for name, value in {
        "DATASET": DATASET, "TRAIN": TRAIN, "VALID": VALID, "SIZE": SIZE, "LINES": LINES, "HELD_OUT": HELD_OUT,
        "LINES_SHA256": hashlib.sha256(TEXTS[TRAIN][:LINES]).hexdigest(),
    }.items():  # fmt: skip
        monkeypatch.setattr(stories, name, value)
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return tmp_path / "cache" / "stories"


@pytest.fixture
def served(small: Path, monkeypatch: pytest.MonkeyPatch):
    """A hub that has them."""
    with Hub(dict(TEXTS)) as running:
        monkeypatch.setenv("RUNNER_HUB", running.address)
        yield running


def test_as_much_of_the_training_file_as_is_needed_comes_and_is_continued(served: Hub, small: Path):
    served.drops.extend([10**9, 2_000])  # the validation file comes whole, the other breaks off
    assert not corpora.here("stories")
    documents = corpora.documents("stories")
    assert documents[:HELD_OUT] == [f"One day, story {i} of validation began and\nended." for i in range(HELD_OUT)]
    assert documents[HELD_OUT] == "One day, story 0 of training began and\nended."
    whole = TEXTS[TRAIN][:SIZE].count(b"<|endoftext|>")
    assert len(documents) == HELD_OUT + whole, "the last one is cut off"
    assert served.asked(TRAIN) == [f"bytes=0-{SIZE - 1}", f"bytes=2000-{SIZE - 1}"]
    assert sorted(path.name for path in small.iterdir()) == [
        "index.json", "listing.json", "lock", "train.txt", "valid.txt",
    ]  # fmt: skip
    asked = len(served.requests)
    assert corpora.documents("stories") == documents
    assert corpora.here("stories")
    assert len(served.requests) == asked, "what is in the cache is not asked for again"


def test_splits_are_whole_stories_and_the_identity_follows_the_bytes(served: Hub, small: Path):
    spec = DataSpec(corpus="stories", unit="documents", val=(0, 10), test=(10, 20), train=(30, 90))
    texts = dataset.texts(spec)
    assert {name: len(part) for name, part in texts.items()} == {"train": 60, "val": 10, "test": 10}
    assert all("validation" in text for text in texts["val"] + texts["test"])
    assert all("training" in text for text in texts["train"])
    assert dataset.fingerprint(spec) == corpora.fingerprint("stories")
    first = dataset.fingerprint(spec)
    (small / "index.json").unlink()
    (small / "valid.txt").unlink()
    served.files[VALID] = TEXTS[VALID].replace(b"ended", b"ceased")
    served.stated[VALID] = hub.File(VALID, len(served.files[VALID]), hashlib.sha256(served.files[VALID]).hexdigest())
    (small / "listing.json").unlink()
    assert dataset.fingerprint(spec) != first


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        (VALID, TEXTS[VALID].replace(b"ended", b"ENDED"), "has sha256 .* as the hub's listing says"),
        (VALID, TEXTS[VALID][:-9], "has fewer than the"),
        (TRAIN, TEXTS[TRAIN].replace(b"story 3", b"story 4"), "the first 900 bytes of .* have sha256 .*, not"),
        (TRAIN, TEXTS[TRAIN][:1000], "has fewer than the 5,000 bytes that are asked for"),
    ],
)
def test_what_is_altered_or_truncated_on_the_hub_is_named_and_not_kept(
    served: Hub, small: Path, path, content, message
):
    was, served.files[path] = served.files[path], content
    with pytest.raises(UserError, match=message) as error:
        corpora.load("stories")
    assert "\n" not in str(error.value)
    assert not (small / "index.json").exists()
    served.files[path] = was
    assert corpora.load("stories").endswith(TEXTS[TRAIN][SIZE - 100 : SIZE])


def test_a_damaged_cache_and_a_changed_hub_are_named(served: Hub, small: Path):
    corpora.load("stories")
    (small / "train.txt").write_bytes(TEXTS[TRAIN][: SIZE - 1])
    with pytest.raises(UserError, match=r"train\.txt has sha256 .*, not .*: move .* away to have it made again"):
        corpora.load("stories")
    (small / "train.txt").unlink()
    with pytest.raises(UserError, match=r"train\.txt is missing: move"):
        corpora.load("stories")
    (small / "index.json").unlink()
    served.stated[TRAIN] = hub.File(TRAIN, len(TEXTS[TRAIN]), "1" * 64)
    with pytest.raises(UserError, match=rf"{TRAIN} of .* was sha256 .*, and is sha256 {'1' * 64} now"):
        corpora.load("stories")


def test_a_folder_of_the_users_is_taken_and_checked(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    given = tmp_path / "given"
    monkeypatch.setenv("RUNNER_DATA", str(given))
    with pytest.raises(Absent, match=r"which has no plain_text/train/valid\.txt; put it there or unset it"):
        corpora.load("stories")
    for path, content in TEXTS.items():
        (given / path).parent.mkdir(parents=True, exist_ok=True)
        (given / path).write_bytes(content)
    assert corpora.here("stories")
    (given / TRAIN).write_bytes(TEXTS[TRAIN][:4000])
    with pytest.raises(UserError, match="has 4,000 bytes, fewer than the 5,000 that are read: it is truncated"):
        corpora.load("stories")
    (given / VALID).write_bytes(TEXTS[VALID][:1000])
    (given / TRAIN).write_bytes(TEXTS[TRAIN])
    with pytest.raises(UserError, match=r"has 1\d stories, fewer than 30: it is truncated"):
        corpora.load("stories")
    (given / VALID).write_bytes(TEXTS[VALID])
    assert len(corpora.documents("stories")) > HELD_OUT
    monkeypatch.delenv("RUNNER_DATA")
    monkeypatch.setenv("RUNNER_HUB", "http://127.0.0.1:9")
    assert len(corpora.documents("stories")) > HELD_OUT, "it is in the cache now"


def test_where_no_hub_answers_callers_can_tell(small: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNNER_HUB", "http://127.0.0.1:9")
    with pytest.raises(hub.Unreachable, match="refused"):
        corpora.load("stories")
