"""Shows training and loading: progress bars on a terminal, lines elsewhere."""

from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from runner.data import openwebtext
from runner.evidence.state import Action
from runner.evidence.status import Status
from runner.launch import events
from runner.training.progress import Progress as Running

MARKS = {
    Status.FINISHED: "[green]✓[/]",
    Status.DIVERGED: "[red]✗[/]",
    Status.STOPPED: "[yellow]‖[/]",
    Status.FAILED: "[red]✗[/]",
}


class Display:
    """A context in which the events of `runner.launch` are shown; `handle` is their callback."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.runs: _Runs | None = None
        self.loading: dict[str, _Loading] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def handle(self, event: events.Event) -> None:
        """Show an event."""
        match event:
            case events.Line(text):
                self._say(escape(text))
            case events.Unplanned() | events.Decided():
                self._say(escape(f"{event}"))
            case events.Inspected(run, state):
                action = "unchanged" if state.action == Action.SKIP else f"{state.action}s"
                self._say(escape(f"{run} {action}: {state.reason}"))
            case events.Loading(corpus, wanted, progress):
                if corpus not in self.loading:
                    self.loading[corpus] = _Loading(corpus, wanted, self.console)
                self.loading[corpus].show(progress)
            case events.Loaded(corpus):
                if corpus in self.loading:
                    self.loading.pop(corpus).bars.stop()
            case events.Started(title, count):
                self.runs = _Runs(title, count, self.console)
            case Running():
                if self.runs:
                    self.runs.show(event)
            case events.RunEnded(run, status):
                if self.runs:
                    self.runs.end(run)
                self._say(f"{MARKS[status]} {escape(run)} {status}")
            case events.AllEnded(statuses):
                self._stop()
                if statuses:
                    self._say(f"{event}")

    def _say(self, markup: str) -> None:
        self.console.print(markup, highlight=False, soft_wrap=True)

    def _stop(self) -> None:
        if self.runs:
            self.runs.bars.stop()
        for loading in self.loading.values():
            loading.bars.stop()
        self.runs, self.loading = None, {}


class _Runs:
    """A progress bar for all runs together, and one for each run in training."""

    def __init__(self, title: str, count: int, console: Console) -> None:
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
        self.whole = self.bars.add_task(title, total=count, detail="runs")
        self.tasks: dict[str, TaskID] = {}
        self.bars.start()

    def show(self, now: Running) -> None:
        if now.run not in self.tasks:
            self.tasks[now.run] = self.bars.add_task(f"  {now.run}", total=now.steps, detail="")
        detail = f"loss {now.loss:.3f}  {now.rate / 1000:,.1f}k tokens/s"
        self.bars.update(self.tasks[now.run], completed=now.step, detail=detail)

    def end(self, run: str) -> None:
        if run in self.tasks:
            self.bars.remove_task(self.tasks.pop(run))
        self.bars.advance(self.whole)


class _Loading:
    """A progress bar for the tokens of a corpus, and one for the shard that is being loaded."""

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
        self.bars.start()

    def show(self, progress: openwebtext.Progress) -> None:
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
