import json
import subprocess
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from runner.errors import NoDevice, UserError
from runner.evidence import planned
from runner.evidence.baselines import NAME
from runner.evidence.status import Status
from runner.launch import baselines, sweep
from runner.launch.events import AllEnded, Decided, Ending, Inspected, Line, RunEnded, Started, Unplanned
from runner.plan import experiment
from runner.plan.placement import Placement
from tests.conftest import train_here

RULED = """
title = "Two at a time"
name = "{activation}-s{seed}"
axes = { "model.activation" = ["relu2", "swiglu"] }
rule = { axis = "model.activation", champion = "swiglu", challenger = "relu2", split = "val", if_it_loses = ["gelu"] }
[profiles.smoke]
placement = { jobs = 3 }
data = { train = [0, 2000], val = [2000, 3000] }
model = { n_layer = 1, n_head = 2, d_model = 16, block_size = 16 }
train = { steps = 2, batch_size = 4, learning_rate = 0.0, min_learning_rate = 0.0 }
"""


class Here:
    """Trains in this process, one after another; what is to `fail` fails."""

    def __init__(self, fail: str = "") -> None:
        self.fail, self.asked = fail, []

    def resolve(self, wishes: dict[str, Any]) -> Placement:
        self.asked.append(wishes)
        if wishes.get("device") == "tpu":
            raise NoDevice("device 'tpu' is not available")
        return Placement()

    def broadcast(self, value: Any, wishes: dict[str, Any]) -> Any:
        return value

    def begin(self, plans, root, placement, emit) -> Ending:
        return lambda: self._train(plans, root, emit)

    def _train(self, plans, root, emit) -> dict[str, Status]:
        statuses = {}
        for plan in plans:
            statuses[plan.name] = Status.FAILED if plan.name == self.fail else Status(train_here(plan, root))
            emit(RunEnded(plan.name, statuses[plan.name]))
        return statuses


@pytest.fixture
def ruled(tmp_path: Path):
    path = tmp_path / "ruled.toml"
    path.write_text(RULED)
    return experiment.load(str(path))


def test_a_sweep_trains_what_is_missing_and_what_the_rule_adds(ruled, tmp_path: Path):
    told, workers = [], Here()
    assert sweep.begin(ruled, "smoke", tmp_path, {"threads": 1}, workers, told.append)() == {
        "relu2-s0": "finished",
        "swiglu-s0": "finished",
        "gelu-s0": "finished",
    }
    assert [type(event) for event in told] == [
        *[Inspected, Inspected, Started, RunEnded, RunEnded, AllEnded, Decided],
        *[Inspected, Started, RunEnded, AllEnded],
        Line,  # the baselines
    ]
    assert workers.asked == [{"jobs": 3, "threads": 1}] * 2
    assert told[6] == Decided("ruled", planned.decide(ruled, "smoke", tmp_path).reason)


def test_of_some_runs_the_others_are_left_out_and_the_rule_waits(ruled, tmp_path: Path):
    told = []
    some = sweep.begin(ruled, "smoke", tmp_path, {}, Here(), told.append, only="swi*-s0")()
    assert some == {"swiglu-s0": "finished"}
    assert told[-1] == Line("ruled: 1 of 2 runs left out by --only swi*-s0")
    assert not any(isinstance(event, Decided) for event in told)
    rest = sweep.begin(ruled, "smoke", tmp_path, {}, Here(), told.append, only="*-s0")()  # leaves nothing out
    assert rest == {"relu2-s0": "finished", "gelu-s0": "finished"}
    with pytest.raises(UserError, match=r"--only r4\*: no run of ruled, smoke profile, .* known: relu2-s0, swiglu-s0$"):
        sweep.begin(ruled, "smoke", tmp_path, {}, Here(), told.append, only="r4*")()


def test_up_to_a_limit_the_first_seeds_are_an_experiment_of_their_own(ruled, tmp_path: Path):
    both, told = replace(ruled, profiles={"smoke": ruled.profiles["smoke"] | {"seeds": 2}}), []
    trained = sweep.begin(replace(both, limit=1), "smoke", tmp_path, {}, Here(), told.append)()
    assert sorted(trained) == ["gelu-s0", "relu2-s0", "swiglu-s0"], "the rule decides by them"
    assert isinstance(told[-1], Line), "baselines"
    assert len(sweep.begin(both, "smoke", tmp_path, {}, Here(), told.append)()) == 3
    told.clear()
    assert sweep.begin(replace(both, limit=1), "smoke", tmp_path, {}, Here(), told.append)() == {}
    assert not any(isinstance(event, Unplanned) for event in told), "further seeds are planned, too"


def test_a_sitting_is_trained_and_the_next_one_waits(ruled, tmp_path: Path):
    timed = replace(ruled, rule=None, profiles={"smoke": ruled.profiles["smoke"] | {"seeds": 2, "sittings": 2}})
    told = []
    first = sweep.begin(timed, "smoke", tmp_path, {}, Here(), told.append)()
    assert first == {"relu2-s0": "finished", "swiglu-s0": "finished"}
    assert told[-1].text.startswith("ruled: 2 runs wait for another sitting, which may begin ")
    assert told[-1].text.endswith(": run the same command again then")
    assert sweep.begin(timed, "smoke", tmp_path, {}, Here(), told.append)() == {}
    for path in (tmp_path / "ruled" / "smoke").glob("*/manifest.json"):
        manifest = json.loads(path.read_text())
        long_ago = datetime.fromisoformat(manifest["started"]) - 2 * experiment.APART
        path.write_text(json.dumps(manifest | {"started": long_ago.isoformat()}))
    second = sweep.begin(timed, "smoke", tmp_path, {}, Here(), told.append)()
    assert second == {"relu2-s1": "finished", "swiglu-s1": "finished"}


def test_with_nothing_to_do_no_worker_is_asked(ruled, tmp_path: Path):
    sweep.begin(ruled, "smoke", tmp_path, {}, Here(), lambda event: None)()
    (tmp_path / "ruled" / "smoke" / "other").mkdir()
    (tmp_path / "ruled" / "smoke" / "other" / "manifest.json").write_text("{}")
    told, workers = [], Here()
    assert sweep.begin(ruled, "smoke", tmp_path, {}, workers, told.append)() == {}
    assert workers.asked == []
    assert [type(event) for event in told] == [Unplanned, Inspected, Inspected, Decided, Inspected]
    assert {event.state.action for event in told if isinstance(event, Inspected)} == {"skip"}


def test_baselines_that_cannot_be_counted_are_no_failure(ruled, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(baselines, "LARGEST", 100)
    told = []
    assert set(sweep.begin(ruled, "smoke", tmp_path, {}, Here(), told.append)().values()) == {"finished"}
    assert told[-1] == Line(
        "ruled: no baselines: its training split has 2,000 tokens, and more than 100 are not counted"
    )


def test_where_a_run_fails_the_rule_is_not_asked_and_nothing_is_counted(ruled, tmp_path: Path):
    told = []
    statuses = sweep.begin(ruled, "smoke", tmp_path, {}, Here("relu2-s0"), told.append)()
    assert statuses == {"relu2-s0": "failed", "swiglu-s0": "finished"}
    assert not [event for event in told if isinstance(event, Decided)]
    assert not (tmp_path / "ruled" / "smoke" / NAME).exists()


def test_a_device_that_is_not_there_is_said_before_data_are_loaded(ruled, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path / "cache"))
    told = []
    with pytest.raises(NoDevice):
        sweep.begin(experiment.load("mlp-ratio"), "smoke", tmp_path, {"device": "tpu"}, Here(), told.append)()
    assert not [event for event in told if isinstance(event, Line)]
    paper = experiment.load("web-ratio")  # its tokens come from a hub
    with pytest.raises(NoDevice):
        sweep.begin(paper, "paper", tmp_path, {"device": "tpu"}, Here(), told.append)()
    assert not (tmp_path / "cache").exists()


def test_an_engine_that_is_unknown_is_named():
    with pytest.raises(UserError, match="unknown engine 'slurm'; known: local, ray"), sweep.workers("slurm"):
        pass
    with pytest.raises(UserError, match="is for --engine ray"), sweep.workers("local", "here:1"):
        pass


def test_looking_needs_no_torch():
    code = "import sys, runner.launch.sweep, runner.launch.local; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
