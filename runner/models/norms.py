"""BatchNorm with the statistics that a model is evaluated with chosen by name."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

EPSILON, MOMENTUM = 1e-5, 0.1


class BatchNorm(nn.Module):
    """Normalises each unit by the mean and variance of its batch in training, and by the population's at evaluation.

    The population's statistics are buffers, and so part of every checkpoint. `how` says where they come from, see
    `runner.models.mlp.spec`: a moving average ("batch"), or `calibrate` ("precise", "frozen").
    """

    def __init__(self, width: int, how: str, freeze_at: int) -> None:
        super().__init__()
        self.how, self.freeze_at = how, freeze_at
        self.gain, self.shift = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))
        self.mean: Tensor
        self.variance: Tensor
        self.seen: Tensor
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))  # training batches, if it is to be frozen
        self.sums: list[tuple[Tensor, Tensor]] | None = None  # while it is calibrated: statistics of the batches

    def forward(self, h_NH: Tensor, training: bool) -> Tensor:
        """The normalised units, float32."""
        h_NH = h_NH.float()
        if not training and self.sums is None:
            return F.batch_norm(h_NH, self.mean, self.variance, self.gain, self.shift, eps=EPSILON)
        if self.how == "frozen" and training:
            return self._freezing(h_NH)
        # One call for the norm and one for its gradient: in a small model calls take longer than sums.
        y_NH, mean_H, rstd_H = torch.native_batch_norm(h_NH, self.gain, self.shift, None, None, True, 0.0, EPSILON)
        if self.sums is not None:
            self.sums.append((mean_H, rstd_H**-2 - EPSILON))
        elif self.how == "batch":
            self.mean.lerp_(mean_H, MOMENTUM)
            self.variance.lerp_(rstd_H**-2 - EPSILON, MOMENTUM)
        return y_NH

    def _freezing(self, h_NH: Tensor) -> Tensor:
        """The units normalised by their batch, and from step `freeze_at` on by the population."""
        variance_H, mean_H = torch.var_mean(h_NH, 0, unbiased=False)
        with torch.no_grad():
            self.seen += 1
        frozen = self.seen > self.freeze_at
        mean_H = torch.where(frozen, self.mean, mean_H)
        variance_H = torch.where(frozen, self.variance, variance_H)
        return (h_NH - mean_H) * torch.rsqrt(variance_H + EPSILON) * self.gain + self.shift

    @torch.no_grad()
    def calibrated(self) -> None:
        """Take the statistics of the batches that were seen since `sums` became a list: the mean of their means, and
        the variance around it. A frozen norm keeps those that it was frozen with."""
        assert self.sums
        means, variances = (torch.stack(part) for part in zip(*self.sums, strict=True))
        self.sums = None
        if self.how == "frozen" and int(self.seen) > self.freeze_at:
            return
        self.mean.copy_(means.mean(0))
        self.variance.copy_(variances.mean(0) + means.var(0, unbiased=False))
