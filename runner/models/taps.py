"""Taps: named points in a model at which listeners receive tensors. Without a listener they cost nothing.

Kinds give one name to what is alike, so that probes depend on no kind: `attention.qkv` are queries, keys and values
side by side, [B, T, 3 * n_head * K], and n_head; `attention.heads` the outputs of the heads side by side, [N, D], the
projection of them, [D, D], and n_head; `mlp.hidden` the hidden units of a layer after their activation,
[..., F]; `mlp.gate` what each of them was multiplied by, [F]; `residual` the output of a layer, [..., D];
`prediction` the logits of an evaluated batch, [N, V], its targets, [N], their weights, [N], and how many targets a
sequence has.

The model goes on with the very tensors that it shows: without gradients, a listener may change them in place.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Listener = Callable[..., None]  # called with a tap's name, its layer, and its tensors
_listeners: list[Listener] = []


def tap(name: str, layer: int, *shown: Any) -> None:
    """Call all listeners with a tap's name, a layer (counted from 0), and `shown`: tensors, and values needed to
    interpret them."""
    for listener in _listeners:
        listener(name, layer, *shown)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Call `listener(name, layer, *shown)` at every tap while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
