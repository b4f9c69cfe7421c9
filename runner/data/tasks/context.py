"""Language modelling by fixed contexts: the last tokens of a sequence predict the next one, and no other does."""

from typing import Any

import numpy as np

from runner.data.tasks.task import Task
from runner.data.tasks.windows import Windows
from runner.data.tokens import Span


class Context(Task):
    """Contexts of `block` tokens, [B, T], that predict the token after them, [B, 1].

    A split is evaluated at every token that has a whole context: all of them but the first `block`.
    """

    @staticmethod
    def check(where: str, spans: dict[str, Span], block: int, settings: Any) -> None:
        """A context and the token after it have to fit into each split."""
        Windows.check(where, spans, block, settings)

    def read(self, starts_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        window_BT = self.tokens.windows(starts_B, self.reading.block + 1).astype(np.int64)
        return window_BT[:, :-1], window_BT[:, -1:]

    def every(self, span: Span) -> tuple[np.ndarray, np.ndarray]:
        starts = np.arange(span[0], span[1] - self.reading.block, dtype=np.int64)
        return starts, np.ones((len(starts), 1), dtype=bool)
