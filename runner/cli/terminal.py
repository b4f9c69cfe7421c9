"""The console that all commands print to."""

import sys

from rich.console import Console
from rich.markup import escape

# In a pipe or a file a table has the room that it needs.
console = Console(width=None if sys.stdout.isatty() else 160)


def say(line: str) -> None:
    """Print one line, without markup and without wrapping."""
    console.print(escape(line), highlight=False, soft_wrap=True)
