"""The task "arithmetic": one model learns several linear functions of two numbers modulo a prime.

Function k is a_k·x + b_k·y modulo a prime p. An example is five tokens, `k x y = z`, of which the model reads four
and predicts the last. Tokens are the numbers 0 to p - 1, the functions p to p + K - 1, and the equals sign p + K.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from runner.data import order
from runner.data.tasks.task import Task
from runner.data.tokenizers.tokenizer import Source, Tokenizer
from runner.data.tokens import Span, Tokens
from runner.errors import UserError
from runner.settings import need

LENGTH = 5  # tokens of an example
FUNCTIONS, PAIRS = 2**32 + 1, 2**32 + 3  # random streams that nothing else uses; FUNCTIONS + 1 is used too


@dataclass(frozen=True)
class ArithmeticSpec:
    """The settings of modular arithmetic.

    functions  how many linear functions; the first ones do not depend on how many there are
    modulus    a prime
    draw       the seed of the functions and of the order of the pairs, and so of the splits
    """

    functions: int = 1
    modulus: int = 97
    draw: int = 0

    def check(self, where: str) -> None:
        """Raise a `UserError` for the first invalid setting; `where` names their origin."""
        p, k = self.modulus, self.functions
        prime = p >= 5 and all(p % d for d in range(2, int(p**0.5) + 1))
        need(where, prime and p < 1000, f"data.arithmetic.modulus = {p} must be a prime from 5 to 997, such as 97")
        need(where, 0 <= self.draw < 2**32, f"data.arithmetic.draw = {self.draw} must be at least 0 and below 2**32")
        most = len(_coefficients(self))
        need(
            where,
            1 <= k <= most,
            f"data.arithmetic.functions = {k} must be at least 1 and at most {most}: with modulus {p} no more have "
            "coefficients of their own",
        )

    @property
    def coefficients(self) -> np.ndarray:
        """int64 [K, 2]: a and b of each function. All a are different, all b are different, and a is never b."""
        return _coefficients(self)[: self.functions]


def _coefficients(spec: ArithmeticSpec) -> np.ndarray:
    a, b = (1 + order.shuffled(spec.modulus - 1, spec.draw, FUNCTIONS + i) for i in range(2))
    pairs = np.stack((a, b), axis=1)
    distinct: np.ndarray = pairs[a != b]
    return distinct


class Equations(Tokenizer):
    """The tokenizer of modular arithmetic; its texts are such as `f0 3 5 = 8`."""

    def __init__(self, spec: ArithmeticSpec) -> None:
        self.words = [*map(str, range(spec.modulus)), *(f"f{k}" for k in range(spec.functions)), "="]
        self.vocabulary, self.prompt = len(self.words), "f0 1 2 ="

    @classmethod
    def of(cls, source: Source) -> Self:
        """The tokenizer for the settings of a source."""
        return cls(source.settings)

    def encode(self, text: str) -> np.ndarray:
        """uint16 [T]: the ids of a text's words. Raises a `UserError` for an unknown word."""
        known = {word: i for i, word in enumerate(self.words)}
        strange = [word for word in text.split() if word not in known]
        if strange:
            raise UserError(f"{strange[0]!r} is no word of modular arithmetic: write such as {self.prompt!r}")
        return np.array([known[word] for word in text.split()], dtype=np.uint16)

    def decode(self, ids: np.ndarray) -> str:
        """The text of some ids."""
        return " ".join(self.words[i] for i in ids)

    def sizes(self) -> np.ndarray:
        """int64 [vocabulary]: zeros, as these tokens encode no text."""
        return np.zeros(self.vocabulary, dtype=np.int64)


class Arithmetic(Task):
    """Inputs `k x y =` and targets, int64 [B, 4] each; only the answer, the last target, has a weight.

    Splits are ranges of the p² pairs (x, y) in a shuffled order; each pair comes with every function.
    """

    generated = True
    continues = False
    weights_U = np.array([0, 0, 0, LENGTH - 1], dtype=np.float32)

    @staticmethod
    def check(where: str, spans: dict[str, Span], block: int, settings: ArithmeticSpec) -> None:
        """Raise a `UserError` for invalid settings, a split beyond the last pair, or a block that is not four
        tokens."""
        settings.check(where)
        need(
            where,
            block == LENGTH - 1,
            f"block_size = {block} must be {LENGTH - 1} for modular arithmetic: a function, two numbers and =",
        )
        pairs = settings.modulus**2
        for name, (_, stop) in spans.items():
            need(
                where,
                stop <= pairs,
                f"data.{name} ends at {stop}, but there are {pairs} pairs of numbers modulo {settings.modulus}: end "
                "it there",
            )

    @staticmethod
    def generate(spans: dict[str, Span], settings: ArithmeticSpec) -> Tokens:
        """Generate all examples, in the order of their pairs, with all functions of each pair."""
        p, functions = settings.modulus, settings.functions
        x_P, y_P = np.divmod(order.shuffled(p * p, settings.draw, PAIRS), p)
        a_K, b_K = settings.coefficients.T
        examples = np.empty((p * p, functions, LENGTH), dtype=np.uint16)
        examples[:, :, 0] = p + np.arange(functions)
        examples[:, :, 1] = x_P[:, None]
        examples[:, :, 2] = y_P[:, None]
        examples[:, :, 3] = p + functions
        examples[:, :, 4] = (x_P[:, None] * a_K + y_P[:, None] * b_K) % p
        size = functions * LENGTH
        return Tokens(
            examples.reshape(-1), Equations(settings), {name: (a * size, b * size) for name, (a, b) in spans.items()}
        )

    def read(self, starts_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        example_BT = self.tokens.windows(starts_B, LENGTH).astype(np.int64)
        return example_BT[:, :-1], example_BT[:, 1:]

    def draw(self, step: int, span: Span, stream: int) -> np.ndarray:
        examples = 0, (span[1] - span[0]) // LENGTH + 1  # `order` draws starts below the end minus one
        return span[0] + LENGTH * order.starts(self.reading.seed, step, self.reading.batch, examples, 1, stream)

    def every(self, span: Span) -> tuple[np.ndarray, np.ndarray]:
        starts = np.arange(*span, LENGTH, dtype=np.int64)
        return starts, np.broadcast_to(np.arange(LENGTH - 1) == LENGTH - 2, (len(starts), LENGTH - 1))
