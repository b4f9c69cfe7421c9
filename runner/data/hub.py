"""The dataset hub: what a folder of a dataset holds, and downloads that are continued, checked and never half there.

The hub's address is https://huggingface.co, or what the environment variable RUNNER_HUB says: a mirror, or a test.
"""

import http.client
import json
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.files import sha256, write_atomic

HUB = "https://huggingface.co"
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that a later try may better
ATTEMPTS = 6  # in a row without a byte, before a download is given up; it waits 1, 2, 4, 8, 16 seconds between them
CHUNK = 1 << 20
TIMEOUT = 30  # seconds without a byte

Failure = (urllib.error.URLError, http.client.HTTPException, OSError)
Say = Callable[[str], None]


class Unreachable(UserError):
    """No hub answers."""


@dataclass(frozen=True)
class Dataset:
    """A folder of one revision of a dataset."""

    name: str
    revision: str
    folder: str

    @property
    def listing(self) -> str:
        """The address that lists the folder."""
        return self._address("api/datasets", "tree", self.folder)

    def file(self, path: str) -> str:
        """The address of a file."""
        return self._address("datasets", "resolve", path)

    def _address(self, kind: str, verb: str, path: str) -> str:
        root = os.environ.get("RUNNER_HUB", HUB).rstrip("/")
        revision = urllib.parse.quote(self.revision, safe="")
        return f"{root}/{kind}/{self.name}/{verb}/{revision}/{urllib.parse.quote(path)}".rstrip("/")


@dataclass(frozen=True)
class File:
    """A file of a dataset: its path there, its bytes, and their checksum; empty where nobody states one."""

    path: str
    size: int
    sha256: str


def listing(dataset: Dataset, sleep: Callable[[float], None] = time.sleep, suffix: str = ".parquet") -> list[File]:
    """The files of the folder by path whose names end so, with the sizes and checksums that the hub states.

    Raises a `UserError` where no hub answers, or what answers is none.
    """
    address: str = dataset.listing
    files: list[File] = []
    page: str | None = address
    while page:
        content, page = _page(page, sleep)
        try:
            entries = [entry for entry in json.loads(content) if entry["path"].endswith(suffix)]
            files += [File(entry["path"], entry["lfs"]["size"], entry["lfs"]["oid"]) for entry in entries]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{address} answers, but not with a listing of files: check RUNNER_HUB") from None
    if not files:
        raise UserError(f"{address} lists no {suffix} files: check RUNNER_HUB")
    return sorted(files, key=lambda file: file.path)


def pinned(dataset: Dataset, path: Path, suffix: str = ".parquet") -> list[File]:
    """The listing, held against the one that was seen first and is kept at `path`.

    What has changed since is a `UserError` that names the file and both checksums: tokens of two versions must not
    come together unnoticed.
    """
    files = listing(dataset, suffix=suffix)
    if not path.is_file():
        content = {**asdict(dataset), "files": [asdict(file) for file in files]}
        write_atomic(path, json.dumps(content, indent=1) + "\n")
        return files
    try:
        first = {file["path"]: file["sha256"] for file in json.loads(path.read_text())["files"]}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path} is damaged: delete it to have the listing pinned again") from None
    now = {file.path: file.sha256 for file in files}
    for name in sorted(first.keys() | now.keys()):
        if first.get(name) != now.get(name):
            was, is_ = (f"sha256 {sums[name]}" if name in sums else "not there" for sums in (first, now))
            raise UserError(
                f"{name} of {dataset.name} was {was} when {path} was written, and is {is_} now: go on with the tokens "
                f"that are there, or move {path.parent} away to load everything anew"
            )
    return files


def download(
    dataset: Dataset,
    file: File,
    target: Path,
    report: Callable[[int], None] = lambda done: None,
    say: Say = lambda line: None,
    sleep: Callable[[float], None] = time.sleep,
    prefix: bool = False,
) -> None:
    """Fetch a file to `target`, which exists only once size and checksum hold; one that is there already stays.

    What has come so far is in `target`.part, and the next call goes on from there. `report` hears the bytes that
    are there. With `prefix` only the file's first bytes are asked for, as many as `file` says. Without a checksum the
    caller has to check what came. Raises a `UserError` for a file that is too short and a wrong checksum, and
    `Unreachable` for an address that stays silent.
    """
    if target.is_file() and (sha256(target) if file.sha256 else target.stat().st_size) == (file.sha256 or file.size):
        return
    address = dataset.file(file.path)
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    continued = part.is_file()
    while True:
        _fill(address, part, file.size, report, say, sleep, prefix)
        found = sha256(part)
        if found == file.sha256 or not file.sha256:
            os.replace(part, target)
            return
        part.unlink()
        if not continued:
            says = "is pinned here" if prefix else "the hub's listing says"
            raise UserError(
                f"{address} has sha256 {found}, not {file.sha256} as {says}: try again later, or set RUNNER_HUB to "
                "another mirror"
            )
        say(f"{file.path}: what an earlier download left was damaged; from the start again")
        continued = False


def _page(address: str, sleep: Callable[[float], None]) -> tuple[bytes, str | None]:
    """One page of a listing, and the address of the next."""
    for attempt in range(2):
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT) as response:
                more = re.search(r'<([^>]+)>\s*;\s*rel="?next"?', response.headers.get("Link") or "")
                return response.read(), urllib.parse.urljoin(address, more[1]) if more else None
        except Failure as error:
            why = _reason(error)
            if attempt or not _passing(error):
                break
            sleep(1)
    raise Unreachable(
        f"{address} cannot be read ({why}): set RUNNER_HUB to a hub within reach, RUNNER_DATA to a folder with its "
        "files, or train on a stand-in: --corpus shakespeare-plays, or for an experiment --set corpus=shakespeare-plays"
    )


def _fill(
    address: str,
    part: Path,
    size: int,
    report: Callable[[int], None],
    say: Say,
    sleep: Callable[[float], None],
    prefix: bool,
) -> None:
    """Bring `part` to `size` bytes, over as many connections as it takes."""
    failures, attempts = 0, 2 if prefix else ATTEMPTS  # few, where another corpus may stand in
    while (have := part.stat().st_size if part.exists() else 0) != size:
        if have > size:
            part.unlink()
            continue
        try:
            _append(address, part, have, size, report, prefix)
            why = "the connection ended early"
        except Failure as error:
            why = _reason(error)
            if not _passing(error):
                raise Unreachable(f"{address} cannot be read ({why}): check RUNNER_HUB, or try again later") from None
        now = part.stat().st_size if part.exists() else 0
        if now == size:
            return
        failures = 0 if now > have else failures + 1
        if failures == attempts:
            raise Unreachable(
                f"{address} cannot be read ({why}, {attempts} times in a row): call again later, and it goes on at "
                f"byte {now:,} of {size:,}"
            )
        say(f"{part.stem}: {why} at byte {now:,} of {size:,}; going on")
        sleep(2.0**failures / 2 if failures else 0.1)


def _append(
    address: str, part: Path, have: int, size: int, report: Callable[[int], None], prefix: bool = False
) -> None:
    """Ask for what is missing, and write it as it comes."""
    span = f"bytes={have}-{size - 1}" if prefix else f"bytes={have}-" if have else None
    request = urllib.request.Request(address, headers={"Range": span} if span else {})
    says = "are asked for" if prefix else "the hub's listing says"
    short = UserError(
        f"{address} has fewer than the {size:,} bytes that {says}: try again later, or set RUNNER_HUB to another mirror"
    )
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # there is nothing from this byte on
            part.unlink()
            raise short from None
        raise
    with response:
        begins, total = _extent(response)
        if total is not None and total < size:
            part.unlink(missing_ok=True)
            raise short
        if begins not in (0, have):
            raise http.client.HTTPException(f"asked for bytes from {have}, got them from {begins}")
        with part.open("ab" if begins else "wb") as file:  # a server without ranges begins at 0 again
            done = begins
            while done < size and (chunk := response.read1(min(CHUNK, size - done))):
                try:
                    file.write(chunk)
                except OSError as error:  # not the connection's fault: trying again would not help
                    raise UserError(f"{part} cannot be written ({error.strerror}): make room there") from None
                done += len(chunk)
                report(done)
            file.flush()
            os.fsync(file.fileno())


def _extent(response: Any) -> tuple[int, int | None]:
    """Where an answer begins in the file, and how long the whole file is, where that is said."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range") or "")
        if not match:
            raise http.client.HTTPException("a part without its place in the whole")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length")
    return 0, int(length) if length else None


def _passing(error: BaseException) -> bool:
    return not isinstance(error, urllib.error.HTTPError) or error.code in PASSING


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.reason}"
    return str(getattr(error, "reason", None) or error or type(error).__name__)
