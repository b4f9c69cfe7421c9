import shutil
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from analysis import cli, reproduce
from analysis.build import execute
from analysis.build import project as projects
from analysis.site import generator, weave
from runner.errors import UserError
from runner.evidence import planned
from runner.evidence.status import Status
from runner.launch import events, sweep
from runner.plan import experiment
from runner.plan.experiment import APART
from tests.analysis import fake
from tests.conftest import ROOT, wait_for


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def show(said: list[str]) -> reproduce.Show:
    return reproduce.Show(said.append, terminal=False)


def begins(train: Callable[..., dict[str, Status]]) -> Callable[..., Callable[[], dict[str, Status]]]:
    """A `sweep.begin` whose runs are trained by this function when they are waited for."""
    return lambda *args: partial(train, *args)


class Workers:
    """Measures nothing, and trains nothing."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds = seconds

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def call_each(self, function, args, jobs):
        from runner.launch.estimate import Estimate

        return (Estimate(self.seconds, 2) for _ in args)


@pytest.fixture
def swept(monkeypatch) -> list[str]:
    """The experiments that were to be trained; each is stopped."""
    names: list[str] = []

    def train(loaded, profile, root, wishes, workers, emit):
        names.append(loaded.name)
        return {"r1-s0": Status.STOPPED}

    monkeypatch.setattr(sweep, "begin", begins(train))
    monkeypatch.setattr(sweep, "workers", Workers)
    monkeypatch.setattr(generator, "build", lambda project, newest: True)
    return names


def test_the_title_post_comes_first():
    found = reproduce.parts(projects.Project(ROOT))
    assert found[0].slug == "is-4-the-magic-number"
    assert found[0].experiments[0] == "mlp-ratio"
    assert len(found) == len({part.slug for part in found}) > 1
    (one,) = reproduce.parts(projects.Project(ROOT), found[-1].slug)
    assert one == found[-1]
    with pytest.raises(UserError, match="unknown post 'nosuch'; known: is-4"):
        reproduce.parts(projects.Project(ROOT), "nosuch")


def test_stopped_it_leaves_a_whole_site_from_the_published_logs(house, swept, show, said):
    outcome = reproduce.reproduce(house, "smoke", None, [], show)
    assert outcome.code == 1
    assert swept == ["mlp-ratio"]
    assert "mlp-ratio: 10 runs to train, about 10 s here" in said
    assert "site: built" in said
    assert any(line.startswith("run the same command again to continue") for line in said)
    assert execute.record(house.results / "mlp-ratio" / "laptop")["logs"] == "logs"
    assert not (house.root / "build" / reproduce.STAMP).exists()


BESIDE = """\
# %% [markdown]
# # {name}

# %% tags=["parameters"]
experiments = []
everything = {everything}
logs = "logs"
profile = "laptop"
output = "build/analysis/{name}"

# %%
from pathlib import Path

from analysis.study.results import Results

assert not {everything} or list(Path(logs).glob("*/*/*/manifest.json")), "no finished run"
results = Results(output)
results.number("{name}", 1)
results.save()
"""


@pytest.fixture
def counting(house):
    """The house, with a notebook that reads no run and one that reads all of them in its post."""
    for name, everything in (("counted", False), ("ranked", True)):
        (house.notebooks / f"{name}.py").write_text(BESIDE.format(name=name, everything=everything))
    post = house.posts / "is-4-the-magic-number" / "index.md"
    post.write_text(post.read_text().replace("notebook: mlp-ratio", "notebook: [mlp-ratio, counted, ranked]"))
    return house


@pytest.mark.parametrize("only", [None, "is-4-the-magic-number"])
def test_with_long_runs_ahead_a_fresh_clone_has_its_whole_site_at_once(counting, swept, show, said, monkeypatch, only):
    monkeypatch.setattr(sweep, "workers", lambda: Workers(1000.0))
    outcome = reproduce.reproduce(counting, "smoke", only, [], show)
    assert (outcome.code, swept) == (1, ["mlp-ratio"])  # stopped in the first experiment, and not before it
    assert said.index("site: built") < len(said) - 1
    for name in ("mlp-ratio", "counted", "ranked"):
        assert execute.record(counting.results / name / "laptop")["logs"] == "logs"


def test_what_reads_no_run_is_ones_own_once_the_runs_of_its_post_are(counting, swept, show, monkeypatch):
    def train(loaded, profile, root, wishes, workers, emit):
        for ratio in fake.RATIOS:
            for seed in range(2):
                fake.write_run(root, ratio, seed, profile)
        return {"r1-s0": Status.FINISHED}

    monkeypatch.setattr(sweep, "begin", begins(train))
    monkeypatch.setattr(reproduce._Reproduction, "_missing", lambda self, loaded: [])
    made = reproduce._Reproduction(counting, "smoke", reproduce.parts(counting), set(), show)
    assert made.late == ["ranked"]
    assert made.read == {name: ["mlp-ratio"] for name in ("mlp-ratio", "counted", "ranked")}
    assert not made._own("counted")
    assert not made._own("ranked")
    train(made.experiments["mlp-ratio"], "smoke", made.root, {}, None, None)
    made.complete.clear()
    assert made._own("counted")
    assert made._own("ranked")


@pytest.mark.parametrize(
    ("seeds", "runs"),
    [(None, "5 runs to train (1 of 2 seeds)"), ("all", "10 runs to train"), ("2", "10 runs to train")],
)
def test_as_many_seeds_are_trained_as_the_file_or_the_user_says(house, swept, show, said, monkeypatch, seeds, runs):
    monkeypatch.setattr(experiment.Experiment, "first_seeds", lambda self, profile: 1)
    assert reproduce.reproduce(house, "smoke", None, [], show, seeds).code == 1
    assert f"mlp-ratio: {runs}, about 10 s here" in said


def test_at_the_end_it_says_of_what_only_the_first_seeds_were_trained(house, swept, show, said, monkeypatch):
    load = experiment.load

    def train(loaded, profile, root, wishes, workers, emit):
        for plan in loaded.plans(profile):
            fake.write_run(root, plan.spec.model.mlp_ratio, plan.spec.seed, profile)
        return {"r1-s0": Status.FINISHED}

    profiles = load("mlp-ratio").profiles | {"smoke": load("mlp-ratio").profiles["smoke"] | {"seeds": 3}}
    monkeypatch.setattr(experiment, "load", lambda name: replace(load(name), profiles=profiles))
    monkeypatch.setattr(sweep, "begin", begins(train))
    monkeypatch.setattr(reproduce._Reproduction, "_missing", lambda self, loaded: loaded.plans("smoke")[:1])
    monkeypatch.setattr(reproduce._Reproduction, "_pages", lambda self: None)
    monkeypatch.setattr(reproduce._Reproduction, "_results", lambda self, part, last: None)
    monkeypatch.setattr(reproduce.compare, "compare", lambda project, name: [])
    line = "the first seeds were trained of mlp-ratio (2 of 3): SEEDS=all trains the others"
    assert reproduce.reproduce(house, "smoke", None, [], show, "2").lines[-1] == line
    assert line not in reproduce.reproduce(house, "smoke", None, [], show, "3").lines
    for run in (house.root / "runs" / "mlp-ratio" / "smoke").glob("*-s[12]"):  # they wait for another sitting
        shutil.rmtree(run)
    monkeypatch.setattr(sweep, "begin", begins(lambda *_: {}))
    lines = reproduce.reproduce(house, "smoke", None, [], show, "4").lines
    assert not any("first seeds" in line for line in lines)


@pytest.mark.parametrize("wrong", ["0", "1", "-2", "every", "", "2.5"])
def test_seeds_that_are_no_number(house, show, wrong):
    with pytest.raises(UserError, match=f"seeds '{wrong}' must be a number from 2 .*, or all"):
        reproduce.reproduce(house, "smoke", None, [], show, wrong)


def test_more_seeds_than_there_are_is_said(house, capsys):
    show = reproduce.Show(print, terminal=False)
    reproduce._Reproduction(house, "smoke", reproduce.parts(house), set(), show, "99")
    assert "SEEDS=99: no experiment has more than 2 seeds in this profile; all are taken" in capsys.readouterr().out


def test_what_takes_days_is_left_out_unless_it_is_asked_for(house, swept, show, said, monkeypatch):
    monkeypatch.setattr(sweep, "workers", lambda: Workers(3 * 86_400))
    assert reproduce.reproduce(house, "paper", None, [], show).code == 0
    assert swept == []
    assert any("about 3.0 days here, which is too long: left out; add it with WITH=mlp-ratio" in line for line in said)
    again = reproduce.Show(said.append, terminal=False)
    assert reproduce.reproduce(house, "paper", None, ["mlp-ratio"], again).code == 1
    assert swept == ["mlp-ratio"]
    with pytest.raises(UserError, match="--with nosuch: no post to be built reads that experiment"):
        reproduce.reproduce(house, "paper", None, ["nosuch"], again)


def test_a_post_waits_for_no_estimate_of_what_others_compile(house, show, said, monkeypatch):
    done = []

    class Measuring(Workers):
        def call_each(self, function, args, jobs):
            done.extend((plans[0].experiment, "roughly" if rough else "compiled") for plans, _, rough in args)
            return super().call_each(function, args, jobs)

    def train(loaded, profile, root, wishes, workers, emit):
        done.append((loaded.name, "trained"))
        return {"r1-s0": Status.FINISHED}

    two = [reproduce.Part("first", (), ("mlp-ratio",)), reproduce.Part("second", (), ("web-ratio",))]
    monkeypatch.setattr(reproduce, "parts", lambda project, only: two)
    monkeypatch.setattr(sweep, "workers", Measuring)
    monkeypatch.setattr(sweep, "begin", begins(train))
    for name in ("_pages", "_left_out"):
        monkeypatch.setattr(reproduce._Reproduction, name, lambda self: [])
    monkeypatch.setattr(reproduce._Reproduction, "_results", lambda self, part, last: None)
    assert reproduce.reproduce(house, "smoke", None, [], show).code == 0
    assert done == [
        ("mlp-ratio", "compiled"),
        ("web-ratio", "roughly"),
        ("mlp-ratio", "trained"),
        ("web-ratio", "compiled"),
        ("web-ratio", "trained"),
    ]
    assert said.index("together about 20 s") < said.index("web-ratio: 10 runs to train, about 10 s here")


def test_pages_show_nothing_that_ends_while_they_are_built(house, show, monkeypatch):
    begun, executed, seen = threading.Event(), threading.Event(), []

    class Watched(reproduce._Reproduction):
        def _missing(self, loaded):
            return [] if (self.root / loaded.name).exists() else loaded.plans(self.profile)

        def _pages(self):
            begun.set()
            wait_for(lambda: not self.todo["mlp-ratio"])
            seen.append("own" if self._own("mlp-ratio") else "published")

        def _execute(self, names):
            seen.append(names)
            executed.set()

    def train(loaded, profile, root, wishes, workers, emit):
        if loaded.name == "web-ratio":
            assert executed.wait(10)
            return {"r1-s0": Status.STOPPED}
        assert begun.wait(10)
        for plan in loaded.plans(profile):
            fake.write_run(root, plan.spec.model.mlp_ratio, plan.spec.seed, profile)
        return {"r1-s0": Status.FINISHED}

    fake.write_run(house.logs, 4, 0, experiment="web-ratio")  # without a published run, training would wait for pages
    part = reproduce.Part("first", ("mlp-ratio",), ("mlp-ratio", "web-ratio"))
    monkeypatch.setattr(sweep, "workers", lambda: Workers(2 * reproduce.SOON))
    monkeypatch.setattr(sweep, "begin", begins(train))
    assert Watched(house, "smoke", [part], set(), show).go().code == 1
    assert seen == ["published", ["mlp-ratio"], "own"]


def test_an_error_in_a_page_does_not_wait_for_the_experiment_to_end(house, show, monkeypatch):
    def train(loaded, profile, root, wishes, workers, emit):
        for step in range(100):
            emit(events.Progress("r1-s0", step, 100, 1.0, 1.0))
            time.sleep(0.1)
        raise AssertionError("trained to the end")

    def pages(self):
        raise UserError("posts/first/index.md:3: no such number")

    monkeypatch.setattr(sweep, "workers", lambda: Workers(2 * reproduce.SOON))
    monkeypatch.setattr(sweep, "begin", begins(train))
    monkeypatch.setattr(reproduce._Reproduction, "_pages", pages)
    with pytest.raises(UserError, match="no such number"):
        reproduce.reproduce(house, "smoke", None, [], show)


def test_an_experiment_without_the_profile_keeps_what_is_published(house, swept, show, said, monkeypatch):
    load = experiment.load

    def without(name):
        loaded = load(name)
        kept = {k: v for k, v in loaded.profiles.items() if k != "smoke" or name != "mlp-ratio"}
        return replace(loaded, profiles=kept)

    monkeypatch.setattr(experiment, "load", without)
    assert reproduce.reproduce(house, "smoke", None, [], show).code == 0
    assert swept == []
    assert said[0] == "mlp-ratio has no smoke profile: its published results stay"
    assert execute.record(house.results / "mlp-ratio" / "laptop")["logs"] == "logs"


def test_with_nothing_changed_nothing_is_looked_into(house, swept, show, said, monkeypatch):
    monkeypatch.setattr(sweep, "workers", lambda: Workers(3 * 86_400))
    first = reproduce.reproduce(house, "paper", None, [], show)
    said.clear()
    monkeypatch.setattr(reproduce, "_Reproduction", None)
    assert reproduce.reproduce(house, "paper", None, [], show).lines == first.lines
    assert said == ["nothing has changed"]
    (house.root / "mkdocs.yml").touch()
    with pytest.raises(TypeError):
        reproduce.reproduce(house, "paper", None, [], show)


@pytest.mark.parametrize("over", [True, False])
def test_a_sitting_that_may_begin_is_a_change(house, swept, show, said, monkeypatch, over):
    now = datetime.now(UTC)
    due = planned.Due([], 2, now - APART if over else now + APART)
    monkeypatch.setattr(reproduce._Reproduction, "_waiting", lambda self: {"mlp-ratio": due})
    monkeypatch.setattr(sweep, "workers", lambda: Workers(3 * 86_400))
    reproduce.reproduce(house, "paper", None, [], show)
    said.clear()
    reproduce.reproduce(house, "paper", None, [], show)
    assert (said == ["nothing has changed"]) == (not over)


def test_a_corpus_that_has_come_is_a_change(house, tmp_path, monkeypatch):
    """An experiment may prefer it to the one that it has read so far."""
    project = projects.Project(house.root)
    for name in ("RUNNER_CACHE", "RUNNER_DATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
        (tmp_path / name).mkdir()
        before = reproduce.fingerprint(project)
        assert reproduce.fingerprint(project) == before
        (tmp_path / name / "stories-10k.txt").write_text("Once upon a time")
        assert before != (before := reproduce.fingerprint(project))
        (tmp_path / name / "stories").mkdir()
        (tmp_path / name / "stories" / "index.json").write_text("{}")
        assert reproduce.fingerprint(project) != before


def test_the_command_ends_with_its_status(house, swept, monkeypatch, capsys):
    monkeypatch.setattr(projects, "current", lambda: house)
    monkeypatch.setattr(sys, "argv", ["analysis", "reproduce", "--profile", "smoke"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert "site/posts" in capsys.readouterr().out


def test_pages_say_where_their_results_come_from(house):
    post = next(house.posts.glob("*/index.md")).parent.name
    page = house.docs / "posts" / post / "index.md"
    weave.weave(house)
    assert "results, laptop profile" not in page.read_text()
    (house.root / "runs").symlink_to(house.logs)
    plan = execute.plan(house, "mlp-ratio", house.root / "runs")
    assert plan.profile == "laptop"
    execute.execute(plan, house)
    weave.weave(house)
    assert "Your own results, laptop profile." in page.read_text()
    assert "Your own results, laptop profile." in (house.docs / "claims.md").read_text()


def test_the_time_left_is_stretched_as_what_is_done_was(said):
    now = [0.0]
    show = reproduce.Show(said.append, terminal=False, clock=lambda: now[0])
    show.expect("one", 100.0, 2)
    show.expect("two", 100.0, 1)
    assert show.left() == 200.0
    show.begin()
    now[0] = 100.0  # half of the first, in the time of all of it
    show.handle(events.Progress("r1", 10, 10, 2.0, 1.0), "one")
    assert show.left() == pytest.approx(300.0)
    show.handle(events.RunEnded("r1", Status.FINISHED), "one")
    now[0] = 200.0
    show.handle(events.RunEnded("r2", Status.DIVERGED), "one")
    show.handle(events.Progress("r1", 5, 10, 2.0, 1.0), "two")  # a run of that name in the one after it
    show.over("one")
    assert show.left() == pytest.approx(200.0 / 150.0 * 50.0)
    show.pause()
    now[0] = 1000.0
    assert show.left() == pytest.approx(200.0 / 150.0 * 50.0), "the clock is stopped"
    assert said[0] == "25% trained, about 5 min left"
    assert "✓ one/r1 finished" in said
    assert "· one/r2 diverged" in said


def test_behind_others_calls_end_in_their_order_and_errors_come_out():
    behind, done = reproduce.Behind(), []
    go, fail = threading.Event(), threading.Event()

    def first():
        assert go.wait(10)
        done.append("first")

    def second():
        done.append("second")
        fail.set()
        raise UserError("no page")

    behind.add(first)
    behind.add(second)
    assert done == []
    go.set()
    assert fail.wait(10)
    with pytest.raises(UserError, match="no page"):
        behind.wait()
    behind.end()
    assert done == ["first", "second"]


def test_what_waits_behind_is_dropped_at_the_end():
    behind, done, go = reproduce.Behind(), [], threading.Event()
    started = threading.Event()
    behind.add(lambda: (started.set(), go.wait(10), done.append("present")))
    behind.add(lambda: done.append("next"))
    assert started.wait(10)
    threading.Timer(0.1, go.set).start()
    behind.end()
    assert done == ["present"]


def test_events_become_lines(said, tmp_path: Path):
    from runner.evidence.state import State

    show = reproduce.Show(said.append, terminal=False)
    show.handle(events.Inspected("r1", State("train", "missing", "it has not been trained")), "one")
    show.handle(events.Inspected("r2", State("skip", "finished", "it finished")), "one")
    show.handle(events.AllEnded({"r1": Status.FAILED, "r2": Status.FINISHED}, 3.2), "one")
    show.handle(events.Decided("one", "it wins"), "one")
    ended = "one: 2 runs in 3 s: 1 failed, 1 finished"
    assert said == ["one/r1 trains: it has not been trained", ended, "one: it wins"]
