"""The probes of attention. Letters: B batch, T time, E = 3 * D, H heads of size K, N = B * T, D width."""

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.models.kernels import wide
from runner.models.layers import by_heads
from runner.training.probes.prediction import averaged
from runner.training.probes.probe import Evaluated


def largest_logit(qkv_BTE: Tensor, n_head: int) -> Tensor:
    """The largest product of a query and a key over √(head size), by size, over all heads and causal pairs."""
    q_BHTK, k_BHTK, _ = wide(by_heads(qkv_BTE, n_head)).unbind()
    return (q_BHTK @ k_BHTK.mT * q_BHTK.shape[-1] ** -0.5).tril().abs().amax()


def highest(value_ML: Tensor) -> Tensor:
    """The largest over the batches."""
    return value_ML.amax(0)


def alike_patterns(qkv_BTE: Tensor, n_head: int) -> Tensor:
    """How alike two heads look: the cosine of their attention weights, summed over queries and pairs of heads, and how
    many there are. The first query of a sequence has one key only, and is left out."""
    q_BHTK, k_BHTK, _ = wide(by_heads(qkv_BTE, n_head)).unbind()
    score_BHTT = q_BHTK @ k_BHTK.mT * q_BHTK.shape[-1] ** -0.5
    later_TT = torch.ones(score_BHTT.shape[-2:], dtype=torch.bool, device=score_BHTT.device).triu(1)
    weight_BHTT = score_BHTT.masked_fill(later_TT, -torch.inf).softmax(-1)
    return _over_pairs(weight_BHTT[:, :, 1:].permute(0, 2, 1, 3).flatten(0, 1))


def alike_outputs(y_ND: Tensor, out_DD: Tensor, n_head: int) -> Tensor:
    """How alike two heads write: the size of the cosine of what they add to the residual stream, summed over tokens and
    pairs of heads, and how many there are."""
    y_NHK, out_DHK = (wide(t).unflatten(1, (n_head, -1)) for t in (y_ND, out_DD))
    return _over_pairs(torch.einsum("nhk,dhk->nhd", y_NHK, out_DHK))


def _over_pairs(x_NHD: Tensor) -> Tensor:
    """The sum of the sizes of the cosines of all pairs of H vectors, and their number; [2]."""
    unit_NHD = F.normalize(x_NHD, dim=-1)
    total = (unit_NHD @ unit_NHD.mT).abs().triu(1).sum()
    N, H = x_NHD.shape[:2]
    return torch.stack((total, total.new_tensor(N * H * (H - 1) / 2)))


PROBES = (
    Evaluated("attention_logit", "attention.qkv", largest_logit, highest),
    Evaluated("head_pattern_similarity", "attention.qkv", alike_patterns, averaged),
    Evaluated("head_output_similarity", "attention.heads", alike_outputs, averaged),
)
