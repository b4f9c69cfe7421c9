"""The data of a run: its tokens, its tokenizer, and its task."""

from functools import lru_cache
from typing import Any

import numpy as np

from runner.data import corpora, openwebtext, shards
from runner.data.spec import DataSpec
from runner.data.tasks.registry import TASKS
from runner.data.tasks.task import Reading, Task
from runner.data.tokenizers.gpt2 import GPT2
from runner.data.tokenizers.registry import TOKENIZERS
from runner.data.tokenizers.tokenizer import Source, Tokenizer
from runner.data.tokens import Tokens
from runner.errors import UserError


@lru_cache(maxsize=1)
def load(spec: DataSpec) -> Tokens:
    """The tokens of the whole corpus, or all that the task generates. Raises a `UserError` for splits beyond its
    end."""
    kind = TASKS[spec.task]
    if kind.generated:
        return kind.generate(spec.splits(), spec.settings(spec.task))
    if spec.corpus == openwebtext.NAME:
        return _checked(Tokens(openwebtext.opened(last(spec)), GPT2(), spec.splits()), spec)
    if spec.unit != "tokens":
        return _by_split(spec)
    ids, codec = _whole(TOKENIZERS[spec.tokenizer], corpora.text(spec.corpus), spec.settings(spec.tokenizer))
    return _checked(Tokens(ids, codec, spec.splits()), spec)


@lru_cache(maxsize=2)
def _whole(kind: type[Tokenizer], text: str, settings: Any) -> tuple[np.ndarray, Tokenizer]:
    """A corpus encoded as one text, and the tokenizer. Kept by content, as experiments on one corpus that differ in
    their splits follow each other, and encoding it takes as long as a small run."""
    codec = kind.of(Source(text, text, settings))
    return codec.encode(text), codec


def _checked(tokens: Tokens, spec: DataSpec) -> Tokens:
    _within(spec, len(tokens.ids), "tokens")
    return tokens


def _within(spec: DataSpec, count: int, unit: str) -> None:
    for name, (_, stop) in spec.splits().items():
        if stop > count:
            raise UserError(f"data.{name} ends at {stop}, but {spec.corpus} has {count} {unit}: end it there")


def texts(spec: DataSpec) -> dict[str, list[str]]:
    """The texts of each split: its documents where splits are ranges of documents, else one text."""
    if spec.unit == "tokens":
        tokens = load(spec)
        return {
            name: [tokens.codec.decode(tokens.windows(np.array([start]), stop - start)[0])]
            for name, (start, stop) in tokens.spans.items()
        }
    whole = corpora.documents(spec.corpus) if spec.unit == "documents" else corpora.text(spec.corpus)
    _within(spec, len(whole), spec.unit)
    parts = {name: whole[start:stop] for name, (start, stop) in spec.splits().items()}
    return {name: [part] if isinstance(part, str) else part for name, part in parts.items()}


def _by_split(spec: DataSpec) -> Tokens:
    """Tokens of which each split is encoded by itself."""
    parts, codec = texts(spec), tokenizer(spec)
    ids, spans, sizes, start = [], {}, {}, 0
    for name, split in parts.items():
        ids += [_encoded(split, codec, spec.unit == "documents")]
        spans[name] = start, start + len(ids[-1])
        sizes[name] = sum(len(document.encode()) for document in split)
        start += len(ids[-1])
    return Tokens(np.concatenate(ids), codec, spans, sizes)


def _encoded(split: list[str], codec: Tokenizer, closed: bool) -> np.ndarray:
    if not closed or codec.end is None:
        return codec.encode(corpora.joined(split) if closed else split[0])
    parts = [codec.encode(document) for document in split]
    end = np.array([codec.end], dtype=parts[0].dtype)
    return np.concatenate([each for part in parts for each in (part, end)])


def tokenizer(spec: DataSpec) -> Tokenizer:
    """The tokenizer of a run; one that is trained is trained on the training split."""
    kind, text = TOKENIZERS[spec.tokenizer], corpora.text(spec.corpus)
    train = text if spec.unit == "tokens" else corpora.joined(texts(spec)["train"])
    return kind.of(Source(text, train, spec.settings(spec.tokenizer)))


def codec(spec: DataSpec) -> Tokenizer:
    """The tokenizer of a run, without reading its tokens."""
    if TASKS[spec.task].generated:
        return load(spec).codec
    return GPT2() if spec.corpus == openwebtext.NAME else tokenizer(spec)


def task(spec: DataSpec, tokens: Tokens, reading: Reading) -> Task:
    """The task of a run. Raises a `UserError` where a split has too few tokens for the block."""
    if spec.unit != "tokens":
        TASKS[spec.task].check(spec.corpus, tokens.spans, reading.block, spec.settings(spec.task))
    return TASKS[spec.task](tokens, reading, spec.settings(spec.task))


def fingerprint(spec: DataSpec) -> str:
    """The checksum of what a run reads: of the text, or of the token shards that its splits are in."""
    if spec.corpus == openwebtext.NAME:
        return shards.Stream(openwebtext.folder()).fingerprint(last(spec))
    return corpora.fingerprint(spec.corpus)


def last(spec: DataSpec) -> int:
    """The end of the last split, in the spec's unit: how much of the corpus the run needs."""
    return max(stop for _, stop in spec.splits().values())
