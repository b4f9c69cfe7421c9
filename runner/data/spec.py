"""The specification of a run's data: corpus, splits, tokenizer, task. Importable without torch."""

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from runner.data import corpora, openwebtext
from runner.data.tasks.arithmetic import ArithmeticSpec
from runner.data.tasks.registry import TASKS
from runner.data.tokenizers.registry import TOKENIZERS
from runner.data.tokenizers.sentencepiece import SentencePieceSpec
from runner.settings import later, need

UNITS = ("tokens", "characters", "documents")


@dataclass(frozen=True)
class DataSpec:
    """The data of a run: a corpus, its splits as half-open ranges `(start, stop)`, a tokenizer and a task.

    tokenizer      "characters", "bytes", "gpt2" or "p50k_base" (byte pairs), "bert-base-uncased" (WordPiece), or
                   "sentencepiece" (byte pairs that are trained on the training split)
    unit           what splits are ranges of: "tokens", "characters" or "documents"; each document ends with the
                   tokenizer's end token, or with an empty line where it has none
    task           "windows", in which every token predicts the next; "context", in which `block_size` tokens predict
                   one; or "arithmetic", which generates its data (corpus = "none"), with splits that are ranges of
                   pairs of numbers
    sentencepiece, arithmetic
                   the settings of that tokenizer or task
    """

    corpus: str = "tiny-shakespeare"
    train: tuple[int, int] = (0, 1_003_854)
    val: tuple[int, int] = (1_003_854, 1_115_394)
    test: tuple[int, int] | None = None
    tokenizer: str = later("characters")
    task: str = later("windows")
    arithmetic: ArithmeticSpec = later(ArithmeticSpec())
    unit: str = later("tokens")
    sentencepiece: SentencePieceSpec = later(SentencePieceSpec())

    def splits(self) -> dict[str, tuple[int, int]]:
        """The splits by name, in the order in which they are evaluated; `test` only where there is one."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: span for name, span in named.items() if span is not None}

    def settings(self, name: str) -> Any:
        """The settings of the task or tokenizer `name`; None where it has none."""
        return getattr(self, name) if name in _tables() else None

    def check(self, where: str, block: int) -> None:
        """Raise a `UserError` for the first invalid setting; `block` is the model's block size, `where` the spec's
        origin."""
        for name, known in (("tokenizer", TOKENIZERS), ("task", TASKS), ("unit", UNITS)):
            given = getattr(self, name)
            need(where, given in known, f'{name} = "{given}" is unknown; known: {", ".join(known)}')
        for name, default in _tables().items():
            need(
                where,
                name in (self.task, self.tokenizer) or getattr(self, name) == default,
                f"data.{name} is set, but this run has another task and another tokenizer: take it out",
            )
        generated, none = TASKS[self.task].generated, f'corpus = "{corpora.NONE}"'
        need(
            where,
            generated == (self.corpus == corpora.NONE),
            f'task = "{self.task}" reads no corpus: set {none}'
            if generated
            else f'task = "{self.task}" reads a corpus: {none} is for tasks that make their own data',
        )
        need(
            where,
            not generated or self.tokenizer == "characters",
            f'tokenizer = "{self.tokenizer}" has no text: task = "{self.task}" has tokens of its own; take it out',
        )
        for name, (start, stop) in self.splits().items():
            need(
                where,
                0 <= start < stop,
                f"data.{name} = [{start}, {stop}] is empty; give [start, stop] with start < stop",
            )
        for (one, (_, stop)), (name, (start, _)) in pairwise(sorted(self.splits().items(), key=lambda split: split[1])):
            need(
                where,
                stop <= start,
                f"data.{one} and data.{name} overlap: {one} ends at {stop}, {name} begins at {start}",
            )
        if self.settings(self.tokenizer):
            self.settings(self.tokenizer).check(where)
        codec = TOKENIZERS[self.tokenizer]
        need(
            where,
            self.unit != "tokens" or (codec.lossless and not codec.trained),
            f'tokenizer = "{self.tokenizer}" needs splits that do not depend on it: set unit = "characters" or '
            '"documents", and splits that are ranges of those',
        )
        need(
            where,
            self.unit == "tokens" or not (generated or self.corpus == openwebtext.NAME),
            f'unit = "{self.unit}" is for corpora that are texts: corpus = "{self.corpus}" is read in tokens',
        )
        need(
            where,
            self.corpus != openwebtext.NAME or self.tokenizer == "gpt2",
            f'corpus = "{self.corpus}" is read as GPT-2\'s tokens: set tokenizer = "gpt2"',
        )
        if self.unit == "tokens":  # else the numbers of tokens are known only once they are encoded
            TASKS[self.task].check(where, self.splits(), block, self.settings(self.task))


def _tables() -> dict[str, Any]:
    """The default settings of tasks and tokenizers, by name; those without settings are left out."""
    return {f.name: f.default for f in dataclasses.fields(DataSpec) if dataclasses.is_dataclass(f.default)}
