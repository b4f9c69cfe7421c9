"""OpenWebText as GPT-2's tokens: as many of the hub's parquet shards as a budget needs, one token shard for each.

Looked for in the cache, then in RUNNER_DATA/openwebtext/ (parquet shards), then on the hub. A shard is downloaded,
checked, tokenised by all cores, committed, and its parquet file deleted; killed at any moment, what is whole stays and
a download that was under way is continued.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from runner.data import cache, hub, shards
from runner.data.tokenizers import gpt2
from runner.errors import UserError
from runner.files import sha256
from runner.lock import hold

NAME = "openwebtext"
DATASET = hub.Dataset("Skylion007/openwebtext", "refs/convert/parquet", "plain_text/train")
COLUMN = "text"
ROWS = 256  # documents that a process takes at once, a megabyte or so of text


@dataclass(frozen=True)
class Progress:
    """How far one shard is, and the tokens so far."""

    shard: str
    action: str  # "download" or "tokenise"
    done: int  # bytes or documents
    total: int
    tokens: int


Say = Callable[[str], None]
Report = Callable[[Progress], None]
Encode = Callable[[Path], Iterator[tuple[np.ndarray, np.ndarray]]]


def folder() -> Path:
    """Where the token shards are."""
    return cache.cache_folder() / NAME


def load(
    wanted: int,
    say: Say = lambda line: None,
    report: Report = lambda progress: None,
    workers: int | None = None,
) -> shards.Stream:
    """At least `wanted` tokens, with documents that end with <|endoftext|>; what is missing is loaded.

    The shards that hold them have the right checksums. `workers` processes tokenise, as many as there are cores unless
    given. Raises a `UserError` where no source is within reach, a file has a wrong checksum, or there are fewer tokens.
    """
    place, workers = folder(), workers or os.cpu_count() or 1
    with hold(place), gpt2.pool(workers) as pool:
        for left in place.glob(".*.*"):  # scratch files of a process that was killed; the lock says that none is at it
            left.unlink()
        source: _Hub | _Folder | None = None
        index, number, tokens, made = shards.read_index(place), 0, 0, 0
        while tokens < wanted:
            known = index[number] if number < len(index) else None
            if known and shards.token_path(place, number).is_file() and shards.start_path(place, number).is_file():
                shards.check(place, number, known)
            else:
                source = source or _source(place, index, say)
                encode = partial(documents, pool=pool, ahead=2 * workers)
                known = _make(place, number, tokens, source, encode, say, report)
                made += 1
            tokens += known.tokens
            number += 1
    if not made:
        say(f"{NAME}: nothing to do, {number} shards hold the {wanted:,} tokens asked for, and their checksums hold")
    return shards.Stream(place)


def here(wanted: int) -> bool:
    """Whether at least `wanted` tokens are in the cache."""
    return sum(shard.tokens for shard in shards.read_index(folder())) >= wanted


def opened(wanted: int) -> shards.Stream:
    """At least `wanted` tokens of the cache, after checking their checksums, which any number of processes can do at a
    time; what is missing is loaded."""
    if not here(wanted):
        return load(wanted)
    stream = shards.Stream(folder())
    stream.check(wanted)
    return stream


def _make(
    place: Path, number: int, tokens: int, source: "_Hub | _Folder", encode: Encode, say: Say, report: Report
) -> shards.Shard:
    """Shard `number` from its source, `tokens` tokens coming before it."""
    if number == len(source.files):
        raise UserError(
            f"all {number} shards of {source.where} hold {tokens:,} tokens, fewer than asked for: ask for no more"
        )
    name = source.files[number].path
    path, digest = source.get(number, lambda done, total: report(Progress(name, "download", done, total, tokens)))

    def told() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rows, done, so_far = _rows(path), 0, tokens
        for ids, lengths in encode(path):
            done, so_far = done + len(lengths), so_far + len(ids)
            report(Progress(name, "tokenise", done, rows, so_far))
            yield ids, lengths

    shard = shards.write(place, number, name, digest, told())
    source.release(path)
    say(f"{NAME}: {name}, {shard.tokens:,} tokens in {shard.documents:,} documents")
    return shard


def documents(path: Path, pool: Executor, ahead: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The documents of a parquet file, in order, some hundred at a time: tokens uint16 [T], lengths int64 [D].

    Text is read as it is needed: `ahead` batches of it wait for a worker of `pool`, or for their turn. A null is an
    empty document. Raises a `UserError` for a file that is no parquet, is damaged, or has no column of that name.
    """
    waiting: deque[Future[tuple[np.ndarray, np.ndarray]]] = deque()
    try:
        for texts in _texts(path):
            waiting.append(pool.submit(gpt2.encode_documents, texts))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise UserError(f"a process that tokenised {path} died, for want of memory perhaps: call again") from None
    except ValueError as error:  # tiktoken's, for white space without end
        raise UserError(f"{path} has a document that cannot be tokenised ({error}): take it out") from None
    finally:
        for future in waiting:
            future.cancel()


def _texts(path: Path) -> Iterator[list[str]]:
    import pyarrow as pa  # late, here and below: a plan of runs knows this corpus by name, and must be quick
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            if COLUMN not in file.schema_arrow.names:
                columns = ", ".join(file.schema_arrow.names)
                raise UserError(f"{path} has the columns {columns}, and no {COLUMN!r}: take shards of OpenWebText")
            for batch in file.iter_batches(batch_size=ROWS, columns=[COLUMN]):
                yield [text or "" for text in batch.column(0).to_pylist()]
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is no parquet, or damaged ({str(error).splitlines()[0]}): replace it") from None


def _rows(path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return int(pq.read_metadata(path).num_rows)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path} is no parquet, or damaged ({str(error).splitlines()[0]}): replace it") from None


class _Hub:
    """The hub's shards; each is kept only until its tokens are."""

    def __init__(self, place: Path, say: Say) -> None:
        self.where, self.say = f"{DATASET.name} on the hub", say
        self.downloads = place / "download"
        self.files = hub.pinned(DATASET, place / "listing.json")

    def get(self, number: int, report: Callable[[int, int], None]) -> tuple[Path, str]:
        file = self.files[number]
        path = self.downloads / Path(file.path).name
        hub.download(DATASET, file, path, lambda done: report(done, file.size), self.say)
        return path, file.sha256

    def release(self, path: Path) -> None:
        path.unlink()


class _Folder:
    """Parquet shards that the user has; they stay as they are."""

    def __init__(self, given: Path) -> None:
        self.where, self.given = f"{given}", given
        found = sorted(given.rglob("*.parquet"))
        if not found:
            raise UserError(
                f"RUNNER_DATA names {given.parent}, which has no {NAME}/*.parquet; put it there or unset it"
            )
        self.files = [hub.File(path.relative_to(given).as_posix(), path.stat().st_size, "") for path in found]

    def get(self, number: int, report: Callable[[int, int], None]) -> tuple[Path, str]:
        path = self.given / self.files[number].path
        return path, sha256(path)

    def release(self, path: Path) -> None:
        pass


def _source(place: Path, index: list[shards.Shard], say: Say) -> _Hub | _Folder:
    """Where the missing shards come from, after making sure that those that are there came from the same."""
    given = cache.given_folder()
    source = _Folder(given / NAME) if given else _Hub(place, say)
    say(f"{NAME}: from {source.where}")
    for number, shard in enumerate(index):
        file = source.files[number] if number < len(source.files) else None
        if file and file.sha256 and file.sha256 != shard.source_sha256:
            was, now = f"sha256 {shard.source_sha256}", f"sha256 {file.sha256}"
        elif not file or Path(file.path).name != Path(shard.source).name:
            was, now = shard.source, file.path if file else "nothing"
        else:
            continue
        raise UserError(
            f"shard {number} in {place} was made from {was}, and {source.where} has {now} in its place: move {place} "
            "away to load everything anew"
        )
    return source
