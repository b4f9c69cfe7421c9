"""What a run reads, as a frozen specification. Importable without torch."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from runner.data import corpora
from runner.data.tasks.arithmetic import ArithmeticSpec
from runner.data.tasks.registry import TASKS
from runner.data.tokenizers.registry import TOKENIZERS
from runner.settings import later, need


@dataclass(frozen=True)
class DataSpec:
    """A corpus, its splits, as half-open ranges `(start, stop)`, and what is learnt of it.

    tokenizer   makes the tokens that splits are ranges of: "characters", or "gpt2" for GPT-2's byte pairs
    task        what of it is read, and what is to be predicted: "windows", in which every token predicts the next;
                "context", in which `block_size` tokens predict one; "arithmetic", which reads no corpus, so that
                corpus = "none", and whose splits are ranges of pairs of numbers
    arithmetic  the settings of that task
    """

    corpus: str = "tiny-shakespeare"
    train: tuple[int, int] = (0, 1_003_854)
    val: tuple[int, int] = (1_003_854, 1_115_394)
    test: tuple[int, int] | None = None
    tokenizer: str = later("characters")
    task: str = later("windows")
    arithmetic: ArithmeticSpec = later(ArithmeticSpec())

    def splits(self) -> dict[str, tuple[int, int]]:
        """The splits that exist, by name, in the order in which they are evaluated."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: span for name, span in named.items() if span is not None}

    def settings(self, name: str) -> Any:
        """The settings of a task or a tokenizer: those of the table that has its name, None where there is none."""
        return getattr(self, name) if name in _tables() else None

    def check(self, where: str, block: int) -> None:
        """Raise a `UserError` that names the first setting that cannot be, for a model that reads `block` tokens."""
        for name, known in (("tokenizer", TOKENIZERS), ("task", TASKS)):
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
        for name, (start, stop) in self.splits().items():
            need(
                where,
                0 <= start < stop,
                f"data.{name} = [{start}, {stop}] is empty; give [start, stop] with start < stop",
            )
        TASKS[self.task].check(where, self.splits(), block, self.settings(self.task))


def _tables() -> dict[str, Any]:
    """The settings of tasks and tokenizers that have some, at their defaults."""
    return {f.name: f.default for f in dataclasses.fields(DataSpec) if dataclasses.is_dataclass(f.default)}
