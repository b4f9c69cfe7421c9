"""Token shards: files of tokens that are read as one sequence.

A folder of shards:

    0000.bin      the tokens of the first source, little-endian uint16
    0000.starts   the starts of its documents within the shard, little-endian int64
    index.json    the source, size and checksums of each shard; a file that is not listed is ignored
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from runner.errors import UserError
from runner.files import atomic, sha256, write_atomic

SCHEMA_VERSION = "1"
TOKEN, START = np.dtype("<u2"), np.dtype("<i8")


@dataclass(frozen=True)
class Shard:
    """The entry of one shard in the index."""

    source: str  # path of the file that it was made from
    source_sha256: str
    tokens: int
    documents: int
    sha256: str  # of the .bin
    starts_sha256: str


def token_path(folder: Path, number: int) -> Path:
    """The file of a shard's tokens."""
    return folder / f"{number:04}.bin"


def start_path(folder: Path, number: int) -> Path:
    """The file of the starts of a shard's documents."""
    return folder / f"{number:04}.starts"


def read_index(folder: Path) -> list[Shard]:
    """The shards of a folder, in order; empty where there is no index. Raises a `UserError` where it cannot be read."""
    path = folder / "index.json"
    try:
        index = json.loads(path.read_text())
        version, shards = index["schema"], [Shard(**shard) for shard in index["shards"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}): restore it, or move {folder} away to start again") from None
    if version != SCHEMA_VERSION:
        raise UserError(f"{path} has schema {version!r}, not {SCHEMA_VERSION!r}: move {folder} away to start again")
    return shards


def write(
    folder: Path, number: int, source: str, source_sha256: str, parts: Iterable[tuple[np.ndarray, np.ndarray]]
) -> Shard:
    """Write shard `number` from parts: tokens uint16 [T] and lengths int64 [D] of whole documents; returns its entry.

    It is added to the index once both files are complete. A shard that the index has already is written again; raises a
    `UserError` where its tokens differ from the first time.
    """
    shards = read_index(folder)
    digest, tokens, starts = hashlib.sha256(), 0, [np.empty(0, START)]
    with atomic(token_path(folder, number)) as file:
        for ids, lengths in parts:
            content = np.ascontiguousarray(ids, TOKEN).data
            file.write(content)
            digest.update(content)
            starts.append(tokens + np.cumsum(lengths) - lengths)
            tokens += len(ids)
        begins = np.concatenate(starts).astype(START).tobytes()
        sums = digest.hexdigest(), hashlib.sha256(begins).hexdigest()
        shard = Shard(source, source_sha256, tokens, len(begins) // START.itemsize, *sums)
        if number < len(shards) and (shards[number].sha256, shards[number].starts_sha256) != sums:
            raise UserError(
                f"{token_path(folder, number)} comes out with sha256 {sums[0]}, not {shards[number].sha256} as the "
                f"first time: move {folder} away to load all of it again"
            )
    write_atomic(start_path(folder, number), begins)
    if number >= len(shards):
        index = {"schema": SCHEMA_VERSION, "shards": [asdict(each) for each in [*shards, shard]]}
        write_atomic(folder / "index.json", json.dumps(index, indent=1) + "\n")
    return shard


class Stream:
    """The tokens of a folder's shards as one sequence, read through memory maps.

    Opening it checks only the sizes of the files, `check` their checksums. Raises a `UserError` for a file that is
    missing or has another size than in the index.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shards = read_index(folder)
        self.ends = np.cumsum([shard.tokens for shard in self.shards], dtype=np.int64)  # int64 [S]
        self.begins = self.ends - [shard.tokens for shard in self.shards]
        self.tokens = [_map(token_path(folder, i), TOKEN, s.tokens) for i, s in enumerate(self.shards)]
        self.starts = [_map(start_path(folder, i), START, s.documents) for i, s in enumerate(self.shards)]

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def windows(self, starts: np.ndarray, length: int) -> np.ndarray:
        """uint16 [B, length]: the `length` tokens from each of `starts`, int64 [B], on. Raises an IndexError outside
        the sequence."""
        starts = np.asarray(starts, dtype=np.int64)
        if len(starts) and (starts.min() < 0 or starts.max() + length > len(self)):
            raise IndexError(f"windows of {length} from {starts.min()} to {starts.max()} leave 0 to {len(self)}")
        found = np.empty((len(starts), length), dtype=np.uint16)
        first = np.searchsorted(self.ends, starts, side="right")
        for row, start, number in zip(found, starts.tolist(), first.tolist(), strict=True):
            filled = 0
            while filled < length:  # one pass, except where a window crosses shards
                place = start + filled - int(self.begins[number])
                piece = self.tokens[number][place : place + length - filled]
                row[filled : filled + len(piece)] = piece
                filled += len(piece)
                number += 1
        return found

    def documents(self, start: int, stop: int) -> np.ndarray:
        """int64 [D]: the starts of the documents that start in [start, stop), ascending."""
        found = [np.empty(0, dtype=np.int64)]
        for begin, end, starts in zip(self.begins.tolist(), self.ends.tolist(), self.starts, strict=True):
            if start < end and begin < stop:
                low, high = np.searchsorted(starts, [start - begin, stop - begin])
                found.append(starts[low:high] + begin)
        return np.concatenate(found)

    def covering(self, stop: int) -> int:
        """The number of shards that hold the tokens [0, stop). Raises a `UserError` where all of them hold fewer."""
        if stop > len(self):
            raise UserError(
                f"{self.folder} holds {len(self):,} tokens, fewer than the {stop:,} asked for: load more with "
                f"`runner data {self.folder.name} --tokens {stop}`"
            )
        return int(np.searchsorted(self.ends, stop)) + 1 if stop > 0 else 0

    def fingerprint(self, stop: int) -> str:
        """The checksum of the shards that hold the tokens [0, stop). It does not depend on later shards.

        The starts of documents need not be hashed: they follow from the end tokens of the documents.
        """
        sums = [shard.sha256 for shard in self.shards[: self.covering(stop)]]
        return hashlib.sha256("\n".join(sums).encode()).hexdigest()

    def check(self, stop: int | None = None) -> None:
        """Check the checksums of the shards that hold the tokens [0, stop), or of all shards.

        Raises a `UserError` with both checksums for the first that does not match.
        """
        for number in range(len(self.shards) if stop is None else self.covering(stop)):
            check(self.folder, number, self.shards[number])


def check(folder: Path, number: int, shard: Shard) -> None:
    """Check the checksums of one shard's files; raises a `UserError` where one is missing or does not match."""
    for path, wanted in (
        (token_path(folder, number), shard.sha256),
        (start_path(folder, number), shard.starts_sha256),
    ):
        if not path.is_file():
            raise UserError(f"{path} is missing: `runner data {folder.name}` makes it again")
        if (found := sha256(path)) != wanted:
            raise UserError(
                f"{path} has sha256 {found}, not {wanted}: delete it, and `runner data {folder.name}` makes it again"
            )


def _map(path: Path, dtype: np.dtype, count: int) -> np.ndarray:
    """A memory map of a file of `count` numbers; a `UserError` for a missing file or another size."""
    size = path.stat().st_size if path.is_file() else None
    if size is None:
        raise UserError(f"{path} is missing: `runner data {path.parent.name}` makes it again")
    if size != count * dtype.itemsize:
        raise UserError(
            f"{path} has {size:,} bytes, not {count * dtype.itemsize:,}: delete it, and "
            f"`runner data {path.parent.name}` makes it again"
        )
    return np.memmap(path, dtype=dtype, mode="r") if count else np.empty(0, dtype)
