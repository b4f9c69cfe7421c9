"""The data of a run: its tokens, and its task on them."""

from functools import lru_cache

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
    """The whole corpus, or all that its task generates."""
    kind = TASKS[spec.task]
    if kind.generated:
        return kind.generate(spec.splits(), spec.settings(spec.task))
    if spec.corpus == openwebtext.NAME:
        return _checked(Tokens(openwebtext.load(last(spec)), GPT2(), spec.splits()), spec)
    if spec.unit != "tokens":
        return _by_split(spec)
    codec = tokenizer(spec)
    return _checked(Tokens(codec.encode(corpora.text(spec.corpus)), codec, spec.splits()), spec)


def _checked(tokens: Tokens, spec: DataSpec) -> Tokens:
    _within(spec, len(tokens.ids), "tokens")
    return tokens


def _within(spec: DataSpec, count: int, unit: str) -> None:
    for name, (_, stop) in spec.splits().items():
        if stop > count:
            raise UserError(f"data.{name} ends at {stop}, but {spec.corpus} has {count} {unit}: end it there")


def texts(spec: DataSpec) -> dict[str, list[str]]:
    """The documents of each split, or its text as one."""
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
    """The splits one after the other, each encoded by itself."""
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
    """The tokenizer of a run, trained if it has to be."""
    kind, text = TOKENIZERS[spec.tokenizer], corpora.text(spec.corpus)
    train = text if spec.unit == "tokens" else corpora.joined(texts(spec)["train"])
    return kind.of(Source(text, train, spec.settings(spec.tokenizer)))


def task(spec: DataSpec, tokens: Tokens, reading: Reading) -> Task:
    """What a run is to learn of its tokens. A `UserError` where a split turns out shorter than the block."""
    if spec.unit != "tokens":
        TASKS[spec.task].check(spec.corpus, tokens.spans, reading.block, spec.settings(spec.task))
    return TASKS[spec.task](tokens, reading, spec.settings(spec.task))


def fingerprint(spec: DataSpec) -> str:
    """The checksum of what a run reads: the text, or those shards of it that its splits reach into."""
    if spec.corpus == openwebtext.NAME:
        return shards.Stream(openwebtext.folder()).fingerprint(last(spec))
    return corpora.fingerprint(spec.corpus)


def last(spec: DataSpec) -> int:
    """Where the last split ends, in tokens: how much of a corpus the run needs."""
    return max(stop for _, stop in spec.splits().values())
