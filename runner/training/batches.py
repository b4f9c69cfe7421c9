"""A run's batches on the device: this process' share of the batches that the task gives for a seed and a step."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from runner.data import dataset
from runner.data.tasks import task
from runner.data.tokens import Tokens
from runner.plan.spec import RunSpec
from runner.training.group import Group


class Batch(NamedTuple):
    """A `runner.data.tasks.task.Batch` on the device."""

    inputs_BT: Tensor
    targets_BU: Tensor
    weights_BU: Tensor | None


class Batches:
    """The batches of a run's task, moved to the device."""

    def __init__(self, spec: RunSpec, tokens: Tokens, device: torch.device, group: Group) -> None:
        train, ev = spec.train, spec.eval
        mine, size = group.share(train.grad_accumulation), train.batch_size // train.grad_accumulation
        self.mine, self.device = slice(mine.start * size, mine.stop * size), device
        block = spec.model.block_size
        reading = task.Reading(spec.seed, block, train.batch_size, ev.mode, ev.batches, ev.train_tokens, ev.stride)
        self.task = dataset.task(spec.data, tokens, reading)

    def train(self, step: int) -> Batch:
        """The rows of this process of the training batch of a step."""
        return self._move(self.task.train(step, self.mine))

    def split(self, name: str) -> list[Batch]:
        """The batches on which a split is evaluated, all of one shape; their weights add up to 1."""
        return [self._move(batch) for batch in self.task.split(name)]

    def _move(self, batch: task.Batch) -> Batch:
        inputs_BT, targets_BU, weights_BU = batch
        weights = None if weights_BU is None else self._tensor(weights_BU)
        return Batch(self._tensor(inputs_BT), self._tensor(targets_BU), weights)

    def _tensor(self, part: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(np.ascontiguousarray(part))
        if self.device.type == "cuda":  # from pinned memory, so that the copy does not wait for earlier steps
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)
