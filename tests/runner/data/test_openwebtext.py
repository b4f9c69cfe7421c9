import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from runner import lock
from runner.data import hub, openwebtext, shards
from runner.data.tokenizers import gpt2
from runner.errors import UserError
from tests.conftest import ROOT
from tests.loopback import Hub
from tests.runner.cli.test_main import here

ODD = ["naïve café — 東京, 🙂", "", "so it says <|endoftext|> here", None]
TEXTS = [
    [*ODD, *(f"Document {i} of shard {shard}, " + "with words in it " * (i % 40) for i in range(900))]
    for shard in range(3)
]


def parquet(texts: list[str | None], column: str = "text") -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({column: pa.array(texts, pa.string())}), sink, row_group_size=300)
    return sink.getvalue()


def expected(numbers: range) -> np.ndarray:
    """uint16: the tokens of some shards, made one document at a time by tiktoken."""
    encode = gpt2.encoding().encode_ordinary
    return np.array([id for n in numbers for text in TEXTS[n] for id in [*encode(text or ""), 50256]], dtype=np.uint16)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache that holds nothing but GPT-2's files."""
    gpt2.encoding()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tiktoken").symlink_to((ROOT / ".cache" / "tiktoken").resolve())
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    return tmp_path / "cache" / "openwebtext"


@pytest.fixture
def served(cache: Path, monkeypatch: pytest.MonkeyPatch):
    """A hub with three shards."""
    with Hub({f"plain_text/train/000{i}.parquet": parquet(texts) for i, texts in enumerate(TEXTS)}) as running:
        monkeypatch.setenv("RUNNER_HUB", running.address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield running


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in names(folder) if name != "lock"}


def test_as_many_shards_as_the_budget_needs(served: Hub, cache: Path):
    one = len(expected(range(1)))
    seen: list[openwebtext.Progress] = []
    stream = openwebtext.load(one + 1, report=seen.append, workers=2)
    assert len(served.requests) == 3, "a listing and two shards"
    assert stream.windows(np.array([0]), len(stream))[0].tolist() == expected(range(2)).tolist()
    starts = stream.documents(0, len(stream))
    assert len(starts) == len(TEXTS[0]) + len(TEXTS[1])
    ends = np.flatnonzero(expected(range(2)) == gpt2.END)
    assert starts.tolist() == [0, *(ends[:-1] + 1)]
    first = gpt2.decode(stream.windows(starts[:1], int(starts[1]))[0])
    assert first == ODD[0] + "<|endoftext|>"
    assert names(cache) == ["0000.bin", "0000.starts", "0001.bin", "0001.starts", "index.json", "listing.json", "lock"]
    assert not list((cache / "download").iterdir()), "a parquet shard goes when its tokens are there"
    index = json.loads((cache / "index.json").read_text())["shards"]
    assert [shard["source"] for shard in index] == list(served.files)[:2]
    assert [shard["source_sha256"] for shard in index] == [file.sha256 for file in served.stated.values()][:2]
    assert {(each.shard, each.action) for each in seen} == {
        (path, action) for path in list(served.files)[:2] for action in ("download", "tokenise")
    }
    assert seen[-1].done == seen[-1].total == len(TEXTS[1])
    assert seen[-1].tokens == len(stream)


def test_a_second_run_does_nothing_and_a_third_loads_only_what_is_missing(served: Hub, cache: Path, monkeypatch):
    openwebtext.load(1)
    before, prefix = content(cache), shards.Stream(cache).fingerprint(1)
    served.requests.clear()
    with monkeypatch.context() as patch:
        patch.setattr(gpt2, "encode_documents", lambda texts: pytest.fail("tokenised again"))
        said: list[str] = []
        openwebtext.load(1, said.append)
    assert said == ["openwebtext: nothing to do, 1 shards hold the 1 tokens asked for, and their checksums hold"]
    assert served.requests == []
    assert content(cache) == before
    total = len(expected(range(3)))
    assert openwebtext.load(total).fingerprint(1) == prefix
    assert [path for path, _ in served.requests] == ["listing", *list(served.files)[1:]]
    with pytest.raises(UserError, match=rf"all 3 shards of .* hold {total:,} tokens, fewer than asked for"):
        openwebtext.load(total + 1)


def test_a_dropped_connection_costs_no_byte_twice(served: Hub, cache: Path):
    path, size = next((path, len(content)) for path, content in served.files.items())
    served.drops.append(size // 3)
    openwebtext.load(1)
    assert served.asked(path) == ["", f"bytes={size // 3}-"]


@pytest.mark.parametrize("fault", ["truncated", "other"])
def test_what_is_wrong_on_the_hub_never_becomes_tokens(served: Hub, cache: Path, fault: str):
    path, was = next(iter(served.files.items()))
    served.files[path] = was[:-9] if fault == "truncated" else bytes(len(was))
    with pytest.raises(UserError, match="fewer than the" if fault == "truncated" else "has sha256"):
        openwebtext.load(1)
    assert names(cache) == ["listing.json", "lock"]
    assert not list((cache / "download").iterdir())
    served.files[path] = was
    assert len(openwebtext.load(1)) == len(expected(range(1)))


def test_a_hub_that_changes_is_noticed_before_its_shards_are_mixed(served: Hub, cache: Path):
    openwebtext.load(1)
    first, second = list(served.files)[:2]
    kept = served.stated[second]
    served.stated[second] = hub.File(second, kept.size, "1" * 64)
    with pytest.raises(UserError, match=rf"{kept.sha256} when .* and is sha256 {'1' * 64} now"):
        openwebtext.load(10**6)
    (cache / "listing.json").unlink()
    served.stated[second], old = kept, served.stated[first]
    served.stated[first] = hub.File(first, old.size, "2" * 64)
    with pytest.raises(
        UserError, match=rf"shard 0 in .* was made from sha256 {old.sha256}, and .* has sha256 {'2' * 64}"
    ):
        openwebtext.load(10**6)
    assert len(openwebtext.load(1)) == len(expected(range(1))), "what is there still serves"


def test_a_damaged_token_shard_is_noticed_and_made_again_when_deleted(served: Hub, cache: Path):
    openwebtext.load(1)
    before = content(cache)
    (cache / "0000.bin").write_bytes(bytes(len(before["0000.bin"])))
    with pytest.raises(UserError, match=r"0000\.bin has sha256 .*: delete it, and `runner data openwebtext` makes"):
        openwebtext.load(1)
    (cache / "0000.bin").unlink()
    openwebtext.load(1)
    assert content(cache) == before


def test_tokens_that_are_there_are_opened_whoever_holds_the_folder(served: Hub, cache: Path):
    assert len(openwebtext.opened(1)) == len(expected(range(1))), "loaded, as they are not there"
    served.requests.clear()
    with lock.hold(cache):
        assert len(openwebtext.opened(1)) == len(expected(range(1)))
        (cache / "0000.bin").write_bytes(bytes((cache / "0000.bin").stat().st_size))
        with pytest.raises(UserError, match=r"0000\.bin has sha256 .*: delete it"):
            openwebtext.opened(1)
    assert not served.requests


KILLED = """
import os, signal
from runner.data import openwebtext
def report(progress):
    if progress.shard.endswith("0001.parquet") and progress.action == "{action}" and progress.done >= {done}:
        os.kill(os.getpid(), signal.SIGKILL)
openwebtext.load(10**9, report=report)
"""


@pytest.mark.parametrize(("action", "done", "dropped"), [("tokenise", 300, False), ("download", 1, True)])
def test_killed_at_any_moment_it_goes_on_to_the_same_result(served: Hub, cache: Path, action, done, dropped):
    """SIGKILL in the second shard leaves the first whole; the next call ends where an undisturbed one would."""
    second, total = list(served.files)[1], len(expected(range(3)))
    if dropped:
        served.drops.extend([10**9, len(served.files[second]) // 2])
    code = KILLED.format(action=action, done=done)
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == -signal.SIGKILL
    assert len(shards.Stream(cache)) == len(expected(range(1)))
    left = [path.name for path in (cache / "download").iterdir()]
    assert left == (["0001.parquet.part"] if dropped else ["0001.parquet"])
    size = (cache / "download" / left[0]).stat().st_size
    served.requests.clear()
    served.drops.clear()
    openwebtext.load(total)
    assert served.asked(second) == ([f"bytes={size}-"] if dropped else []), "what had come is not asked for again"
    assert served.asked(next(iter(served.files))) == []
    interrupted = content(cache)
    assert not [name for name in interrupted if name.startswith(".")]
    for path in cache.glob("*.*"):
        path.unlink()
    openwebtext.load(total)
    assert content(cache) == interrupted


def test_a_folder_of_the_users_is_taken(cache: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("RUNNER_DATA", str(tmp_path / "given"))
    monkeypatch.setenv("RUNNER_HUB", "http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"RUNNER_DATA names .*given, which has no openwebtext/\*\.parquet"):
        openwebtext.load(1)
    given = tmp_path / "given" / "openwebtext" / "plain_text"
    given.mkdir(parents=True)
    for number in (0, 1):
        (given / f"000{number}.parquet").write_bytes(parquet(TEXTS[number]))
    wanted = expected(range(2))
    stream = openwebtext.load(len(wanted), workers=3)
    assert (stream.windows(np.array([0]), len(wanted))[0] == wanted).all()
    assert len(list(given.iterdir())) == 2, "they stay"
    (given / "0000.parquet").rename(given / "0009.parquet")
    with pytest.raises(UserError, match=r"shard 0 in .* was made from plain_text/0000\.parquet, and .* has"):
        openwebtext.load(len(wanted) + 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (parquet(TEXTS[0])[:-1], "0000.parquet is no parquet, or damaged"),
        (parquet(TEXTS[0], "content"), "has the columns content, and no 'text'"),
    ],
)
def test_what_is_no_shard_of_text_is_named(cache: Path, tmp_path: Path, monkeypatch, content: bytes, message: str):
    given = tmp_path / "given" / "openwebtext"
    given.mkdir(parents=True)
    (given / "0000.parquet").write_bytes(content)
    monkeypatch.setenv("RUNNER_DATA", str(tmp_path / "given"))
    with pytest.raises(UserError, match=re.escape(message)):
        openwebtext.load(1)
    assert names(cache) == ["lock"]


def test_a_document_that_tiktoken_cannot_take_is_said(cache: Path, tmp_path: Path):
    path = tmp_path / "0000.parquet"
    path.write_bytes(parquet(["good", " " * 1_000_000 + "x"]))
    with pytest.raises(UserError, match=r"0000\.parquet has a document that cannot be tokenised \(Regex error"):
        list(openwebtext.documents(path, gpt2.pool(1), 2))


def test_an_empty_shard_is_a_shard(cache: Path, tmp_path: Path, monkeypatch):
    given = tmp_path / "given" / "openwebtext"
    given.mkdir(parents=True)
    (given / "0000.parquet").write_bytes(parquet([]))
    (given / "0001.parquet").write_bytes(parquet(["hello world"]))
    monkeypatch.setenv("RUNNER_DATA", str(tmp_path / "given"))
    stream = openwebtext.load(1)
    assert stream.windows(np.array([0]), 3).tolist() == [[31373, 995, 50256]]


def test_the_command(served: Hub, cache: Path):
    """`runner data openwebtext` says what it does, what is there, and that a second call has nothing to do."""

    def call(*words: str) -> list[str]:
        done = here("data", *words)
        return [str(done.returncode), *done.stdout.splitlines(), *done.stderr.splitlines()]

    total = len(expected(range(3)))
    lines = call("openwebtext", "--tokens", f"{total:_}")
    assert lines[0] == "0"
    assert lines[-1] == f"openwebtext: {total:,} tokens, {sum(map(len, TEXTS)):,} documents, 3 shards, in {cache}"
    again = call("openwebtext", "--tokens", f"{total}")
    assert again[1].startswith("openwebtext: nothing to do, 3 shards hold")
    assert again[2] == lines[-1]
    assert call("openwebtext", "--tokens", "lots")[:1] == ["2"]
    assert call("tiny-shakespeare", "--tokens", "10M")[0] == "2"
    assert os.environ["RUNNER_HUB"] == served.address
