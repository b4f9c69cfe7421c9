"""Taps: named points in a model at which listeners receive tensors. Without a listener they cost nothing.

Kinds give one name to what is alike, so that probes depend on no kind: `attention.qkv` are queries, keys and values
side by side, [B, T, 3 * n_head * K], and n_head; `attention.heads` the outputs of the heads side by side, [N, D], the
projection of them, [D, D], and n_head; `mlp.hidden` the hidden units of a layer after their activation,
[..., F]; `mlp.gate` what each of them was multiplied by, [F]; `residual` the output of a layer, [..., D];
`prediction` the logits of an evaluated batch, [N, V], its targets, [N], their weights, [N], and how many targets a
sequence has; `strided` the same of a second way to predict.

The model goes on with the very tensors that it shows: without gradients, a listener may change them in place.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

Listener = Callable[..., None]  # called with a tap's name, its layer, and its tensors
_listeners: list[tuple[Listener, Collection[str] | None]] = []  # each with the taps that it listens to, None for all


def tap(name: str, layer: int, *shown: Any) -> None:
    """Call the listeners of a tap with its name, a layer (from 0 through the whole model), and `shown`: tensors,
    and values needed to interpret them."""
    for listener, names in _listeners:
        if names is None or name in names:
            listener(name, layer, *shown)


def heard(name: str) -> bool:
    """Whether anything listens to a tap: for what is computed to be shown only."""
    return any(names is None or name in names for _, names in _listeners)


@contextmanager
def listening(listener: Listener, names: Collection[str] | None = None) -> Iterator[None]:
    """Call `listener(name, layer, *shown)` at the taps of these names, or at every tap, while the block runs."""
    _listeners.append((listener, names))
    try:
        yield
    finally:
        _listeners.remove((listener, names))


@contextmanager
def unheard() -> Iterator[None]:
    """Call nothing while the block runs: it computes again what has its listeners elsewhere."""
    kept, _listeners[:] = _listeners[:], []
    try:
        yield
    finally:
        _listeners[:] = kept
