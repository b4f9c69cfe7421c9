"""The task "windows": language modelling in which every token of a window predicts the next."""

from typing import Any

import numpy as np

from runner.data import order
from runner.data.tasks.task import Task
from runner.data.tokens import Span
from runner.settings import need


class Windows(Task):
    """Windows of `block` tokens of the corpus; the targets are the inputs shifted by one, [B, T] each.

    A split is evaluated in adjacent windows or, with a stride, in overlapping ones; all of its tokens but the first are
    predicted once.
    """

    @staticmethod
    def check(where: str, spans: dict[str, Span], block: int, settings: Any) -> None:
        """Raise a `UserError` for a split that is too short for a block and the token after it."""
        for name, (start, stop) in spans.items():
            need(
                where,
                block < stop - start,
                f"block_size = {block} is longer than data.{name} has ({stop - start} tokens): shorten the block to "
                f"{stop - start - 1} or less",
            )

    def read(self, starts_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        window_BT = self.tokens.windows(starts_B, self.reading.block + 1).astype(np.int64)
        return window_BT[:, :-1], window_BT[:, 1:]

    def every(self, span: Span) -> tuple[np.ndarray, np.ndarray]:
        block = self.reading.block
        starts, skip = order.windows(span, block, self.reading.stride)
        return starts, np.arange(block) >= skip[:, None]
