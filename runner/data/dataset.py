"""The data of a run: its tokens, and its task on them."""

from functools import lru_cache

from runner.data import corpora, openwebtext, shards
from runner.data.spec import DataSpec
from runner.data.tasks.registry import TASKS
from runner.data.tasks.task import Reading, Task
from runner.data.tokenizers.gpt2 import GPT2
from runner.data.tokenizers.registry import TOKENIZERS
from runner.data.tokenizers.tokenizer import Source
from runner.data.tokens import Tokens
from runner.errors import UserError


@lru_cache(maxsize=1)
def load(spec: DataSpec) -> Tokens:
    """The whole corpus, or all that its task generates."""
    kind = TASKS[spec.task]
    if kind.generated:
        return kind.generate(spec.splits(), spec.settings(spec.task))
    if spec.corpus == openwebtext.NAME:
        tokens = Tokens(openwebtext.load(last(spec)), GPT2(), spec.splits())
    else:
        text = corpora.text(spec.corpus)
        codec = TOKENIZERS[spec.tokenizer].of(Source(text, text, spec.settings(spec.tokenizer)))
        tokens = Tokens(codec.encode(text), codec, spec.splits())
    for name, (_, stop) in tokens.spans.items():
        if stop > len(tokens.ids):
            raise UserError(f"data.{name} ends at {stop}, but {spec.corpus} has {len(tokens.ids)} tokens: end it there")
    return tokens


def task(spec: DataSpec, tokens: Tokens, reading: Reading) -> Task:
    """What a run is to learn of its tokens."""
    return TASKS[spec.task](tokens, reading, spec.settings(spec.task))


def fingerprint(spec: DataSpec) -> str:
    """The checksum of what a run reads: the text, or those shards of it that its splits reach into."""
    if spec.corpus == openwebtext.NAME:
        return shards.Stream(openwebtext.folder()).fingerprint(last(spec))
    return corpora.named(spec.corpus).sha256


def last(spec: DataSpec) -> int:
    """Where the last split ends, in tokens: how much of a corpus the run needs."""
    return max(stop for _, stop in spec.splits().values())
