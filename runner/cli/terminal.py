"""Where commands write to."""

from rich.console import Console
from rich.markup import escape

console = Console()


def say(line: str) -> None:
    """One line, as it is."""
    console.print(escape(line), highlight=False, soft_wrap=True)
