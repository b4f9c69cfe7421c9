import hashlib
import os
from pathlib import Path

import pytest

from runner.data import hub
from runner.errors import UserError
from tests.loopback import DATASET, Hub

FIRST, SECOND = "plain_text/train/0000.parquet", "plain_text/train/0001.parquet"


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch):
    """A hub with two files."""
    with Hub({FIRST: os.urandom(3_000_000), SECOND: b"second"}) as running:
        monkeypatch.setenv("RUNNER_HUB", running.address + "/")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield running


def fetch(served: Hub, target: Path, **more) -> list[str]:
    """Download the first file; what was said."""
    said: list[str] = []
    hub.download(DATASET, served.stated[FIRST], target, say=said.append, sleep=lambda seconds: None, **more)
    assert target.read_bytes() == served.files[FIRST]
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return said


def test_a_folder_is_listed_over_pages_and_in_order(served: Hub):
    served.page = 1
    assert hub.listing(DATASET) == [served.stated[FIRST], served.stated[SECOND]]
    assert served.requests == [("listing", "")] * 2


def test_a_file_comes_whole(served: Hub, tmp_path: Path):
    seen: list[int] = []
    assert fetch(served, tmp_path / "file", report=seen.append) == []
    assert seen == sorted(seen)
    assert seen[-1] == 3_000_000
    fetch(served, tmp_path / "file")
    assert served.asked(FIRST) == [""], "what is there is not asked for again"


def test_a_dropped_connection_is_continued_where_it_broke(served: Hub, tmp_path: Path):
    served.drops.extend([1_000_000, 500_000])
    said = fetch(served, tmp_path / "file")
    assert served.asked(FIRST) == ["", "bytes=1000000-", "bytes=1500000-"]
    assert said[0] == "file: the connection ended early at byte 1,000,000 of 3,000,000; going on"


def test_a_later_call_goes_on_where_an_earlier_one_stopped(served: Hub, tmp_path: Path):
    (tmp_path / "file.part").write_bytes(served.files[FIRST][:2_999_999])
    fetch(served, tmp_path / "file")
    assert served.asked(FIRST) == ["bytes=2999999-"]


def test_what_an_earlier_call_left_damaged_is_loaded_again(served: Hub, tmp_path: Path):
    for left in (b"?" * 1_000_000, b"?" * 3_000_000, b"?" * 4_000_000):
        (tmp_path / "file.part").write_bytes(left)
        said = fetch(served, tmp_path / "file")
        assert len(left) > 3_000_000 or "was damaged; from the start again" in said[-1]
        (tmp_path / "file").unlink()


def test_a_server_without_ranges_begins_anew(served: Hub, tmp_path: Path):
    served.ranges = False
    served.drops.append(1_000_000)
    fetch(served, tmp_path / "file")
    assert served.asked(FIRST) == ["", "bytes=1000000-"]


def test_passing_trouble_is_waited_for_longer_and_longer(served: Hub, tmp_path: Path):
    served.answers.extend([503, 429, 500])
    waits: list[float] = []
    hub.download(DATASET, served.stated[FIRST], tmp_path / "file", sleep=waits.append)
    assert waits == [1, 2, 4]
    served.answers.extend([503] * hub.ATTEMPTS)
    (tmp_path / "file").unlink()
    with pytest.raises(UserError, match=r"503 Service Unavailable, 6 times in a row\): call again later"):
        fetch(served, tmp_path / "file")


def test_lasting_trouble_is_not_waited_for(served: Hub, tmp_path: Path):
    served.answers.append(403)
    with pytest.raises(UserError, match=r"0000\.parquet cannot be read \(403 Forbidden\): check RUNNER_HUB"):
        fetch(served, tmp_path / "file")


@pytest.mark.parametrize("left", [0, 500, 2_000_000])
def test_a_truncated_file_is_an_error_and_leaves_nothing(served: Hub, tmp_path: Path, left: int):
    if left:
        (tmp_path / "file.part").write_bytes(served.files[FIRST][:left])
    served.files[FIRST] = served.files[FIRST][:1_000_000]
    with pytest.raises(UserError, match=r"has fewer than the 3,000,000 bytes that the hub's listing says"):
        fetch(served, tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_names_both_sums_and_leaves_nothing(served: Hub, tmp_path: Path):
    served.files[FIRST] = other = bytes(3_000_000)
    with pytest.raises(UserError, match=r"0000\.parquet has sha256") as error:
        fetch(served, tmp_path / "file")
    assert hashlib.sha256(other).hexdigest() in str(error.value)
    assert served.stated[FIRST].sha256 in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_listing_is_pinned(served: Hub, tmp_path: Path):
    path = tmp_path / "listing.json"
    assert hub.pinned(DATASET, path) == hub.pinned(DATASET, path) == hub.listing(DATASET)
    first = served.stated.pop(SECOND)
    with pytest.raises(UserError, match=f"{SECOND} of .* was sha256 {first.sha256} when .*, and is not there now"):
        hub.pinned(DATASET, path)
    served.stated[SECOND] = hub.File(SECOND, 6, "0" * 64)
    with pytest.raises(UserError, match=f"was sha256 {first.sha256} when .*, and is sha256 {'0' * 64} now: go on"):
        hub.pinned(DATASET, path)
    path.write_text("[]")
    with pytest.raises(UserError, match=r"listing\.json is damaged: delete it"):
        hub.pinned(DATASET, path)


def test_where_no_hub_answers_the_address_and_the_remedies_are_named(served: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNNER_HUB", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"^http://127\.0\.0\.1:9/api/datasets/.* cannot be read \(.*refused") as error:
        hub.listing(DATASET, sleep=lambda seconds: None)
    for remedy in ("RUNNER_HUB", "RUNNER_DATA", "--set corpus=shakespeare-plays"):
        assert remedy in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_hub_is_said(served: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RUNNER_HUB", served.address + "/elsewhere")
    served.files.clear()
    served.stated.clear()
    monkeypatch.setenv("RUNNER_HUB", served.address)
    with pytest.raises(UserError, match=r"lists no \.parquet files: check RUNNER_HUB"):
        hub.listing(DATASET)
    served._list = lambda handler: _page(handler)
    with pytest.raises(UserError, match="answers, but not with a listing of files: check RUNNER_HUB"):
        hub.listing(DATASET)


def _page(handler) -> None:
    from tests.loopback import _send

    _send(handler, 200, b"<html>sign in</html>")
