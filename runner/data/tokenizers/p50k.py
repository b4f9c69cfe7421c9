"""p50k_base, the encoding of OpenAI's code models: GPT-2's, and 24 runs of spaces; made from GPT-2's files."""

import base64
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from runner.data import cache
from runner.data.tokenizers import gpt2
from runner.data.tokenizers.tokenizer import Tokenizer
from runner.errors import UserError
from runner.files import write_atomic

if TYPE_CHECKING:
    import tiktoken

ADDRESS = "https://openaipublic.blob.core.windows.net/encodings/p50k_base.tiktoken"
SHA256 = "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069"
SPACES = range(2, 26)  # the lengths of the runs, from token 50,257 on


class P50k(Tokenizer):
    """The tokens of p50k_base, the same for every corpus."""

    vocabulary, end = gpt2.VOCABULARY + len(SPACES), gpt2.END

    def encode(self, text: str) -> np.ndarray:
        """uint16 [T]: the tokens of `text`, without an end."""
        return encoding().encode_to_numpy(text, disallowed_special=()).astype(np.uint16)

    def decode(self, ids: np.ndarray) -> str:
        """The text of some ids; bytes that are no whole character become U+FFFD."""
        return encoding().decode(np.asarray(ids).tolist())

    def sizes(self) -> np.ndarray:
        """int64 [vocabulary]: the bytes of UTF-8 that each token stands for, 0 for the end."""
        sizes = [len(encoding().decode_single_token_bytes(token)) for token in range(self.vocabulary)]
        sizes[self.end] = 0
        return np.array(sizes, dtype=np.int64)

    def fallback(self) -> np.ndarray:
        """bool [vocabulary]: tokens that are no whole characters."""
        return gpt2.partial(encoding(), self.vocabulary)


@lru_cache
def encoding() -> "tiktoken.Encoding":
    """The encoding, made once a process; no network is asked."""
    folder = cache.cache_folder() / "tiktoken"
    path = folder / hashlib.sha1(ADDRESS.encode()).hexdigest()
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        write_atomic(path, _file())
    return gpt2.from_cache(folder, "p50k_base")


def _file() -> bytes:
    """What stands at ADDRESS: a line for each token, its bytes in base 64 and its id."""
    tokens = {token: gpt2.encoding().decode_single_token_bytes(token) for token in range(gpt2.END)}
    tokens |= {gpt2.VOCABULARY + i: b" " * length for i, length in enumerate(SPACES)}
    content = b"".join(b"%s %d\n" % (base64.b64encode(text), token) for token, text in tokens.items())
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise UserError(f"p50k_base made from GPT-2's files has sha256 {found}, not {SHA256}: report it as a defect")
    return content
