"""The console that all commands print to."""

from rich.console import Console
from rich.markup import escape

console = Console()


def say(line: str) -> None:
    """Print one line, without markup and without wrapping."""
    console.print(escape(line), highlight=False, soft_wrap=True)
