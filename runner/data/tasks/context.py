"""The task "context": language modelling in which a context of fixed length predicts the next token."""

from typing import Any, ClassVar

import numpy as np

from runner.data.tasks.task import Task
from runner.data.tasks.windows import Windows
from runner.data.tokens import Span


class Context(Task):
    """Contexts of `block` tokens, [B, T], that predict the token after them, [B, 1].

    A split is evaluated at every token with a full context: all but its first `block` tokens.
    """

    at_once: ClassVar[int] = 4096  # of each context one token is predicted, so that most layers have few rows

    @staticmethod
    def check(where: str, spans: dict[str, Span], block: int, settings: Any) -> None:
        """Raise a `UserError` for a split that is too short for a context and the token after it."""
        Windows.check(where, spans, block, settings)

    def read(self, starts_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        window_BT = self.tokens.windows(starts_B, self.reading.block + 1).astype(np.int64)
        return window_BT[:, :-1], window_BT[:, -1:]

    def every(self, span: Span) -> tuple[np.ndarray, np.ndarray]:
        starts = np.arange(span[0], span[1] - self.reading.block, dtype=np.int64)
        return starts, np.ones((len(starts), 1), dtype=bool)
