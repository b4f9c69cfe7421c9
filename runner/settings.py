"""What the specs of all floors share: the mark of a setting that came later, and the way to refuse one."""

from dataclasses import field
from typing import Any

from runner.errors import UserError


def later(default: Any) -> Any:
    """A setting that came after runs were published. At its default it is left out of a spec's plain form, so that
    those runs keep their identity."""
    return field(default=default, metadata={"later": True})


def need(where: str, holds: bool, message: str) -> None:
    """Raise a `UserError` that starts with `where`, the origin of a setting, unless `holds`."""
    if not holds:
        raise UserError(f"{where}: {message}")
