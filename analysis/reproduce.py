"""Reproduces the site, a post at a time: trains its experiments, executes its notebooks, builds its page.

Posts come in the order of the index, the title post first. A post without own results shows the published ones,
labelled as such, so that the site is complete at any moment. Where nothing has changed since the last call, only the
names, sizes and times of files are read.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.build import compare, evidence, execute, notebook
from analysis.build.project import Project
from runner.data.cache import cache_folder, given_folder
from runner.errors import UserError

if TYPE_CHECKING:
    from runner.evidence.planned import Due
    from runner.evidence.status import Status
    from runner.launch.estimate import Estimate
    from runner.launch.events import Ending, Event
    from runner.launch.local import Workers
    from runner.plan.experiment import Experiment
    from runner.plan.plan import Plan

STAMP = "reproduce.json"
ALL = "all"  # seeds
TOO_LONG = 2 * 86_400.0  # seconds; a longer experiment is trained only if it is named by --with
SOON = 300.0  # seconds; with less left to train, the pages are built together at the end
EVERY = 60.0  # seconds between two lines of overall progress without a terminal
WATCHED = (
    "analysis",
    "benchmarks/results",
    "logs",
    "posts",
    "replications",
    "runner",
    "runs",
    "theme",
    "build/analysis",
    "build/docs",
    "build/replications",
    "site",
)


@dataclass(frozen=True)
class Part:
    """A post, its notebooks, and the experiments that these read."""

    slug: str
    notebooks: tuple[str, ...]
    experiments: tuple[str, ...]
    draft: bool = False


@dataclass
class Outcome:
    """The outcome: `code` is the exit status (0, 1 if stopped, 2 if something failed), `lines` are to be printed at the
    end, `compared` has the comparisons with the published results; `until` is when another sitting may begin, None
    where no run waits for one."""

    code: int = 0
    lines: list[str] = field(default_factory=list)
    compared: list[compare.Comparison] = field(default_factory=list)
    until: datetime | None = None


def reproduce(
    project: Project, profile: str, only: str | None, asked: Iterable[str], show: "Show", seeds: str | None = None
) -> Outcome:
    """Reproduce all posts, or the post `only`; `asked` names the experiments to train however long they take, `seeds`
    is how many seeds of each to train, as text: a number or "all", None for as many as its file puts first. `show`
    prints the progress. Raises a `UserError` for an unknown post, profile or experiment, and for other `seeds`."""
    if seeds not in (None, ALL) and not re.fullmatch("[2-9]|[1-9][0-9]+", seeds or ""):
        raise UserError(f"seeds {seeds!r} must be a number from 2 (one seed has no interval), or all")
    stamp = project.root / "build" / STAMP
    call = {"profile": profile, "only": only, "asked": sorted(asked), "seeds": seeds}
    try:
        kept = json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    over = kept.get("until") and datetime.now(UTC) > datetime.fromisoformat(kept["until"])
    if kept.get("call") == call and kept.get("files") == fingerprint(project) and not over:
        show.line("nothing has changed")
        return Outcome(0, kept["lines"])
    stamp.unlink(missing_ok=True)
    outcome = _Reproduction(project, profile, parts(project, only), set(asked), show, seeds).go()
    if outcome.code == 0:
        there = (found.summary() for found in outcome.compared if not found.nothing)
        lines = [*outcome.lines, *there, *compare.nothing(outcome.compared)]
        until = outcome.until.isoformat() if outcome.until else None
        kept = {"call": call, "files": fingerprint(project), "lines": lines, "until": until}
        stamp.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    return outcome


def fingerprint(project: Project) -> str:
    """One hash of the names, sizes and times of all files that the outcome depends on, without reading them. Of the
    folders that corpora come from it takes names and sizes: an experiment may prefer a corpus that has come since."""
    digest = hashlib.sha256(os.environ.get("SITE_URL", "").encode())
    folders = [project.root / name for name in WATCHED]
    files = [project.root / "mkdocs.yml", project.root / "requirements.lock"]
    for path in (*files, *(path for folder in folders for path in _files(folder))):
        found = path.stat() if path.exists() else None
        digest.update(f"{path} {found and (found.st_size, found.st_mtime_ns)}\n".encode())
    for place in filter(None, (project.root / cache_folder(), given_folder())):
        there = sorted(path for kind in ("*", "*/index.json") for path in Path(place).glob(kind) if path.is_file())
        digest.update(f"{place} {[(f'{path}', path.stat().st_size) for path in there]}\n".encode())
    return digest.hexdigest()


def parts(project: Project, only: str | None = None) -> list[Part]:
    """The published posts, or the post `only`, with their notebooks and experiments, in the order of the index."""
    from analysis.site import post

    posts = post.every(project)
    if only is not None and only not in {one.slug for one in posts}:
        raise UserError(f"unknown post {only!r}; known: {', '.join(one.slug for one in posts) or 'none'}")
    chosen = [one for one in posts if one.slug == only or (only is None and one.published)]
    return [
        Part(
            one.slug,
            tuple(one.notebooks),
            tuple(dict.fromkeys(e for n in one.notebooks for e in reads(project, n))),
            not one.published,
        )
        for one in chosen
    ]


def reads(project: Project, name: str) -> list[str]:
    """The experiments that a notebook reads; a `UserError` for an unknown notebook."""
    return notebook.reads(execute.parameters(project, name), name)


class _Reproduction:
    def __init__(
        self,
        project: Project,
        profile: str,
        chosen: list[Part],
        asked: set[str],
        show: "Show",
        seeds: str | None = None,
    ) -> None:
        from runner.launch import fetch
        from runner.plan import experiment

        self.project, self.profile, self.parts, self.asked, self.show = project, profile, chosen, asked, show
        self.seeds = seeds
        self.root = project.root / "runs"
        self.experiments = {name: self._loaded(name) for part in chosen for name in part.experiments}
        self.read: dict[str, list[str]] = {}  # notebook → the experiments whose runs make its results one's own
        self.late: list[str] = []
        for part in chosen:
            for name in part.notebooks:
                values = execute.parameters(project, name)
                everything = values.get("everything")
                others = list(self.experiments) if everything else part.experiments  # for what reads none by name
                there = [each for each in others if profile in self.experiments[each].profiles]
                self.read[name] = notebook.reads(values, name) or there
                if everything and name not in self.late:
                    self.late.append(name)
        for name in sorted(asked - set(self.experiments)):
            raise UserError(
                f"--with {name}: no post to be built reads that experiment; known: {', '.join(self.experiments)}"
            )
        without = [name for name, loaded in self.experiments.items() if profile not in loaded.profiles]
        if len(without) == len(self.experiments):  # only then may the name be wrong, and the other files are read
            known = experiment.profiles()
            if profile not in known:
                raise UserError(f"unknown profile {profile!r}; known: {', '.join(known)}")
        for name in without:
            show.line(f"{name} has no {profile} profile: its published results stay")
        most = max((one.seeds(profile) for name, one in self.experiments.items() if name not in without), default=0)
        if seeds not in (None, ALL) and int(seeds) > most > 0:
            show.line(f"SEEDS={seeds}: no experiment has more than {most} seeds in this profile; all are taken")
        for name, loaded in self.experiments.items():
            if name not in without:
                fetch.preferred(loaded, profile, show.handle)
        # All experiments are expanded and inspected first, so that a wrong name is reported at once.
        self.todo = {n: [] if n in without else self._missing(loaded) for n, loaded in self.experiments.items()}
        self.brief: dict[str, Estimate] = {}  # of experiments so short that none is measured
        self.training = self._unfinished()  # experiments whose runs no page may show yet
        self.complete: set[str] = set()  # experiments all of whose runs have ended
        self.outcome = Outcome()
        self.waiting: list[Part] = []  # with results, but without their pages
        self.behind = Behind()

    def _loaded(self, name: str) -> "Experiment":
        """An experiment with as many of its seeds as were asked for."""
        from runner.plan import experiment

        loaded = experiment.load(name)
        if self.profile not in loaded.profiles or self.seeds == ALL:
            return loaded
        limit = int(self.seeds) if self.seeds else loaded.first_seeds(self.profile)
        return replace(loaded, limit=limit) if limit < loaded.seeds(self.profile) else loaded

    def go(self) -> Outcome:
        from runner.launch.local import interrupt, interruptible

        with interruptible(interrupt, interrupt):
            try:
                self._parts()
            except KeyboardInterrupt:
                self.outcome.code = 1
            finally:
                if self.outcome.code == 1:
                    self.show.line("stopped, and the runs are saved; completing the site with the results so far")
                self.behind.end()
        self.training = self._unfinished()
        self._pages()
        self.show.end()
        if self.outcome.code == 1:
            self.show.line("run the same command again to continue. The site is complete:")
        self.outcome.lines = [str(self._page(part)) for part in self.parts]
        if self.outcome.code == 0:
            self.outcome.lines += self._left_out()
            self.outcome.until = min((due.next for due in self._waiting().values() if due.next), default=None)
            names = dict.fromkeys(name for part in self.parts for name in part.notebooks if self._own(name))
            with self.project.alone(self.show.line):
                self.outcome.compared = [found for name in names for found in compare.compare(self.project, name)]
        return self.outcome

    def _left_out(self) -> list[str]:
        """A line on the experiments of which only the first seeds have been trained; none if there are none."""
        parts = []
        for name, loaded in self.experiments.items():
            if loaded.limit:
                ended = {run.name for run in evidence.runs(self.root, name, self.profile)}
                planned = replace(loaded, limit=None).plans(self.profile)
                there = {plan.spec.seed for plan in planned if plan.name in ended}
                if 0 < len(there) < loaded.seeds(self.profile):  # none, where it would take days
                    parts.append(f"{name} ({len(there)} of {loaded.seeds(self.profile)})")
        return [f"the first seeds were trained of {', '.join(parts)}: SEEDS=all trains the others"] if parts else []

    def _unfinished(self) -> set[str]:
        """The experiments that have runs to train."""
        return {name for name, missing in self.todo.items() if missing}

    def _parts(self) -> None:
        """Train what is to be trained, a post at a time. The site as it was published and notebooks are made behind it,
        in the time that training leaves; but experiments whose runs have the machine for themselves, as they measure
        time, wait until nothing else is done. Pages with new results are built while nothing is trained, to be there
        soon."""
        from runner.launch import durations, sweep

        with sweep.workers() as workers:
            self._say_unchanged()
            ahead = [part for part in self.parts if self._todo(part)]
            if ahead:
                self._load_texts()
                now = self._todo(ahead[0])
                later = [name for name in self.experiments if name in self.training and name not in now]
                self._estimate(now, workers, later)
                self.show.line(f"together about {durations.words(self.show.left())}")
                if self.show.left() > SOON:
                    self.behind.add(self._pages)
                    if not all(evidence.profiles(self.project.logs, name) for name in self.training):
                        self.behind.wait()  # a notebook without published runs shows those that there are
            for part in self.parts:
                if part not in ahead[:1]:
                    self._estimate(self._todo(part), workers)
                trained = self._todo(part)
                for alone, names in itertools.groupby(trained, self._alone):
                    for together in ([name] for name in names) if alone else [list(names)]:
                        if alone:
                            self.behind.wait()
                        self._train(together, workers, partial(self._early, part))
                        if self.outcome.code == 1:
                            return
                self.behind.add(self._results, part, part is self.parts[-1])
                if trained and self.show.left() > SOON:
                    self.behind.wait()
                    self._pages()
        self.behind.wait()

    def _missing(self, loaded: "Experiment") -> "list[Plan]":
        """The runs of an experiment that may be trained by now and have not ended, including those that its rule
        adds."""
        from runner.data import openwebtext
        from runner.evidence import planned, state
        from runner.launch import fetch

        plans = planned.due(loaded, self.profile, self.root).plans
        if not openwebtext.here(fetch.wanted(plans)):
            return plans  # without their data, their identity is unknown
        plans += planned.added(loaded, self.profile, self.root)
        return [plan for plan in plans if state.inspect(plan, self.root).action != "skip"]

    def _say_unchanged(self) -> None:
        from runner.evidence import planned

        waiting = self._waiting()
        for name, missing in self.todo.items():
            if not missing and self.profile in self.experiments[name].profiles:
                plans = {plan.name for plan in planned.plans(self.experiments[name], self.profile, self.root)}
                count = sum(run.name in plans for run in evidence.runs(self.root, name, self.profile))
                more = f", and {waiting[name]}" if name in waiting else ""
                self.show.line(f"{name}: all {count} runs of the {self.profile} profile are unchanged{more}")

    def _waiting(self) -> "dict[str, Due]":
        """The experiments that have runs which wait for another sitting."""
        from runner.evidence import planned

        there = {name: each for name, each in self.experiments.items() if self.profile in each.profiles}
        found = {
            name: planned.due(each, self.profile, self.root)
            for name, each in there.items()
            if len(each.sittings(self.profile)) > 1
        }
        return {name: due for name, due in found.items() if due.waiting}

    def _todo(self, part: Part) -> list[str]:
        """A post's experiments that have runs to train."""
        return [name for name in part.experiments if self.todo[name]]

    def _load_texts(self) -> None:
        """Load all texts, once, before several workers need them at the same time."""
        from runner.data import corpora, openwebtext
        from runner.launch import estimate

        texts = {plan.spec.data.corpus for missing in self.todo.values() for plan in missing}
        for text in sorted(texts - {openwebtext.NAME} | ({estimate.STAND_IN} if openwebtext.NAME in texts else set())):
            corpora.load(text, self.show.line)

    def _estimate(self, names: list[str], workers: "Workers", later: Iterable[str] = ()) -> None:
        """Measure how long experiments will take on this machine, print it, and leave out those that take too long.
        Those that come `later` are measured roughly, for the time of all together."""
        from runner.launch import durations, estimate

        found = {name: self.brief[name] for name in names if name in self.brief}
        new, rough = [name for name in names if name not in found], list(later)
        wishes = {name: self.experiments[name].placement(self.profile) for name in (*new, *rough)}
        if wishes:
            self.behind.wait()  # or they would be measured beside other work
            further = f"{len(rough)} more experiment{'s' * (len(rough) > 1)}" if rough else ""
            self.show.line(f"estimating how long {', '.join(filter(None, (*new, further)))} will take")
        side_by_side = {name: wishes[name].get("jobs", 1) for name in wishes}
        most = max(side_by_side.values(), default=1)
        # Those of this post with as many side by side as in training; the most first, so that all workers start.
        for jobs in sorted(set(side_by_side.values()), reverse=True):
            calls = [(name, False) for name in new if side_by_side[name] == jobs]
            # Whatever compiles would wait for the first that does, which compiles a common header: others come between.
            compiling = [call for call in calls if wishes[call[0]].get("compile", True)]
            others = [call for call in calls if call not in compiling]
            others += [(name, True) for name in rough] if jobs == most else []
            calls = [*compiling[:1], *others, *compiling[1:]]
            args = [(self.todo[name], wishes[name], roughly) for name, roughly in calls]
            results = workers.call_each(estimate.measure, args, jobs) if args else []
            found |= {name: result for (name, _), result in zip(calls, results, strict=True)}
        self.brief |= {name: one for name, one in found.items() if not one.measured}
        for name in (*names, *rough):
            seconds, runs, loaded = found[name].seconds, len(self.todo[name]), self.experiments[name]
            how_long = f"about {durations.words(seconds)} here" if found[name].measured else "some seconds"
            first = f" ({loaded.limit} of {loaded.seeds(self.profile)} seeds)" if loaded.limit else ""
            line = f"{name}: {runs} run{'s' * (runs > 1)} to train{first}, {how_long}"
            too_long = seconds > TOO_LONG and name not in self.asked
            self.show.expect(name, 0.0 if too_long else seconds, runs)
            if name in rough:
                continue  # it is said when its turn has come
            if too_long:
                self.todo[name] = []
                line += f", which is too long: left out; add it with WITH={name}"
            self.show.line(line)

    def _alone(self, name: str) -> bool:
        """Whether an experiment trains one run at a time."""
        return self.experiments[name].placement(self.profile).get("jobs", 1) == 1

    def _train(self, names: list[str], workers: "Workers", ended: Callable[[str], None]) -> None:
        """Train experiments, the next one as soon as the one before leaves a process free; behind that, call `ended`
        with the name of each."""
        from runner.launch import sweep

        self.show.begin()
        try:
            endings: dict[str, Ending] = {}
            for name in names:
                with self._told(name):
                    handle = partial(self._handle, name)
                    endings[name] = sweep.begin(self.experiments[name], self.profile, self.root, {}, workers, handle)
            for name in names:  # after a stop, too: the runs of a later one may all have ended before it
                if name in endings:
                    with self._told(name):
                        self._ended(name, endings[name]())
                self.show.over(name)
                if self.outcome.code != 1:
                    self.behind.add(ended, name)
        finally:
            self.show.pause()

    def _handle(self, name: str, event: "Event") -> None:
        """Show an event of an experiment."""
        from runner.launch import events

        self.show.handle(event, name)
        if isinstance(event, events.Progress):
            self.behind.check()  # or an error in a post would be known when the experiment has ended

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Print an error of an experiment, as others do not depend on it; but not one of what is done behind it."""
        try:
            yield
        except UserError as error:
            if error is self.behind.error():
                raise
            self.show.line(f"{name}: {error}")
            self.outcome.code = self.outcome.code or 2

    def _ended(self, name: str, statuses: "dict[str, Status]") -> None:
        """Take note of how an experiment has ended."""
        from runner.evidence.status import Status

        if Status.STOPPED in statuses.values():
            self.outcome.code = 1
        elif Status.FAILED in statuses.values():
            self.outcome.code = self.outcome.code or 2
        else:
            self.todo[name] = []

    def _early(self, part: Part, name: str) -> None:
        """Execute those notebooks of a post that have waited for this experiment alone."""
        self._trained(name)
        with self.project.alone(self.show.line):
            self._execute([each for each in part.notebooks if name in self.read[each] and self._own(each)])

    def _trained(self, *names: str) -> None:
        """Let pages show the runs of these experiments, if all have ended. Called behind training alone: what pages
        show may not change while they are built."""
        self.training -= {name for name in names if not self.todo[name]}

    def _results(self, part: Part, last: bool) -> None:
        """Execute a post's notebooks; those that read everything, of all posts, with the `last` one, as every further
        run makes them stale."""
        self._trained(*part.experiments)
        with self.project.alone(self.show.line):
            self._execute([*(self.late if last else ()), *(name for name in part.notebooks if name not in self.late)])
        self.waiting.append(part)

    def _pages(self) -> None:
        """Bring all results and the site up to date; print the paths of the waiting pages."""
        from analysis.site import generator, weave

        with self.project.alone(self.show.line):
            self._execute(self.project.notebook_names())
            self._replications()
            woven = weave.weave(self.project, drafts=any(part.draft for part in self.parts))
            built = generator.build(self.project, woven.newest)
        self.show.line(f"site: {'built' if built else 'unchanged'}")
        for part in self.waiting:
            self.show.line(f"page: {self._page(part)}")
        self.waiting = []

    def _page(self, part: Part) -> Path:
        return self.project.site / "posts" / part.slug / "index.html"

    def _replications(self) -> None:
        """Bring the results from machines of other kinds up to date that stand beside those of this one."""
        shown = (plan for name in self.project.notebook_names() for plan in self._plans(name))
        self._run([execute.replicated(self.project, shown)])

    def _execute(self, names: Iterable[str]) -> None:
        """Bring the results of notebooks up to date."""
        groups, published = [self._plans(name) for name in names], self.project.shown(self.project.logs)
        for plan in (plan for plans in groups for plan in plans):
            kept = execute.record(plan.output)
            if kept and kept["logs"] == published != self.project.shown(plan.logs):
                # Keep the results of the published logs, for the comparison with one's own.
                kept_at = self.project.published / plan.name / plan.profile
                shutil.rmtree(kept_at, ignore_errors=True)
                shutil.copytree(plan.output, kept_at)
        self._run(groups)

    def _run(self, groups: list[list[execute.Plan]]) -> None:
        """Execute those plans that are due, each group being all of one notebook."""

        def read(plan: execute.Plan) -> bool:
            kept = execute.record(plan.output)
            return kept is None or kept["logs"] == self.project.shown(plan.logs)

        todo = [plan for plans in groups for plan in plans if execute.due(plan) or not read(plan)]
        execute.execute_all(todo, self.project, ended=lambda outcome: self.show.line(f"notebook {outcome.line()}"))
        for plans in groups:
            execute.settle(self.project, plans)

    def _plans(self, name: str) -> list[execute.Plan]:
        """The plans of a notebook: with one's own runs where they are complete, else with the published logs, in all
        their profiles."""
        if self._own(name):
            return execute.plans(self.project, name, self.root, self.profile)
        try:
            return execute.plans(self.project, name, self.project.logs)
        except UserError:
            if not all(evidence.runs(self.root, each, self.profile) for each in reads(self.project, name)):
                raise
            return execute.plans(self.project, name, self.root, self.profile)  # nothing is published

    def _own(self, name: str) -> bool:
        """Whether all runs that a notebook reads have been trained by the user. One that reads none, of a post that is
        not to be built, shows what is published."""
        names = self.read.get(name) or reads(self.project, name)
        return bool(names) and all(self._complete(each) for each in names)

    def _complete(self, name: str) -> bool:
        if name in self.complete:
            return True
        if name in self.training or not evidence.runs(self.root, name, self.profile):
            return False
        loaded = self.experiments.get(name) or self._loaded(name)
        if self.profile not in loaded.profiles or self._missing(loaded):
            return False
        self.complete.add(name)
        return True


class Behind:
    """Calls functions one after another in a thread, behind what the caller does meanwhile."""

    def __init__(self) -> None:
        self._pool, self._calls = ThreadPoolExecutor(1), list[Future[object]]()

    def add(self, function: Callable[..., object], *args: Any) -> None:
        """Call a function after those before it. Raises what one of these has raised."""
        self.check()
        self._calls.append(self._pool.submit(function, *args))

    def error(self) -> BaseException | None:
        """What the first one that failed has raised; None if none has."""
        ended = (call for call in self._calls if call.done())
        return next(filter(None, (call.exception() for call in ended)), None)

    def check(self) -> None:
        """Raise what the first one that failed has raised."""
        error = self.error()
        if error:
            raise error

    def wait(self) -> None:
        """Wait until all have ended; raises what the first one that failed has raised."""
        for call in self._calls:
            call.result()

    def end(self) -> None:
        """Wait until the present one has ended, and drop the others."""
        self._pool.shutdown(cancel_futures=True)


class Show:
    """Prints lines and the overall progress with the time left: as a bar on a terminal, else as a line a minute."""

    def __init__(
        self, write: Callable[[str], None], terminal: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.write, self.terminal, self.clock = write, terminal, clock
        self.expected: dict[str, tuple[float, int]] = {}  # seconds and runs, by experiment
        self.done: dict[str, float] = {}  # the fraction of them that is done, by experiment
        self.steps: dict[str, dict[str, float]] = {}  # the fraction of each run, by experiment
        self.spent, self.printed = 0.0, clock()
        self.begun: float | None = None  # when the clock was started
        self.bar: Any = None

    def line(self, text: str) -> None:
        """Print a line."""
        if self.bar:
            self.bar.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            self.write(text)

    def expect(self, experiment: str, seconds: float, runs: int) -> None:
        """Add an experiment to the overall progress, with the estimated seconds of its runs."""
        self.expected[experiment], self.done[experiment] = (seconds, runs), 0.0

    def begin(self) -> None:
        """Start the clock of training."""
        self.begun = self.clock()

    def pause(self) -> None:
        """Stop the clock of training."""
        if self.begun is not None:
            self.spent += self.clock() - self.begun
        self.begun = None

    def over(self, experiment: str) -> None:
        """Note that an experiment has ended."""
        self.done[experiment] = 1.0
        self._draw()

    def left(self) -> float:
        """The estimated seconds of training that are left, scaled by the ratio of actual to estimated time so far."""
        done = sum(self.expected[name][0] * self.done[name] for name in self.expected)
        total = sum(seconds for seconds, _ in self.expected.values())
        spent = self.spent + (self.clock() - self.begun if self.begun is not None else 0.0)
        stretch = spent / done if done > 0.05 * total and spent > 5.0 else 1.0
        return (total - done) * stretch

    def handle(self, event: "Event", experiment: str = "") -> None:
        """Print an event of an experiment's sweep; the callback for `runner.launch.sweep`."""
        from runner.launch import events

        match event:
            case events.Line(text):
                self.line(text)
            case events.Unplanned() | events.Decided():
                self.line(f"{event}")
            case events.Inspected(run, state):
                if state.action != "skip":
                    self.line(f"{experiment}/{run} {state.action}s: {state.reason}")
            case events.Progress():
                self._advance(experiment, event.run, event.step / event.steps)
            case events.RunEnded(run, status):
                self.line(f"{'✓' if status == 'finished' else '·'} {experiment}/{run} {status}")
                self._advance(experiment, run, 1.0)
            case events.AllEnded(statuses) if statuses:
                self.line(f"{experiment}: {event}")

    def end(self) -> None:
        """Remove the bar."""
        if self.bar:
            self.bar.stop()
        self.bar = None

    def _advance(self, experiment: str, run: str, part: float) -> None:
        steps = self.steps.setdefault(experiment, {})
        steps[run] = part
        if experiment in self.expected:
            self.done[experiment] = min(1.0, sum(steps.values()) / self.expected[experiment][1])
        self._draw()

    def _draw(self) -> None:
        """Update the bar, or print a line if the last one is a minute old."""
        if not self.expected:
            return
        from runner.launch import durations

        total = sum(seconds for seconds, _ in self.expected.values()) or 1.0
        done = sum(seconds * self.done[name] for name, (seconds, _) in self.expected.items())
        left = f"about {durations.words(self.left())} left"
        if self.terminal:
            self._bar().update(self.task, completed=done / total, left=left)
        elif self.clock() - self.printed > EVERY:
            self.printed = self.clock()
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
    """All files of a folder, recursively and in order, except checkpoints, locks and caches of Python."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if path.name not in ("checkpoint", "__pycache__"):
                yield from _files(path)
        elif path.name not in ("lock", "progress.json"):
            yield path
