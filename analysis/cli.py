"""The `analysis` command: from logs to pages."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis import reproduce as reproducing
from analysis.build import compare as comparing
from analysis.build import execute as executing
from analysis.build import project as projects
from analysis.site import generator
from analysis.site import weave as weaving
from runner.errors import UserError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From logs to pages: execute notebooks, weave posts, build the site.",
)

Notebook = Annotated[str | None, typer.Argument(help="One notebook, such as mlp-ratio. All of them if left out.")]
Logs = Annotated[Path | None, typer.Option("--logs", help="Where the evidence lies: logs (published) or runs (yours).")]
Profile = Annotated[
    str | None, typer.Option("--profile", help="Left out: each that there is, of paper, laptop and smoke.")
]
Force = Annotated[bool, typer.Option("--force", help="Execute even where nothing has changed.")]
Drafts = Annotated[bool, typer.Option("--drafts", help="Show posts that are not published, too.")]


@app.command()
def execute(notebook: Notebook = None, profile: Profile = None, logs: Logs = None, force: Force = False) -> None:
    """Execute the notebooks whose inputs have changed, and say why."""
    project = projects.here()
    _execute(project, _plans(project, notebook, profile, logs), force)


@app.command()
def weave(drafts: Drafts = False) -> None:
    """Fill posts with results and write plain Markdown into build/docs."""
    _weave(projects.here(), drafts)


@app.command()
def build(profile: Profile = None, logs: Logs = None, force: Force = False, drafts: Drafts = False) -> None:
    """Execute, weave and build the site: all that `make site` does. Ends by printing the posts' paths."""
    project = projects.here()
    _execute(project, _plans(project, None, profile, logs), force)
    woven = _weave(project, drafts)
    with _bar("site", 1) as (step, _):
        built = generator.build(project, woven.newest)
        step()
    print(f"site: {'built' if built else 'unchanged'}")
    for one in woven.posts:
        print(project.site / "posts" / one.slug / "index.html")


@app.command()
def reproduce(
    profile: Annotated[str, typer.Option(help="smoke, laptop or paper.")] = "laptop",
    post: Annotated[str | None, typer.Option(help="Only what this post needs, such as is-4-the-magic-number.")] = None,
    asked: Annotated[
        list[str] | None,
        typer.Option("--with", metavar="EXPERIMENT", help="Train it however long it takes; may be repeated."),
    ] = None,
) -> None:
    """Train, analyse and build the site, a post at a time: all that `make reproduce` does. Stopped at any moment, it
    goes on when called again."""
    show = reproducing.Show(lambda text: print(text, flush=True), sys.stdout.isatty())
    try:
        outcome = reproducing.reproduce(projects.here(), profile, post, asked or [], show)
    finally:
        show.end()
    for line in outcome.lines:
        print(line)
    _show_comparisons(projects.here(), outcome.compared)
    sys.exit(outcome.code)


@app.command()
def serve(
    port: Annotated[int, typer.Option(help="On the loopback address.")] = 8000,
    drafts: Annotated[bool, typer.Option(help="Show posts that are not published, too.")] = True,
) -> None:
    """Show the site on the loopback address; posts, notebooks, theme and settings reload as they change."""
    project = projects.here()

    def fresh() -> weaving.Woven:
        names = project.notebook_names()
        plans = [plan for name in names for plan in executing.as_before(project, name)]
        _execute(project, plans + _replications(project, names))
        return _weave(project, drafts)

    def again() -> None:
        try:
            fresh()
        except (UserError, executing.NotebookFailed) as error:  # the page stays as it was until it is mended
            print(error, file=sys.stderr, flush=True)

    generator.serve(project, port, again, fresh().newest)


@app.command()
def compare(notebook: Notebook = None, profile: Profile = None, logs: Logs = None) -> None:
    """Compare results with what the published logs give for the same profile. Left out: the last results."""
    project = projects.here()
    if profile or logs:
        _execute(project, _plans(project, notebook, profile, logs), quiet=True)
    compared: list[comparing.Comparison] = []
    for name in _names(project, notebook):
        comparisons = comparing.compare(project, name)
        if not comparisons:
            raise UserError(f"{name} has no results yet; make them with: analysis execute {name}")
        compared += comparisons
    _show_comparisons(project, compared)


def main() -> None:
    """The entry point. A `UserError` is one line and exit status 2, a failed notebook exit status 1."""
    try:
        app()
    except UserError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    except executing.NotebookFailed as error:
        print(error, file=sys.stderr)
        sys.exit(1)


def _show_comparisons(project: projects.Project, compared: list[comparing.Comparison]) -> None:
    """A line a post, and then what differs, notebook by notebook."""
    posts = {part.slug: part.notebooks for part in reproducing.parts(project)}
    for line in comparing.by_post(posts, compared):
        print(line)
    for found in compared:
        _show_comparison(found)


def _show_comparison(found: comparing.Comparison) -> None:
    """One line, and a table of what differs."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(found.summary(), highlight=False)
    shown = [row for row in found.rows if row.agrees not in (comparing.IDENTICAL, comparing.PRINTED)]
    if shown:
        table = Table("", "here", "published", "", box=None, pad_edge=False)
        for row in shown:
            table.add_row(row.name, row.here, row.published, row.agrees)
        console.print(table)


def _names(project: projects.Project, notebook: str | None) -> list[str]:
    names = project.notebook_names()
    if notebook is not None and notebook not in names:
        raise UserError(f"unknown notebook {notebook!r}; known: {', '.join(names) or 'none'}")
    return [notebook] if notebook else names


def _plans(
    project: projects.Project, notebook: str | None, profile: str | None, logs: Path | None
) -> list[executing.Plan]:
    root, names = (logs or project.logs).resolve(), _names(project, notebook)
    plans = [plan for name in names for plan in executing.plans(project, name, root, profile)]
    return plans + _replications(project, names)


def _replications(project: projects.Project, names: list[str]) -> list[executing.Plan]:
    return [plan for name in names for plans in executing.replications(project, name).values() for plan in plans]


def _execute(project: projects.Project, plans: list[executing.Plan], force: bool = False, quiet: bool = False) -> None:
    with _bar("notebooks", len(plans)) as (step, cells):
        for plan in plans:
            why = executing.due(plan, force)
            if why:
                print(f"notebook {plan.label}: executes ({why})", flush=True)
            outcome = executing.execute(plan, project, force, cells)
            if not quiet or outcome.reason:
                print(f"notebook {outcome.line()}", flush=True)
            step()
    executing.settle(project, plans)


def _weave(project: projects.Project, drafts: bool) -> weaving.Woven:
    woven = weaving.weave(project, drafts)
    said = [f"{n} {word}" for n, word in ((woven.changed, "written"), (woven.removed, "removed")) if n]
    print(f"weave: {', '.join(said) or 'unchanged'}", flush=True)
    return woven


@contextmanager
def _bar(stage: str, total: int) -> Iterator[tuple[Any, Any]]:
    """A progress bar, where a person is watching; gives one function for a whole step, one for its parts."""
    if not sys.stderr.isatty():
        yield (lambda: None), None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task, done = progress.add_task(stage, total=total), 0

        def step() -> None:
            nonlocal done
            done += 1
            progress.update(task, completed=done)

        yield step, lambda part, of: progress.update(task, completed=done + part / of)


if __name__ == "__main__":
    main()
