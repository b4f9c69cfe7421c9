"""What a run reads, as a frozen specification. Importable without torch."""

from dataclasses import dataclass

from runner.settings import later, need

TOKENIZERS = ("characters", "gpt2")


@dataclass(frozen=True)
class DataSpec:
    """A corpus and its splits, as half-open ranges of tokens `(start, stop)`. A token is a character, or one of
    GPT-2's byte pairs (tokenizer = "gpt2")."""

    corpus: str = "tiny-shakespeare"
    train: tuple[int, int] = (0, 1_003_854)
    val: tuple[int, int] = (1_003_854, 1_115_394)
    test: tuple[int, int] | None = None
    tokenizer: str = later("characters")

    def splits(self) -> dict[str, tuple[int, int]]:
        """The splits that exist, by name, in the order in which they are evaluated."""
        named = {"train": self.train, "val": self.val, "test": self.test}
        return {name: span for name, span in named.items() if span is not None}

    def check(self, where: str, block: int) -> None:
        """Raise a `UserError` that names the first setting that cannot be, for a model that reads `block` tokens."""
        need(
            where,
            self.tokenizer in TOKENIZERS,
            f'tokenizer = "{self.tokenizer}" is unknown; known: {", ".join(TOKENIZERS)}',
        )
        for name, (start, stop) in self.splits().items():
            need(
                where,
                0 <= start < stop,
                f"data.{name} = [{start}, {stop}] is empty; give [start, stop] with start < stop",
            )
            need(
                where,
                block < stop - start,
                f"block_size = {block} is longer than data.{name} has ({stop - start} tokens): shorten the block to "
                f"{stop - start - 1} or less",
            )
