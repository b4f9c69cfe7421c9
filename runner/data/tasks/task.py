"""The base class of tasks, which turn tokens into batches."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np

from runner.data import order
from runner.data.tokens import Span, Tokens


class Batch(NamedTuple):
    """The inputs of a model, its targets, and their weights in the loss.

    weights_BU  float32. In training the mean of each row is 1, None means 1 everywhere, and the loss is the mean of
                weight times cross-entropy. In evaluation the weights of a whole split add up to 1, and the loss is the
                sum of weight times cross-entropy.
    """

    inputs_BT: np.ndarray  # int64
    targets_BU: np.ndarray  # int64
    weights_BU: np.ndarray | None


@dataclass(frozen=True)
class Reading:
    """The settings of a run that its task needs; for those from `mode` on see `EvalSpec`."""

    seed: int
    block: int  # tokens per sequence
    batch: int  # sequences per step, and the fewest per batch of an evaluation
    mode: str = "exact"
    batches: int = 0
    train_tokens: int | None = None
    stride: int | None = None


class Task(ABC):
    """Makes batches as functions of (seed, step): the same in every arm of a sweep, in any order of calls.

    Every task reads sequences of one length from the tokens. A subclass defines which sequences there are (`every`),
    how they are drawn (`draw`), and the inputs and targets of each (`read`).
    """

    generated: ClassVar[bool] = False  # whether it makes its own data instead of reading a corpus
    continues: ClassVar[bool] = True  # whether what is predicted is the next token, so that a sample can go on with it
    # Tokens that are evaluated at once at least: with a few short sequences, calls take longer than products.
    at_once: ClassVar[int] = 1024
    weights_U: np.ndarray | None = None  # float32, of a training row

    def __init__(self, tokens: Tokens, reading: Reading, settings: Any = None) -> None:
        self.tokens, self.reading, self.settings = tokens, reading, settings

    @staticmethod  # noqa: B027 - most tasks have nothing to check
    def check(where: str, spans: dict[str, Span], block: int, settings: Any) -> None:
        """Raise a `UserError` for invalid splits, block size or settings; `where` names their origin."""

    @staticmethod
    def generate(spans: dict[str, Span], settings: Any) -> Tokens:
        """Generate the data of a task with `generated`; `spans` has the splits of the spec."""
        raise TypeError("a task that reads a corpus makes no data of its own")

    @abstractmethod
    def read(self, starts_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The inputs and targets, int64 [B, …], of the sequences that start at these indices, int64 [B]."""

    def draw(self, step: int, span: Span, stream: int) -> np.ndarray:
        """int64 [batch]: the starts of the sequences of a batch, drawn from `span`."""
        return order.starts(self.reading.seed, step, self.reading.batch, span, self.reading.block, stream)

    @abstractmethod
    def every(self, span: Span) -> tuple[np.ndarray, np.ndarray]:
        """The starts of sequences that predict all of a split once, int64 [W], and which of their targets count, bool
        [W, U]."""

    def train(self, step: int, rows: slice) -> Batch:
        """The given rows of the training batch of a step."""
        inputs, targets = self.read(self.draw(step, self.tokens.spans["train"], order.TRAIN_STREAM)[rows])
        weights_U = self.weights_U
        return Batch(inputs, targets, None if weights_U is None else np.tile(weights_U, (len(inputs), 1)))

    def split(self, name: str) -> list[Batch]:
        """The batches on which a split is evaluated, all of one shape."""
        span = self.tokens.spans[name]
        starts, counted = self.every(span)
        if self.reading.mode == "sampled":
            stream = order.EVAL_STREAM + list(self.tokens.spans).index(name)
            starts = np.concatenate([self.draw(i, span, stream) for i in range(self.reading.batches)])
            counted = np.broadcast_to(counted.any(axis=0), (len(starts), counted.shape[1]))
        elif name == "train" and self.reading.train_tokens is not None:
            chosen = order.spread(len(starts), -(-self.reading.train_tokens // counted.sum(axis=1).max()))
            starts, counted = starts[chosen], counted[chosen]
        size = max(self.reading.batch, min(len(starts), self.at_once // self.reading.block))
        padding = -len(starts) % size  # sequences of weight 0 fill the last batch, so that all have one shape
        starts = np.append(starts, np.full(padding, span[0]))
        weights = counted / counted.sum()
        weights = np.append(weights, np.zeros((padding, weights.shape[1])), axis=0).astype(np.float32)
        parts = [slice(i, i + size) for i in range(0, len(starts), size)]
        return [self._shaped(self.read(starts[part]), weights[part]) for part in parts]

    @staticmethod
    def _shaped(pair: tuple[np.ndarray, np.ndarray], weights: np.ndarray) -> Batch:
        inputs, targets = pair
        return Batch(inputs, targets, weights.reshape(targets.shape))
