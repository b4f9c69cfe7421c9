"""Autograd functions with hand-written gradients, which keep only what backward needs, in the type that it needs.

The argument `run` has the kernels of `kernels.py`, compiled or not. That module also explains the letters in the names
of tensors.
"""

from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

Grads = tuple[Tensor | None, ...]


class Linear(Function):
    """x @ w.T; the gradient of w is computed in the order that is fastest on a CPU, with its longer side first."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, w_OI: Tensor) -> Tensor:
        ctx.save_for_backward(x_NI, w_OI)
        return x_NI @ w_OI.t()

    @staticmethod
    def backward(ctx: Any, dy_NO: Tensor) -> Grads:
        x_NI, w_OI = ctx.saved_tensors
        n_out, n_in = w_OI.shape
        dw_OI = dy_NO.t() @ x_NI if n_out >= n_in else (x_NI.t() @ dy_NO).t()
        return dy_NO @ w_OI, dw_OI


# An operator of our own, because Inductor would add rows with atomics on CUDA, in another order each time; PyTorch's
# own kernel has a deterministic mode, which the engine chooses. `torch.library.custom_op` would import a compiler.
OPERATORS = torch.library.Library("runner", "DEF")
OPERATORS.define("embedding_gradient(Tensor dy_BTD, Tensor x_BT, SymInt rows) -> Tensor")


@torch.library.impl(OPERATORS, "embedding_gradient", "CompositeExplicitAutograd")
def _embedding_gradient(dy_BTD: Tensor, x_BT: Tensor, rows: int) -> Tensor:
    """The sums of the rows of dy by token, [rows, D]."""
    return torch.ops.aten.embedding_dense_backward(dy_BTD, x_BT, rows, -1, False)


@torch.library.register_fake("runner::embedding_gradient", lib=OPERATORS)  # type: ignore[untyped-decorator]
def _(dy_BTD: Tensor, x_BT: Tensor, rows: int) -> Tensor:
    return dy_BTD.new_empty(rows, dy_BTD.shape[-1])


class Embedding(Function):
    """The rows of a matrix at the indices x."""

    @staticmethod
    def forward(ctx: Any, x_BT: Tensor, weight_VD: Tensor) -> Tensor:
        ctx.save_for_backward(x_BT)
        ctx.rows = len(weight_VD)
        return F.embedding(x_BT, weight_VD)

    @staticmethod
    def backward(ctx: Any, dy_BTD: Tensor) -> Grads:
        (x_BT,) = ctx.saved_tensors
        return None, torch.ops.runner.embedding_gradient(dy_BTD, x_BT, ctx.rows)


class AddNorm(Function):
    """Returns x + dropout(h), and its LayerNorm without weight in `dtype`."""

    @staticmethod
    def forward(
        ctx: Any, x_ND: Tensor, h_ND: Tensor, key: Tensor, p: float, dtype: torch.dtype, run: SimpleNamespace
    ) -> Any:
        x_ND = run.add_dropout(x_ND, h_ND, key, p)
        n_ND, rstd_N1 = run.norm_forward(x_ND, dtype)
        ctx.save_for_backward(n_ND, rstd_N1, key)
        ctx.p, ctx.run, ctx.dtype = p, run, h_ND.dtype
        return x_ND, n_ND

    @staticmethod
    def backward(ctx: Any, dx_ND: Tensor, dn_ND: Tensor) -> Grads:
        n_ND, rstd_N1, key = ctx.saved_tensors
        grads = ctx.run.add_norm_backward(dx_ND, dn_ND, n_ND, rstd_N1, key, ctx.p, ctx.dtype)
        return *grads, None, None, None, None


def query_blocks(n_time: int) -> list[tuple[int, int]]:
    """The half-open ranges of queries that attention computes separately. A block needs only keys before its end, so
    two halves save a quarter of the attention matrix; short sequences are one block, as more calls would cost more."""
    half = (n_time + 1) // 2
    return [(0, half), (half, n_time)] if n_time >= 128 else [(0, n_time)]


class CausalAttention(Function):
    """Causal multi-head attention with dropout on its weights: from the projection [B, T, E] to the concatenated
    outputs of the heads, [B, T, D]."""

    @staticmethod
    def forward(ctx: Any, qkv_BTE: Tensor, key: Tensor, n_head: int, p: float, run: SimpleNamespace) -> Any:
        q_GTK, k_GTK, v_GTK = run.split_heads(qkv_BTE, n_head).unbind()
        _, T, K = q_GTK.shape
        signed, weights, sums, ys, offset = [], [], [], [], 0
        for start, stop in query_blocks(T):
            score_GQS = torch.bmm(q_GTK[:, start:stop], k_GTK[:, :stop].mT)
            signed_GQS, weight_GQS, sum_GQ1 = run.weights_forward(score_GQS, key, start, offset, K**-0.5, p)
            ys.append(torch.bmm(weight_GQS, v_GTK[:, :stop]))
            signed.append(signed_GQS)
            weights.append(weight_GQS)
            sums.append(sum_GQ1)
            offset += score_GQS.numel()
        y_BTD = run.merge_heads(ys, sums, n_head, p)
        ctx.save_for_backward(q_GTK, k_GTK, v_GTK, y_BTD, *signed, *weights, *sums)
        ctx.n_head, ctx.p, ctx.run = n_head, p, run
        return y_BTD

    @staticmethod
    def backward(ctx: Any, dy_BTD: Tensor) -> Grads:
        q_GTK, k_GTK, v_GTK, y_BTD, *rest = ctx.saved_tensors
        blocks, run = query_blocks(q_GTK.shape[1]), ctx.run
        n = len(blocks)
        signed, weights, sums = rest[:n], rest[n : 2 * n], rest[2 * n :]
        dy_GTK, delta_GT1 = run.split_backward(dy_BTD, y_BTD, sums, ctx.n_head, ctx.p)
        dq, dk, dv = [], [], []
        for (start, stop), signed_GQS, weight_GQS in zip(blocks, signed, weights, strict=True):
            dy_GQK, delta_GQ1 = dy_GTK[:, start:stop], delta_GT1[:, start:stop]
            dw_GQS = torch.bmm(dy_GQK, v_GTK[:, :stop].mT)
            dscore_GQS = run.weights_backward(signed_GQS, dw_GQS, delta_GQ1, q_GTK.shape[2] ** -0.5)
            dq.append(torch.bmm(dscore_GQS, k_GTK[:, :stop]))
            dk.append(torch.bmm(dscore_GQS.mT, q_GTK[:, start:stop]))
            dv.append(torch.bmm(weight_GQS.mT, dy_GQK))
        return run.merge_backward(dq, dk, dv, ctx.n_head), None, None, None, None


class Derived(Function):
    """A function of `kernels.DERIVED`, by name. It keeps only its arguments; backward computes the rest again."""

    @staticmethod
    def forward(ctx: Any, run: SimpleNamespace, name: str, *args: Any) -> Any:
        ctx.save_for_backward(*(arg for arg in args if isinstance(arg, Tensor)))
        ctx.others = [None if isinstance(arg, Tensor) else (arg,) for arg in args]
        ctx.run, ctx.name = run, name
        return getattr(run, name)(*args)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> Grads:
        tensors, wanted = iter(ctx.saved_tensors), ctx.needs_input_grad[2:]
        args = [next(tensors) if other is None else other[0] for other in ctx.others]
        grads = iter(getattr(ctx.run, f"{ctx.name}_backward")(dy.contiguous(), wanted, *args))
        return None, None, *(next(grads) if want else None for want in wanted)


class CrossEntropy(Function):
    """The mean cross-entropy, weighted if there are weights. Forward computes the gradient too, and keeps it."""

    @staticmethod
    def forward(ctx: Any, logits_NV: Tensor, y_N: Tensor, weight_N: Tensor | None, run: SimpleNamespace) -> Any:
        loss, dlogits_NV = run.cross_entropy(logits_NV, y_N, weight_N)
        ctx.save_for_backward(dlogits_NV)
        return loss

    @staticmethod
    def backward(ctx: Any, dloss: Tensor) -> Grads:
        (dlogits_NV,) = ctx.saved_tensors
        return dlogits_NV * dloss.to(dlogits_NV.dtype), None, None, None
