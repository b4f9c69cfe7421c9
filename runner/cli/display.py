"""What a person sees while runs go: bars on a terminal, lines elsewhere."""

from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

MARKS = {"finished": "[green]✓[/]", "diverged": "[red]✗[/]", "stopped": "[yellow]‖[/]", "failed": "[red]✗[/]"}


class Display:
    """A bar for the whole and one for each run that goes; hears what `runner.launch.local.run` tells."""

    def __init__(self, title: str, total: int, console: Console) -> None:
        self.console = console
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.whole = self.bars.add_task(title, total=total, detail="runs")
        self.tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def tell(self, kind: str, what: Any) -> None:
        """Show a message: ("progress", Progress), ("line", str) or ("end", (name, status))."""
        if kind == "line":
            self.console.print(what, highlight=False, markup=False, soft_wrap=True)
        elif kind == "progress":
            if what.run not in self.tasks:
                self.tasks[what.run] = self.bars.add_task(f"  {what.run}", total=what.steps, detail="")
            self.bars.update(
                self.tasks[what.run],
                completed=what.step,
                detail=f"loss {what.loss:.3f}  {what.rate / 1000:,.1f}k tokens/s",
            )
        else:
            name, status = what
            if name in self.tasks:
                self.bars.remove_task(self.tasks.pop(name))
            self.bars.advance(self.whole)
            self.console.print(f"{MARKS[status]} {name} {status}", highlight=False)


class Loading:
    """A bar for a corpus' tokens, one for the shard that comes; hears what `runner.data.openwebtext.load` reports."""

    def __init__(self, title: str, wanted: int, console: Console) -> None:
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.wanted = wanted
        self.whole = self.bars.add_task(title, total=wanted, detail="")
        self.step: tuple[tuple[str, str], TaskID] | None = None

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.bars.stop()

    def tell(self, progress: Any) -> None:
        """Show a `runner.data.openwebtext.Progress`."""
        detail = f"{progress.tokens / 1e6:,.0f}M of {self.wanted / 1e6:,.0f}M tokens"
        self.bars.update(self.whole, completed=min(progress.tokens, self.wanted), detail=detail)
        now = progress.shard, progress.action
        if self.step is None or self.step[0] != now:
            if self.step:
                self.bars.remove_task(self.step[1])
            name = progress.shard.rpartition("/")[2]
            self.step = now, self.bars.add_task(f"  {progress.action} {name}", total=progress.total, detail="")
        unit, scale = ("MB", 1e6) if progress.action == "download" else ("documents", 1)
        detail = f"{progress.done / scale:,.0f} of {progress.total / scale:,.0f} {unit}"
        self.bars.update(self.step[1], completed=progress.done, detail=detail)
