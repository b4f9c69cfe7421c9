"""The operations between the matrix products, as pure functions that are compiled one by one.

They are compiled separately, not as one model, because all layers, seeds and mlp_ratios share them: compiling takes
seconds, and its cache serves a whole sweep. Also, this code chooses what is kept for backward, instead of a
partitioner. Letters in the names of tensors: N = B * T rows, D width, E = 3 * D; G = B * H heads of the batch, K head
width, Q queries and S keys of a block of the attention matrix, R = G * Q its rows.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from runner.models.dropout import dropout, kept, positions

EPSILON = 1e-5


def wide(t: Tensor) -> Tensor:
    """The tensor in float32 or wider, for sums and exponentials."""
    return t.to(torch.promote_types(t.dtype, torch.float32))


def add_dropout(x_ND: Tensor, h_ND: Tensor, key: Tensor, p: float) -> Tensor:
    """The residual stream after adding a branch with dropout."""
    return x_ND + dropout(h_ND.to(x_ND.dtype), key, p)


def norm_forward(x_ND: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """LayerNorm without weight, and 1 / standard deviation of each row."""
    centred_ND = x_ND - x_ND.mean(-1, keepdim=True)
    rstd_N1 = torch.rsqrt(centred_ND.square().mean(-1, keepdim=True) + EPSILON)
    return (centred_ND * rstd_N1).to(dtype), rstd_N1


def add_norm_backward(
    dx_ND: Tensor, dn_ND: Tensor, n_ND: Tensor, rstd_N1: Tensor, key: Tensor, p: float, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """The gradients of the residual stream before the branch, and of the branch."""
    d_ND, n_ND = dn_ND.to(dx_ND.dtype), n_ND.to(dx_ND.dtype)
    along_N1 = (d_ND * n_ND).mean(-1, keepdim=True)
    dx_ND = dx_ND + rstd_N1 * (d_ND - d_ND.mean(-1, keepdim=True) - n_ND * along_N1)
    return dx_ND, dropout(dx_ND, key, p).to(dtype)


def split_heads(qkv_BTE: Tensor, n_head: int) -> Tensor:
    """Queries, keys and values by head, [3, G, T, K]."""
    B, T, E = qkv_BTE.shape
    K = E // (3 * n_head)
    return qkv_BTE.view(B, T, 3, n_head, K).permute(2, 0, 3, 1, 4).reshape(3, B * n_head, T, K)


def weights_forward(
    score_GQS: Tensor, key: Tensor, start: int, offset: int, scale: float, p: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Causal softmax and dropout of the queries from `start` on, before the division by the sums over keys.

    Returns the exponentials, negative where dropped (all that backward needs), the same with 0 where dropped, and the
    sums over keys. Positions of the dropout mask are counted from `offset`.
    """
    G, Q, S = score_GQS.shape
    # On a flat matrix and with int32 comparisons, Inductor fuses all passes row by row into one loop nest.
    score_RS = score_GQS.view(G * Q, S)
    row_R1 = torch.arange(G * Q, dtype=torch.int32, device=score_RS.device)[:, None]
    seen_RS = torch.arange(S, dtype=torch.int32, device=score_RS.device) <= row_R1 % Q + start
    high_RS = torch.where(seen_RS, wide(score_RS), -math.inf)
    e_RS = ((high_RS - high_RS.amax(-1, keepdim=True)) * scale).exp()
    if p:
        position_RS = offset + positions((G * Q, S), e_RS.device)
        e_RS = torch.where(kept(position_RS, key, p), e_RS, -e_RS)
    signed_RS = e_RS.to(score_RS.dtype)
    sum_R1 = signed_RS.to(e_RS.dtype).abs().sum(-1, keepdim=True)
    return signed_RS.view(G, Q, S), torch.relu(signed_RS).view(G, Q, S), sum_R1.view(G, Q, 1)


def weights_backward(signed_GQS: Tensor, dw_GQS: Tensor, delta_GQ1: Tensor, scale: float) -> Tensor:
    """The gradient of the scores. `dw` and `delta` are divided by the sums already."""
    signed_GQS = signed_GQS.to(delta_GQ1.dtype)
    kept_GQS = torch.where(signed_GQS > 0, dw_GQS.to(delta_GQ1.dtype), 0.0)
    return (signed_GQS.abs() * (kept_GQS - delta_GQ1) * scale).to(dw_GQS.dtype)


def merge_heads(y_GQK: list[Tensor], sum_GQ1: list[Tensor], n_head: int, p: float) -> Tensor:
    """The concatenated outputs of the heads, [B, T, D], divided by the sums over keys and by 1 - p."""
    parts = [(y.to(s.dtype) / (s * (1 - p))).to(y.dtype) for y, s in zip(y_GQK, sum_GQ1, strict=True)]
    y_GTK = torch.cat(parts, 1)
    G, T, K = y_GTK.shape
    return y_GTK.view(G // n_head, n_head, T, K).transpose(1, 2).reshape(G // n_head, T, n_head * K)


def split_backward(
    dy_BTD: Tensor, y_BTD: Tensor, sum_GQ1: list[Tensor], n_head: int, p: float
) -> tuple[Tensor, Tensor]:
    """By head and divided by the sums over keys: dy / (1 - p), [G, T, K], and the term dy · y of softmax's gradient."""
    B, T, D = dy_BTD.shape
    sum_GT1 = torch.cat(sum_GQ1, 1)
    heads = (B, T, n_head, D // n_head)
    dy_GTK, y_GTK = (
        t.view(heads).transpose(1, 2).reshape(B * n_head, T, -1).to(sum_GT1.dtype) for t in (dy_BTD, y_BTD)
    )
    delta_GT1 = (dy_GTK * y_GTK).sum(-1, keepdim=True) / sum_GT1
    return (dy_GTK / (sum_GT1 * (1 - p))).to(dy_BTD.dtype), delta_GT1


def merge_backward(dq_GQK: list[Tensor], dk_GSK: list[Tensor], dv_GSK: list[Tensor], n_head: int) -> Tensor:
    """The gradient of the projection, [B, T, E]: queries are concatenated over the blocks, keys and values summed."""
    parts = [torch.cat(dq_GQK, 1)]
    for blocks in (dk_GSK, dv_GSK):
        *early, total_GTK = blocks
        for d_GSK in early:
            S = d_GSK.shape[1]
            total_GTK = torch.cat([d_GSK + total_GTK[:, :S], total_GTK[:, S:]], 1)
        parts.append(total_GTK)
    G, T, K = parts[0].shape
    d_3BHTK = torch.stack(parts).view(3, G // n_head, n_head, T, K)
    return d_3BHTK.permute(1, 3, 0, 2, 4).reshape(G // n_head, T, 3 * n_head * K)


def cross_entropy(logits_NV: Tensor, y_N: Tensor, weight_N: Tensor | None) -> tuple[Tensor, Tensor]:
    """The mean cross-entropy in nats, weighted if there are weights, and its gradient."""
    N, V = logits_NV.shape
    log_NV = wide(logits_NV).log_softmax(-1)
    hit_NV = torch.arange(V, device=y_N.device) == y_N[:, None]
    if weight_N is not None:
        share_N1 = (weight_N / weight_N.sum()).to(log_NV.dtype)[:, None]
        loss = -(torch.where(hit_NV, log_NV, 0.0) * share_N1).sum()
        return loss, ((log_NV.exp() - hit_NV.to(log_NV.dtype)) * share_N1).to(logits_NV.dtype)
    loss = -torch.where(hit_NV, log_NV, 0.0).sum() / N
    return loss, ((log_NV.exp() - hit_NV.to(log_NV.dtype)) / N).to(logits_NV.dtype)


def activate(h_NF: Tensor, name: str) -> Tensor:
    """The activation "relu2" or "swiglu" of an MLP's hidden units. For "swiglu", `h` is [N, 2 * F], the gate first."""
    high_NF = wide(h_NF)
    if name == "relu2":
        return F.relu(high_NF).square().to(h_NF.dtype)
    gate_NF, up_NF = high_NF.chunk(2, dim=-1)
    return (F.silu(gate_NF) * up_NF).to(h_NF.dtype)


def norm(x: Tensor, weight: Tensor, scale: float) -> Tensor:
    """LayerNorm over the last dimension, times `scale`."""
    return (F.layer_norm(wide(x), weight.shape, weight.to(wide(x).dtype), eps=EPSILON) * scale).to(x.dtype)


def heads(qkv_BTE: Tensor, norm_2K: Tensor | None, turn_2TK: Tensor | None, n_head: int, n_kv_head: int) -> Tensor:
    """Queries, keys and values for attention, [B, T, 3 * n_head * K]: shared keys and values are repeated.

    Queries and keys are normalized by `norm_2K`, if given, and then rotated by `turn_2TK` (cosines and sines), if
    given: rotary positions (arXiv 2104.09864), in which units i and i + K / 2 are a pair.
    """
    B, T, E = qkv_BTE.shape
    K, shared = E // (n_head + 2 * n_kv_head), n_head // n_kv_head
    *looked, v_BTHK = wide(qkv_BTE).view(B, T, -1, K).split((n_head, n_kv_head, n_kv_head), dim=2)
    if norm_2K is not None:
        looked = [norm(x_BTHK, weight_K, 1.0) for x_BTHK, weight_K in zip(looked, norm_2K.unbind(), strict=True)]
    if turn_2TK is not None:
        cos_T1K, sin_T1K = turn_2TK[:, :, None].unbind()
        halves = [x_BTHK.chunk(2, dim=-1) for x_BTHK in looked]
        looked = [torch.cat((a, b), -1) * cos_T1K + torch.cat((-b, a), -1) * sin_T1K for a, b in halves]
    q_BTHK, k_BTHK = looked
    parts = (q_BTHK, k_BTHK.repeat_interleave(shared, dim=2), v_BTHK.repeat_interleave(shared, dim=2))
    return torch.cat(parts, dim=2).to(qkv_BTE.dtype).view(B, T, 3 * n_head * K)


def pullback(function: Callable[..., Any]) -> Callable[..., Any]:
    """The backward function of a function with one result, derived by autograd: from dy, the gradients of the `wanted`
    arguments."""

    def backward(dy: Tensor, wanted: tuple[bool, ...], *args: Any) -> tuple[Tensor, ...]:
        def of(*varied: Tensor) -> Tensor:
            left = iter(varied)
            return function(*(next(left) if want else arg for arg, want in zip(args, wanted, strict=True)))

        varied = [arg for arg, want in zip(args, wanted, strict=True) if want]
        # Dynamo traces vjp and not grad; elsewhere vjp would import it, which takes two seconds.
        if torch.compiler.is_compiling():
            return torch.func.vjp(of, *varied)[1](dy)
        with torch.enable_grad():
            held = [arg.detach().requires_grad_() for arg in varied]
            return torch.autograd.grad(of(*held), held, dy)

    backward.__name__ = f"{function.__name__}_backward"
    return backward


DERIVED: tuple[Callable[..., Any], ...] = (activate, norm, heads)  # whose gradients are derived by autograd
FUNCTIONS: tuple[Callable[..., Any], ...] = (
    add_dropout, norm_forward, add_norm_backward, split_heads, weights_forward, weights_backward, merge_heads,
    split_backward, merge_backward, cross_entropy, *DERIVED, *map(pullback, DERIVED),
)  # fmt: skip


class Compiled:
    """A compiled function of tensors, lists of tensors and constants.

    It is traced and compiled once for each layout of its tensors, each value of its constants and each number of
    threads. torch.compile does the same, but its guards take a tenth of a small model's step.
    """

    def __init__(self, function: Callable[..., Any]):
        self.function = function
        self.graphs: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(self, *args: Any) -> Any:
        tensors: list[Tensor] = []
        layout: list[Any] = [torch.get_num_threads()]  # for which it is compiled
        for arg in args:
            if isinstance(arg, list):
                tensors += arg
                layout += [(t.dtype, t.shape, t.stride()) for t in arg]
            elif isinstance(arg, Tensor):
                tensors.append(arg)
                layout.append((arg.dtype, arg.shape, arg.stride()))
            else:
                layout.append(arg)
        key = tuple(layout)
        graph = self.graphs.get(key)
        if graph is None:
            graph = self.graphs[key] = self.compile(args, tensors)
        return graph(*tensors)

    def compile(self, args: tuple[Any, ...], tensors: list[Tensor]) -> Callable[..., Any]:
        import torch._inductor
        from torch._guards import TracingContext, tracing
        from torch._inductor.cpu_vec_isa import pick_vec_isa
        from torch._inductor.exc import InductorError
        from torch._subclasses.fake_tensor import FakeTensorMode
        from torch.fx.experimental.proxy_tensor import make_fx
        from torch.fx.experimental.symbolic_shapes import ShapeEnv

        def flat(*tensors: Tensor) -> Any:
            left = iter(tensors)
            whole = (
                [next(left) for _ in arg] if isinstance(arg, list) else next(left) if isinstance(arg, Tensor) else arg
                for arg in args
            )
            return self.function(*whole)

        # Inductor keeps what it compiles, for other processes too, only where shapes are traced in an environment. In
        # it, sizes are unknown unless tensors come with them: code that is made for the sizes that came first would
        # serve others too, and round otherwise there. Inductor does not look which vectors this CPU has, so their width
        # is made part of what it looks at.
        mode = FakeTensorMode(shape_env=ShapeEnv(), static_shapes=True)
        traced = TracingContext(mode)
        sized: list[Any] = [mode.from_tensor(tensor) for tensor in tensors]
        options = {"cpp.simdlen": pick_vec_isa().bit_width() or None}

        def compiled() -> Callable[..., Any]:
            with torch.no_grad(), tracing(traced):  # anew each time: compiling changes the graph
                return torch._inductor.compile(make_fx(flat)(*tensors), sized, options=options)

        try:
            return compiled()
        except (ImportError, InductorError) as error:
            # A process that was killed while it linked has left half a library in the cache.
            library = getattr(getattr(error, "inner_exception", error), "path", None)
            if not library or not Path(library).is_file():
                raise
            Path(library).unlink()
            return compiled()


@cache
def kernels(compiled: bool) -> SimpleNamespace:
    """All kernels by name, compiled or as plain functions."""
    return SimpleNamespace(**{f.__name__: Compiled(f) if compiled else f for f in FUNCTIONS})


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Within the block nothing is known of what was compiled before, in this process or another one."""
    from torch._inductor.utils import fresh_cache

    kernels.cache_clear()
    try:
        with fresh_cache():
            yield
    finally:
        kernels.cache_clear()
