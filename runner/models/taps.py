"""Taps: named points in a model at which listeners receive tensors. Without a listener they cost nothing."""

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
