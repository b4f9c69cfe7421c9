"""The `analysis` command: executes notebooks, weaves posts, builds the site."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

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

Notebooks = Annotated[
    list[str] | None, typer.Argument(metavar="NOTEBOOK", help="Such as mlp-ratio; all notebooks if left out.")
]
Logs = Annotated[
    Path | None,
    typer.Option("--logs", help="The folder of evidence: logs (published; the default) or runs (your own)."),
]
Profile = Annotated[
    str | None, typer.Option("--profile", help="paper, laptop or smoke; every one with evidence if left out.")
]
Force = Annotated[bool, typer.Option("--force", help="Execute notebooks even if nothing has changed.")]
Drafts = Annotated[bool, typer.Option("--drafts", help="Include unpublished posts.")]


@app.command()
def execute(notebooks: Notebooks = None, profile: Profile = None, logs: Logs = None, force: Force = False) -> None:
    """Execute the notebooks whose inputs have changed, and print the reasons."""
    project = projects.current()
    with project.alone(print):
        _execute(project, _plans(project, notebooks, profile, logs), force)


@app.command()
def weave(drafts: Drafts = False) -> None:
    """Include results in the posts, and write the pages as plain Markdown into build/docs."""
    project = projects.current()
    with project.alone(print):
        _weave(project, drafts)


@app.command()
def build(profile: Profile = None, logs: Logs = None, force: Force = False, drafts: Drafts = False) -> None:
    """Execute notebooks, weave posts and build the site, as `make site` does. Prints the paths of the posts."""
    project = projects.current()
    with project.alone(print):
        _execute(project, _plans(project, None, profile, logs), force)
        woven = _weave(project, drafts)
        with _bar("site", 1) as step:
            built = generator.build(project, woven.newest)
            step()
    print(f"site: {'built' if built else 'unchanged'}")
    for one in woven.posts:
        print(project.site / "posts" / one.slug / "index.html")


@app.command()
def reproduce(
    profile: Annotated[str, typer.Option(help="smoke, laptop or paper.")] = "laptop",
    post: Annotated[
        str | None, typer.Option(help="Only this post and what it needs, such as is-4-the-magic-number.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBER", help="How many seeds of each experiment to train, or all; if left out, as its file says."
        ),
    ] = None,
    asked: Annotated[
        list[str] | None,
        typer.Option(
            "--with", metavar="EXPERIMENT", help="Train this experiment even if it takes days; may be repeated."
        ),
    ] = None,
) -> None:
    """Train, analyse and build the site, a post at a time, as `make reproduce` does. It can be stopped at any moment;
    called again, it continues."""
    show = reproducing.Show(lambda text: print(f"{text}\n", end="", flush=True), sys.stdout.isatty())  # in one piece
    try:
        outcome = reproducing.reproduce(projects.current(), profile, post, asked or [], show, seeds)
    finally:
        show.end()
    for line in outcome.lines:
        print(line)
    _show_comparisons(projects.current(), outcome.compared)
    sys.exit(outcome.code)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on the loopback address.")] = 8000,
    drafts: Annotated[bool, typer.Option(help="Include unpublished posts.")] = True,
) -> None:
    """Serve the site on the loopback address, with live reload of posts, notebooks, theme and mkdocs.yml."""
    project = projects.current()

    def update() -> weaving.Woven:
        with project.alone(print):
            names = project.notebook_names()
            plans = [plan for name in names for plan in executing.as_before(project, name)]
            _execute(project, plans + executing.replicated(project, plans))
            return _weave(project, drafts)

    def reweave() -> None:
        try:
            update()
        except (UserError, executing.NotebookFailed) as error:  # the pages stay as they were until it is corrected
            print(error, file=sys.stderr, flush=True)

    generator.serve(project, port, reweave, update().newest)


@app.command()
def compare(notebooks: Notebooks = None, profile: Profile = None, logs: Logs = None) -> None:
    """Compare results with those of the published logs in the same profile. Without --logs and --profile, the last
    results are compared."""
    project = projects.current()
    if profile or logs:
        with project.alone(print):
            _execute(project, _plans(project, notebooks, profile, logs), quiet=True)
    compared: list[comparing.Comparison] = []
    with project.alone(print):
        for name in _names(project, notebooks):
            comparisons = comparing.compare(project, name)
            if not comparisons:
                raise UserError(f"{name} has no results yet; make them with: analysis execute {name}")
            compared += comparisons
    _show_comparisons(project, compared)


def main() -> None:
    """Run the command. A `UserError` is printed as one line, with exit status 2; a failed notebook exits with status
    1."""
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
        if not found.nothing:
            _show_comparison(found)
    for line in comparing.nothing(compared):
        print(line)


def _show_comparison(found: comparing.Comparison) -> None:
    """Print a comparison: one line, and a table of the rows that differ in print."""
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


def _names(project: projects.Project, notebooks: list[str] | None) -> list[str]:
    known = project.notebook_names()
    for name in notebooks or []:
        if name not in known:
            raise UserError(f"unknown notebook {name!r}; known: {', '.join(known) or 'none'}")
    return notebooks or known


def _plans(
    project: projects.Project, notebooks: list[str] | None, profile: str | None, logs: Path | None
) -> list[executing.Plan]:
    root, names = (logs or project.logs).resolve(), _names(project, notebooks)
    plans = [plan for name in names for plan in executing.plans(project, name, root, profile)]
    return plans + executing.replicated(project, plans)


def _execute(project: projects.Project, plans: list[executing.Plan], force: bool = False, quiet: bool = False) -> None:
    with _bar("notebooks", len(plans)) as step:

        def ended(outcome: executing.Outcome) -> None:
            if not quiet or outcome.reason:
                print(f"notebook {outcome.line()}\n", end="", flush=True)  # in one piece: threads print
            step()

        def started(plan: executing.Plan, why: str) -> None:
            print(f"notebook {plan.label}: executes ({why})\n", end="", flush=True)

        executing.execute_all(plans, project, force, started, ended)
    executing.settle(project, plans)


def _weave(project: projects.Project, drafts: bool) -> weaving.Woven:
    woven = weaving.weave(project, drafts)
    counts = [f"{n} {word}" for n, word in ((woven.changed, "written"), (woven.removed, "removed")) if n]
    print(f"weave: {', '.join(counts) or 'unchanged'}", flush=True)
    return woven


@contextmanager
def _bar(stage: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on a terminal; yields a function to call after each step."""
    if not sys.stderr.isatty():
        yield lambda: None
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
        task = progress.add_task(stage, total=total)
        yield lambda: progress.advance(task)


if __name__ == "__main__":
    main()
