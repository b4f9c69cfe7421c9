"""Taps: named places in a model where a listener may look at tensors. Without a listener they cost nothing.

Kinds give one name to what is alike, so that probes know no kind: `attention.qkv` are queries, keys and values side by
side, [B, T, 3 * n_head * K], and n_head; `mlp.hidden` the hidden units of a layer after their activation, [..., F];
`residual` what a layer hands on to the next, [..., D].
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Listener = Callable[..., None]  # of a tap's name, its layer, and its tensors
_listeners: list[Listener] = []


def tap(name: str, layer: int, *shown: Any) -> None:
    """Show tensors of a layer, counted from 0, and what is needed to read them, to those who listen."""
    for listener in _listeners:
        listener(name, layer, *shown)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Let `listener(name, layer, *tensors)` hear of every tap that is passed while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)
