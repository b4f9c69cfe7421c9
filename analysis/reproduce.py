"""From an empty folder to pages, a post at a time: train what it stands on, execute its notebooks, build its page.

Posts come in the order of the index, the title post first. Where a post has no results of its own yet, its page shows
the published ones, and says so; a site that is stopped half-way is whole. With nothing changed since the last time,
only names and times of files are looked at.
"""

import hashlib
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.build import compare, evidence, execute, notebook
from analysis.build.project import Project
from runner.errors import UserError

if TYPE_CHECKING:
    from analysis.site.weave import Woven
    from runner.launch.events import Event
    from runner.plan.experiment import Experiment
    from runner.plan.plan import Plan

STAMP = "reproduce.json"
TOO_LONG = 2 * 86_400.0  # seconds; an experiment that takes longer is trained where it is asked for
SOON = 120.0  # seconds; with less left to train, pages wait for results of their own
EVERY = 60.0  # seconds between two lines about the whole, where nobody watches a terminal
LOOKED_AT = (
    "analysis",
    "benchmarks/results",
    "logs",
    "posts",
    "runner",
    "theme",
    "build/analysis",
    "build/docs",
    "site",
)


@dataclass(frozen=True)
class Part:
    """A post, its notebooks, and the experiments whose evidence these read."""

    slug: str
    notebooks: tuple[str, ...]
    experiments: tuple[str, ...]


@dataclass
class Outcome:
    """`code` is the exit status: 0, 1 where it was stopped, 2 where something failed. `lines` end what was said."""

    code: int = 0
    lines: list[str] = field(default_factory=list)
    compared: list[compare.Comparison] = field(default_factory=list)


def reproduce(project: Project, profile: str, only: str | None, asked: Iterable[str], show: "Show") -> Outcome:
    """Make all of it, or what the post `only` needs. `asked` are experiments that are trained however long it takes."""
    stamp, call = project.root / "build" / STAMP, {"profile": profile, "only": only, "asked": sorted(asked)}
    try:
        kept = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    if kept.get("call") == call and kept.get("files") == fingerprint(project, profile):
        show.line("nothing has changed")
        return Outcome(0, kept["lines"])
    stamp.unlink(missing_ok=True)
    outcome = _Reproduction(project, profile, parts(project, only), set(asked), show).go()
    if outcome.code == 0:
        lines = [*outcome.lines, *(found.summary() for found in outcome.compared)]
        kept = {"call": call, "files": fingerprint(project, profile), "lines": lines}
        stamp.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return outcome


def fingerprint(project: Project, profile: str) -> str:
    """One hash over the names, sizes and times of all files that matter, which takes no time to find."""
    digest = hashlib.sha256(os.environ.get("SITE_URL", "").encode())
    folders = [project.root / name for name in LOOKED_AT]
    folders += sorted(path / profile for path in (project.root / "runs").glob("*"))
    files = [project.root / "mkdocs.yml", project.root / "requirements.lock"]
    for path in (*files, *(path for folder in folders for path in _files(folder))):
        found = path.stat() if path.exists() else None
        digest.update(f"{path} {found and (found.st_size, found.st_mtime_ns)}\n".encode())
    return digest.hexdigest()


def parts(project: Project, only: str | None = None) -> list[Part]:
    """The published posts with what they stand on, in the order of the index."""
    from analysis.site import post

    posts = [post.load(path, project.shown(path)) for path in sorted(project.posts.glob("*/index.md"))]
    posts.sort(key=lambda one: one.order, reverse=True)
    if only is not None and only not in {one.slug for one in posts}:
        raise UserError(f"unknown post {only!r}; known: {', '.join(one.slug for one in posts) or 'none'}")
    chosen = [one for one in posts if one.slug == only or (only is None and one.published)]
    return [
        Part(one.slug, tuple(one.notebooks), tuple(dict.fromkeys(e for n in one.notebooks for e in reads(project, n))))
        for one in chosen
    ]


def reads(project: Project, name: str) -> list[str]:
    """The experiments that a notebook reads."""
    source = project.notebooks / f"{name}.py"
    if not source.is_file():
        raise UserError(f"unknown notebook {name!r}; known: {', '.join(project.notebook_names()) or 'none'}")
    return notebook.reads(notebook.parameters(source.read_text(encoding="utf-8"), project.shown(source)), name)


class _Reproduction:
    def __init__(self, project: Project, profile: str, chosen: list[Part], asked: set[str], show: "Show") -> None:
        from runner.launch import fetch
        from runner.plan import experiment

        self.project, self.profile, self.parts, self.asked, self.show = project, profile, chosen, asked, show
        self.root = project.root / "runs"
        self.experiments = {name: experiment.load(name) for part in chosen for name in part.experiments}
        for name in sorted(asked - set(self.experiments)):
            raise UserError(f"no post that is made here stands on {name!r}; known: {', '.join(self.experiments)}")
        for loaded in self.experiments.values():
            fetch.preferred(loaded, profile, show.tell)
        # Expanded and inspected before anything is done, so that a name that is wrong is said at once.
        self.todo = {name: self._missing(loaded) for name, loaded in self.experiments.items()}
        self.complete: set[str] = set()  # experiments all of whose runs have ended
        self.outcome = Outcome()
        self.waiting: list[Part] = []  # their results are made, their pages are not

    def go(self) -> Outcome:
        from runner.launch import sweep

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGTERM, stop)
        try:
            with sweep.workers() as workers:
                self._say_unchanged()
                if any(self.todo.values()):
                    self._estimate(workers)
                    if self.show.left() > SOON:
                        self._pages()
                for part in self.parts:
                    for name in part.experiments:
                        if self.todo[name] and self.outcome.code != 1:
                            self._train(self.experiments[name], workers)
                    if self.outcome.code == 1:
                        break
                    self._results(part)
        except KeyboardInterrupt:
            self.outcome.code = 1
        finally:
            signal.signal(signal.SIGTERM, before)
        self._pages()
        self.show.end()
        if self.outcome.code == 1:
            self.show.line("stopped and saved; the same command goes on. The site is whole:")
        self.outcome.lines = [str(self._page(part)) for part in self.parts]
        if self.outcome.code == 0:
            names = dict.fromkeys(name for part in self.parts for name in part.notebooks if self._own(name))
            self.outcome.compared = [found for name in names for found in compare.compare(self.project, name)]
        return self.outcome

    def _missing(self, loaded: "Experiment") -> "list[Plan]":
        """The runs of an experiment that have not ended, those that its rule has added among them."""
        from runner.evidence import planned, state
        from runner.launch import fetch

        plans = loaded.plans(self.profile)
        if not fetch.here(fetch.wanted(plans)):
            return plans  # what their data are cannot be told
        plans = planned.plans(loaded, self.profile, self.root)
        return [plan for plan in plans if state.inspect(plan, self.root).action != "skip"]

    def _say_unchanged(self) -> None:
        for name, missing in self.todo.items():
            if not missing:
                count = len(evidence.runs(self.root, name, self.profile))
                self.show.line(f"{name}: all {count} runs of the {self.profile} profile are unchanged")

    def _estimate(self, workers: Any) -> None:
        """Measure how long each experiment will take here, say it, and leave out what takes too long."""
        from runner.data import corpora, openwebtext
        from runner.launch import durations, estimate

        names = [name for name, missing in self.todo.items() if missing]
        texts = {plan.spec.data.corpus for name in names for plan in self.todo[name]}
        for text in sorted(texts - {openwebtext.NAME} | ({estimate.STAND_IN} if openwebtext.NAME in texts else set())):
            corpora.load(text, self.show.line)  # once, before workers ask for it together
        self.show.line(f"measuring a few steps of {', '.join(names)}")
        found: dict[str, estimate.Estimate] = {}
        wishes = {name: self.experiments[name].placement(self.profile) for name in names}
        for jobs in sorted({wishes[name].get("jobs", 1) for name in names}):  # as many side by side as there will be
            alike = [name for name in names if wishes[name].get("jobs", 1) == jobs]
            asked = [(self.todo[name], wishes[name]) for name in alike]
            found |= zip(alike, workers.ask_each(estimate.measure, asked, jobs), strict=True)
        for name in names:
            seconds, runs = found[name].seconds, len(self.todo[name])
            told = f"{name}: {runs} run{'s' * (runs > 1)} to train, about {durations.words(seconds)} here"
            if seconds > TOO_LONG and name not in self.asked:
                self.show.line(f"{told}, which is too long: left out; add it with WITH={name}")
                self.todo[name] = []
                continue
            self.show.line(told)
            self.show.expect(name, seconds, runs)
        self.show.line(f"together about {durations.words(self.show.left())}")

    def _train(self, loaded: "Experiment", workers: Any) -> None:
        from runner.evidence.status import Status
        from runner.launch import sweep

        self.show.begin(loaded.name)
        try:
            statuses = sweep.experiment(loaded, self.profile, self.root, {}, workers, self.show.tell)
        except UserError as error:  # what others can do without it, they do
            self.show.line(f"{loaded.name}: {error}")
            self.outcome.code = 2
            return
        finally:
            self.show.over(loaded.name)
        if Status.STOPPED in statuses.values():
            self.outcome.code = 1
        elif Status.FAILED in statuses.values():
            self.outcome.code = 2
        else:
            self.todo[loaded.name] = []

    def _results(self, part: Part) -> None:
        """Execute a post's notebooks, and build its page where the site is whole or a wait would be long."""
        changed = [self._execute(name) for name in part.notebooks]
        self.waiting.append(part)
        if not any(changed):
            return
        there = all(execute.profiles(self.project.results / name) for name in self.project.notebook_names())
        if there or self.show.left() > SOON:
            self._pages()

    def _pages(self) -> "Woven":
        """Bring all results and the whole site up to date; say where the pages are that have waited for it."""
        from analysis.site import generator, weave

        for name in self.project.notebook_names():
            self._execute(name)
        woven = weave.weave(self.project)
        self.show.line(f"site: {'built' if generator.build(self.project, woven.newest) else 'unchanged'}")
        for part in self.waiting:
            self.show.line(f"page: {self._page(part)}")
        self.waiting = []
        return woven

    def _page(self, part: Part) -> Path:
        return self.project.site / "posts" / part.slug / "index.html"

    def _execute(self, name: str) -> bool:
        """Bring a notebook's results up to date; whether they had to be made."""
        plans, made = self._plans(name), False
        for plan in plans:
            kept = execute.record(plan.output)
            if not execute.due(plan) and (not kept or kept["logs"] == self.project.shown(plan.logs)):
                continue
            if kept and plan.logs != self.project.logs and kept["logs"] == self.project.shown(self.project.logs):
                # What the published logs gave is what one's own results will be compared with.
                kept_at = self.project.published / name / plan.profile
                shutil.rmtree(kept_at, ignore_errors=True)
                shutil.copytree(plan.output, kept_at)
            self.show.line(f"notebook {execute.execute(plan, self.project).line()}")
            made = True
        execute.settle(self.project, plans)
        return made

    def _plans(self, name: str) -> list[execute.Plan]:
        """From one's own runs where they are complete, else from the published ones, in each of their profiles."""
        if self._own(name):
            return execute.plans(self.project, name, self.root, self.profile)
        try:
            return execute.plans(self.project, name, self.project.logs)
        except UserError:
            if not all(evidence.runs(self.root, each, self.profile) for each in reads(self.project, name)):
                raise
            return execute.plans(self.project, name, self.root, self.profile)  # nothing is published

    def _own(self, name: str) -> bool:
        """Whether all runs that a notebook reads were made here."""
        return all(self._complete(each) for each in reads(self.project, name))

    def _complete(self, name: str) -> bool:
        from runner.plan import experiment

        if name in self.complete:
            return True
        if self.todo.get(name) or not evidence.runs(self.root, name, self.profile):
            return False
        loaded = self.experiments.get(name) or experiment.load(name)
        if self.profile not in loaded.profiles or self._missing(loaded):
            return False
        self.complete.add(name)
        return True


class Show:
    """Lines for a person, and the time that is left for everything: under the lines on a terminal, else among them."""

    def __init__(
        self, write: Callable[[str], None], terminal: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.write, self.terminal, self.clock = write, terminal, clock
        self.expected: dict[str, tuple[float, int]] = {}  # seconds and runs, by experiment
        self.done: dict[str, float] = {}  # the part of them that is done
        self.steps: dict[str, float] = {}  # the part of each run that goes
        self.now, self.spent, self.begun, self.told = "", 0.0, 0.0, clock()
        self.bar: Any = None

    def line(self, text: str) -> None:
        """Say something."""
        if self.bar:
            self.bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            self.write(text)

    def expect(self, experiment: str, seconds: float, runs: int) -> None:
        """How long an experiment will take."""
        self.expected[experiment], self.done[experiment] = (seconds, runs), 0.0

    def begin(self, experiment: str) -> None:
        """Its runs go now."""
        self.now, self.begun, self.steps = experiment, self.clock(), {}

    def over(self, experiment: str) -> None:
        """They go no longer."""
        self.spent += self.clock() - self.begun
        self.done[experiment], self.now, self.steps = 1.0, "", {}
        self._draw()

    def left(self) -> float:
        """Seconds that training will take from now on: as expected, and stretched as what is done was."""
        done = sum(self.expected[name][0] * self.done[name] for name in self.expected)
        total = sum(seconds for seconds, _ in self.expected.values())
        spent = self.spent + (self.clock() - self.begun if self.now else 0.0)
        stretch = spent / done if done > 0.05 * total and spent > 5.0 else 1.0
        return (total - done) * stretch

    def tell(self, event: "Event") -> None:
        """Hear what a sweep tells."""
        from runner.launch import events

        match event:
            case events.Line(text):
                self.line(text)
            case events.Unplanned(folder):
                self.line(f"{folder.name} is in {folder.parent}, but not in the plan; figures leave it out")
            case events.Found(run, state):
                if state.action != "skip":
                    self.line(f"{self.now}/{run} {state.action}s: {state.reason}")
            case events.Decided(experiment, reason):
                self.line(f"{experiment}: {reason}")
            case events.Progress():
                self._advance(event.run, event.step / event.steps)
            case events.Ended(run, status):
                self.line(f"{'✓' if status == 'finished' else '·'} {self.now}/{run} {status}")
                self._advance(run, 1.0)
            case events.Over(statuses, seconds) if statuses:
                words = sorted(set(statuses.values()))
                counts = ", ".join(f"{sum(s == word for s in statuses.values())} {word}" for word in words)
                self.line(f"{len(statuses)} {'run' if len(statuses) == 1 else 'runs'} in {seconds:.0f} s: {counts}")

    def end(self) -> None:
        """Take the bar away."""
        if self.bar:
            self.bar.stop()
        self.bar = None

    def _advance(self, run: str, part: float) -> None:
        self.steps[run] = part
        if self.now in self.expected:
            self.done[self.now] = min(1.0, sum(self.steps.values()) / self.expected[self.now][1])
        self._draw()

    def _draw(self) -> None:
        """The overall progress: a bar, or a line a minute."""
        if not self.expected:
            return
        from runner.launch import durations

        total = sum(seconds for seconds, _ in self.expected.values()) or 1.0
        done = sum(seconds * self.done[name] for name, (seconds, _) in self.expected.items())
        left = f"about {durations.words(self.left())} left"
        if self.terminal:
            self._bar().update(self.task, completed=done / total, left=left)
        elif self.clock() - self.told > EVERY:
            self.told = self.clock()
            self.line(f"{done / total:.0%} trained, {left}")

    def _bar(self) -> Any:
        if self.bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("everything"),
                BarColumn(),
                TextColumn("{task.percentage:.0f}%"),
                TextColumn("{task.fields[left]}"),
                TimeElapsedColumn(),
            )
            self.bar = Progress(*columns, console=Console(), transient=True)
            self.task = self.bar.add_task("", total=1.0, left="")
            self.bar.start()
        return self.bar


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder and of those in it, in order; checkpoints and what Python keeps are left out."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in ("checkpoint", "__pycache__"):
                yield from _files(path)
        elif path.name not in ("lock", "progress.json"):
            yield path
