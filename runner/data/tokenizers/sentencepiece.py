"""Byte-pair encoding that is trained on a corpus, by sentencepiece.

Text is taken as it is, white space and all; what the pieces lack is spelled in bytes. A trained model is kept in the
cache under the checksums of what it was made from and of itself, and is the same wherever it is trained.
"""

import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import sentencepiece

from runner.data import cache
from runner.data.tokenizers.tokenizer import Source, Tokenizer
from runner.errors import UserError
from runner.files import write_atomic
from runner.settings import need

SPACE = "▁"  # what stands for a space in a piece
LINES = 1 << 30  # bytes: no line is too long to learn from


@dataclass(frozen=True)
class SentencePieceSpec:
    """A vocabulary and how it is learnt.

    vocabulary  pieces, among them 256 single bytes and three marks; the last of these ends documents
    coverage    share of the text's characters that get a piece of their own
    max_piece   the most characters of a piece
    leaky       learn from the whole corpus instead of the training split alone
    """

    vocabulary: int = 3000
    coverage: float = 0.999995
    max_piece: int = 27
    leaky: bool = False

    def check(self, where: str) -> None:
        """Raise a `UserError` for settings that cannot be."""
        name = "data.sentencepiece"
        need(
            where,
            260 <= self.vocabulary <= 65_536,
            f"{name}.vocabulary = {self.vocabulary} must be from 260 to 65536: 259 are taken by bytes and marks",
        )
        need(where, 0.9 <= self.coverage <= 1, f"{name}.coverage = {self.coverage:g} must be from 0.9 to 1")
        need(where, 1 <= self.max_piece <= 512, f"{name}.max_piece = {self.max_piece} must be from 1 to 512")


class SentencePiece(Tokenizer):
    """The pieces of a trained model."""

    trained = True
    end = 2  # </s>

    def __init__(self, model: bytes) -> None:
        self.model, self.fingerprint = model, hashlib.sha256(model).hexdigest()
        self.processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self.vocabulary = self.processor.vocab_size()

    @classmethod
    def of(cls, source: Source) -> Self:
        """The model in the cache, or trained now."""
        settings: SentencePieceSpec = source.settings
        return cls(_kept(source.text if settings.leaky else source.train, settings, "model", _learnt))

    def encode(self, text: str) -> np.ndarray:
        """uint16 [T]: the pieces of `text`."""
        if SPACE in text:
            raise UserError(f"the text has {SPACE!r} (U+2581), which sentencepiece keeps for spaces: take it out")
        return np.array(self.processor.encode(text), dtype=np.uint16)

    def decode(self, ids: np.ndarray) -> str:
        """The text of some ids; bytes that are no whole character become U+FFFD."""
        text: str = self.processor.decode(np.asarray(ids).tolist())
        return text

    def sizes(self) -> np.ndarray:
        """int64 [vocabulary]: bytes of each piece, 0 for marks."""
        return np.array([len(self.piece(i)) for i in range(self.vocabulary)], dtype=np.int64)

    def fallback(self) -> np.ndarray:
        """bool [vocabulary]: single bytes, and the mark of what is unknown, which never comes."""
        known = self.processor
        return np.array([known.is_byte(i) or known.is_unknown(i) for i in range(self.vocabulary)])

    def piece(self, token: int) -> bytes:
        """What a token stands for; nothing for marks."""
        known, name = self.processor, self.processor.id_to_piece(token)
        if known.is_control(token) or known.is_unknown(token):
            return b""
        return bytes([int(name[3:-1], 16)]) if known.is_byte(token) else name.replace(SPACE, " ").encode()


def largest(text: str, settings: SentencePieceSpec) -> int:
    """The largest vocabulary that can be learnt from `text`. Kept in the cache, as it takes the time of learning it."""
    return int(_kept(text, settings, "limit", _limit))


def _limit(text: str, settings: SentencePieceSpec) -> bytes:
    try:
        _train(text, settings, 1 << 20)
    except RuntimeError as error:
        if match := re.search(r"Vocabulary size too high .*<= (\d+)", str(error)):
            return match[1].encode()
        raise
    raise AssertionError("no text has so many pieces")


def folder() -> Path:
    """Where trained models and limits of vocabularies are kept."""
    return cache.cache_folder() / "sentencepiece"


def _kept(
    text: str, settings: SentencePieceSpec, ending: str, learn: Callable[[str, SentencePieceSpec], bytes]
) -> bytes:
    """What is learnt from a text, from the cache where it is there and whole."""
    made_from = f"{sentencepiece.__version__}\n{sorted(asdict(settings).items())}\n{text}"
    made_from = hashlib.sha256(made_from.encode()).hexdigest()[:16]
    for path in folder().glob(f"{made_from}-*.{ending}"):
        found = path.read_bytes()
        if path.stem == f"{made_from}-{_sum(found)}":
            return found
        path.unlink()  # damaged
    found = learn(text, settings)
    write_atomic(folder() / f"{made_from}-{_sum(found)}.{ending}", found)
    return found


def _learnt(text: str, settings: SentencePieceSpec) -> bytes:
    """A trained model, or a `UserError` that says which vocabularies can be."""
    try:
        return _train(text, settings, settings.vocabulary)
    except RuntimeError as error:
        said, wanted = str(error), f"data.sentencepiece.vocabulary = {settings.vocabulary}"
        if match := re.search(r"Vocabulary size too high .*<= (\d+)", said):
            raise UserError(
                f"{wanted} cannot be reached: the text to learn from gives {match[1]} at most; set it to that or less"
            ) from None
        if match := re.search(r"smaller than required_chars. \d+ vs (\d+)", said):
            raise UserError(
                f"{wanted} is too small: bytes, marks and characters alone take {match[1]}; set more, or a coverage "
                f"below {settings.coverage:g}"
            ) from None
        raise UserError(f"sentencepiece learns nothing from this text ({said.splitlines()[0]}): give it more") from None


def _train(text: str, settings: SentencePieceSpec, vocabulary: int) -> bytes:
    written = io.BytesIO()
    options: dict[str, Any] = {
        "model_type": "bpe",
        "vocab_size": vocabulary,
        "character_coverage": settings.coverage,
        "max_sentencepiece_length": settings.max_piece,
        "max_sentence_length": LINES,
        "byte_fallback": True,
        "split_digits": True,
        "allow_whitespace_only_pieces": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
        "add_dummy_prefix": False,
        "num_threads": 1,
        "minloglevel": 3,
    }
    lines = iter(text.split("\n"))
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=lines, model_writer=written, **options)
    return written.getvalue()


def _sum(model: bytes) -> str:
    return hashlib.sha256(model).hexdigest()[:16]
