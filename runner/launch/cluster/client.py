"""Connects to a Ray cluster."""

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

from runner.errors import UserError


@contextlib.contextmanager
def connect(address: str | None) -> Iterator[None]:
    """Connect for the length of the block: to the Ray cluster at `address` (HOST:PORT), else at RAY_ADDRESS, else to
    the one of this machine.

    Raises a `UserError` where Ray is not installed, or no cluster can be joined at that address.
    """
    ray = ray_module()
    address = address or os.environ.get("RAY_ADDRESS") or "auto"
    _reach(address)
    before = signal.getsignal(signal.SIGTERM)  # Ray replaces the handler
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"--address {address}: no Ray cluster can be joined there ({first_line(error)}): start one with "
            "`ray start --head`, join this machine to it with `ray start --address=HOST:PORT`, and name its HOST:PORT"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGTERM, before)


def _reach(address: str) -> None:
    """Raise a `UserError` where no server listens; Ray itself would retry for a minute and then end the process."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not host or not colon or not port.isdigit() or "/" in host:
        raise UserError(f"--address {address} must be HOST:PORT, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--address {address} cannot be reached ({error}): start Ray there with `ray start --head`, or name "
            "the address it listens on"
        ) from None


def ray_module() -> Any:
    """The module `ray`, imported when it is first needed; a `UserError` where it is not installed."""
    try:
        import ray
    except ImportError:
        raise UserError(
            "--engine ray needs Ray, which is not installed: pip install 'magic-number[ray]' (in this folder: "
            "pip install '.[ray]'), or leave --engine out"
        ) from None
    return ray


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    return (str(error).splitlines() or [""])[0]
