"""A run's batches: windows of its corpus, as functions of (seed, step)."""

import numpy as np
import torch

from runner.data import dataset
from runner.plan.spec import RunSpec
from runner.training.group import Group

CHUNK = 64  # steps whose batch positions are drawn and moved to the device together


class Batches:
    """Windows on the device: this process' share of each batch."""

    def __init__(self, spec: RunSpec, tokens: dataset.Tokens, device: torch.device, group: Group) -> None:
        self.spec, self.device, self.group = spec, device, group
        mine, size = group.share(spec.train.grad_accumulation), spec.train.batch_size // spec.train.grad_accumulation
        self.mine = slice(mine.start * size, mine.stop * size)
        # A corpus that fits is kept on the device; windows of a larger one are read from its shards as they are needed.
        small = isinstance(tokens.ids, np.ndarray)
        self.tokens, self.ids_N = tokens, torch.from_numpy(tokens.ids).to(device) if small else None
        self.offsets_T = torch.arange(spec.model.block_size + 1, device=device)
        self._chunk: tuple[int, torch.Tensor] | None = None

    def windows(self, starts_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs and targets, int64 [B, T] each, of the windows that begin at `starts_B`."""
        if self.ids_N is None:
            found_BT = self.tokens.windows(starts_B.cpu().numpy(), len(self.offsets_T))
            window_BT = torch.from_numpy(found_BT).to(self.device).long()
        else:
            window_BT = self.ids_N[starts_B[:, None] + self.offsets_T].long()
        return window_BT[:, :-1].contiguous(), window_BT[:, 1:].contiguous()

    def train(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The training batch of a step."""
        first = step - step % CHUNK
        if self._chunk is None or self._chunk[0] != first:
            spec = self.spec
            starts = [
                dataset.starts(spec.seed, s, spec.train.batch_size, spec.data.train, spec.model.block_size)
                for s in range(first, first + CHUNK)
            ]
            self._chunk = first, torch.from_numpy(np.stack(starts)[:, self.mine]).to(self.device)
        return self.windows(self._chunk[1][step - first])

    def split(self, name: str) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """The batches on which a split is evaluated: inputs, targets and weights, [B, T] each, one shape.

        The weights of all batches add up to 1, so that the weighted sum of the losses is their mean.
        """
        spec = self.spec
        span, block, size = spec.data.splits()[name], spec.model.block_size, spec.train.batch_size
        if spec.eval.mode == "sampled":
            stream = dataset.EVAL_STREAM + list(spec.data.splits()).index(name)
            drawn = [dataset.starts(spec.seed, i, size, span, block, stream) for i in range(spec.eval.batches)]
            starts, skip = np.concatenate(drawn), np.zeros(size * spec.eval.batches, dtype=np.int64)
        else:
            starts, skip = dataset.windows(span, block)
            if name == "train" and spec.eval.train_tokens is not None:
                chosen = dataset.spread(len(starts), -(-spec.eval.train_tokens // block))
                starts, skip = starts[chosen], skip[chosen]
        counted = np.arange(block) >= skip[:, None]
        padding = -len(starts) % size  # windows of weight 0 fill the last batch: one shape, one compiled program
        starts = np.append(starts, np.full(padding, span[0]))
        weights = np.append(counted / counted.sum(), np.zeros((padding, block)), axis=0).astype(np.float32)
        starts_W, weight_WT = (
            torch.from_numpy(starts).to(self.device),
            torch.from_numpy(weights).to(self.device),
        )
        return [(*self.windows(starts_W[i : i + size]), weight_WT[i : i + size]) for i in range(0, len(starts), size)]
