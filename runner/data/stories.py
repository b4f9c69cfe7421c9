"""TinyStories' GPT-4 part (Eldan and Li 2023): 10,000 stories of its validation file, then the beginning of its
training file.

Looked for in the cache, then in the folder RUNNER_DATA under the names of the two files, then on the hub, of which as
many bytes are asked for as are needed. The training file's first 10,000 lines have a checksum that is pinned here, the
hub's statement of both files is pinned when it is first seen, and what was taken is held against its checksum each
time.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from runner.data import cache, hub
from runner.errors import Absent, UserError
from runner.files import sha256, write_atomic
from runner.lock import hold

NAME = "stories"
DATASET = hub.Dataset("roneneldan/TinyStories", "main", "")
TRAIN, VALID = "TinyStoriesV2-GPT4-train.txt", "TinyStoriesV2-GPT4-valid.txt"
SEPARATOR, OPENING = "<|endoftext|>", "Once upon a time"
HELD_OUT = 10_000  # stories of the validation file: the first documents of the corpus
# About 530,000 stories, of which 500,000 are some 105 million tokens of a vocabulary of 3,000, if they are like the
# first 10,000 lines.
SIZE = 440_000_000
LINES, LINES_SHA256 = 1_424_708, "5a19b936d7b53bbdac1eea03230b00161dceca24ae272f5bd8e9dbbc2a883418"

Say = Callable[[str], None]


def folder() -> Path:
    """Where the two parts are kept."""
    return cache.cache_folder() / NAME


def here() -> bool:
    """Whether it is in the cache, or in a folder of the user's."""
    given = cache.given_folder()
    return (folder() / "index.json").is_file() or bool(given and (given / TRAIN).is_file())


def load(say: Say = lambda line: None) -> bytes:
    """The corpus: validation stories, then training stories, the last of which is cut off.

    A file that is missing, too short, altered or not the one that the pinned lines are from is a `UserError`.
    """
    place = folder()
    if not (place / "index.json").is_file():
        with hold(place):
            if not (place / "index.json").is_file():  # another process may just have made it
                _gather(place, say)
    parts = []
    for name, wanted in _index(place).items():
        path = place / name
        if not path.is_file() or (found := sha256(path)) != wanted:
            state = f"has sha256 {found}, not {wanted}" if path.is_file() else "is missing"
            raise UserError(f"{path} {state}: move {place} away to have it made again")
        parts.append(path.read_bytes())
    return b"".join(parts)


def fingerprint() -> str:
    """The checksum of what runs read of it; it is loaded where it is not there yet."""
    if not (folder() / "index.json").is_file():
        load()
    return hashlib.sha256("\n".join(_index(folder()).values()).encode()).hexdigest()


def _index(place: Path) -> dict[str, str]:
    """The checksums of the parts, in order."""
    path = place / "index.json"
    try:
        kept = json.loads(path.read_text())
        return {name: str(kept[name]) for name in ("valid.txt", "train.txt")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}): move {place} away to have it made again") from None


def _gather(place: Path, say: Say) -> None:
    """Bring both parts into the cache, and note their checksums once they are what they should be."""
    given = cache.given_folder()
    if given:
        valid, train = _given(given, VALID, None), _given(given, TRAIN, SIZE)
        say(f"{NAME}: from {given}")
    else:
        stated = {file.path: file for file in hub.pinned(DATASET, place / "listing.json", suffix=".txt")}
        for path in (VALID, TRAIN):
            if path not in stated:
                raise UserError(f"{DATASET.name} on the hub has no {path}: check RUNNER_HUB")
        hub.download(DATASET, stated[VALID], place / "valid.whole", say=say)
        first = hub.File(TRAIN, min(SIZE, stated[TRAIN].size), "")
        hub.download(DATASET, first, place / "train.txt", say=say, prefix=True)
        valid, train = (place / "valid.whole").read_bytes(), (place / "train.txt").read_bytes()
        say(f"{NAME}: {VALID} and the first {len(train):,} bytes of {TRAIN} from the hub")
    beginning = hashlib.sha256(train[:LINES]).hexdigest()
    if beginning != LINES_SHA256:
        (place / "train.txt").unlink(missing_ok=True)
        raise UserError(
            f"{NAME}: the first {LINES:,} bytes of {TRAIN} have sha256 {beginning}, not {LINES_SHA256}: put the "
            "original there, or set RUNNER_HUB to another mirror"
        )
    stories = [story for each in valid.decode().split(SEPARATOR) if (story := each.strip())]
    if len(stories) < HELD_OUT:
        raise UserError(f"{NAME}: {VALID} has {len(stories):,} stories, fewer than {HELD_OUT:,}: it is truncated")
    held_out = "".join(f"{story}\n{SEPARATOR}\n" for story in stories[:HELD_OUT]).encode()
    sums = {}
    for name, content in (("valid.txt", held_out), ("train.txt", train)):
        write_atomic(place / name, content)
        sums[name] = hashlib.sha256(content).hexdigest()
    (place / "valid.whole").unlink(missing_ok=True)
    write_atomic(place / "index.json", json.dumps(sums, indent=1) + "\n")


def _given(folder: Path, name: str, size: int | None) -> bytes:
    """The first `size` bytes of a file of the user's, or all of it."""
    path = folder / name
    if not path.is_file():
        raise Absent(f"RUNNER_DATA names {folder}, which has no {name}; put it there or unset it")
    with path.open("rb") as file:
        content = file.read() if size is None else file.read(size)
    if size is not None and len(content) < size:
        raise UserError(f"{path} has {len(content):,} bytes, fewer than the {size:,} that are read: it is truncated")
    return content
