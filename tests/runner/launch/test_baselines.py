from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runner.data import dataset
from runner.data.counts import Counts
from runner.errors import UserError
from runner.evidence import baselines
from runner.launch import baselines as counting
from runner.plan import experiment
from tests.conftest import train_here

TEXT = """
title = "A text"
name = "s{{seed}}"
axes = {{}}
[profiles.smoke]
seeds = 2
data = {{ train = [0, 2000], val = [2000, 3000], test = [3000, 3500] }}
model = {{ n_layer = 1, n_head = 2, d_model = 16, block_size = 4 }}
{more}
"""


def load(tmp_path: Path, more: str = "", first: str = "") -> experiment.Experiment:
    path = tmp_path / "text.toml"
    path.write_text(first + TEXT.format(more=more))
    return experiment.load(str(path))


def make(loaded: experiment.Experiment, root: Path) -> Path | None:
    return counting.make(loaded, loaded.plans("smoke"), root)


def why_not(name: str, profile: str) -> str:
    loaded = experiment.load(name)
    return counting.why_not(loaded, loaded.plans(profile))


def test_an_experiment_is_counted_once(tmp_path):
    loaded = load(tmp_path)
    path = make(loaded, tmp_path)
    assert path == tmp_path / "text" / "smoke" / "baselines.json"
    ((key, one),) = baselines.read(path.parent).items()
    plan = loaded.plans("smoke")[0]
    assert key == baselines.key(one.data, dataset.fingerprint(plan.spec.data), 1)
    assert [each.name for each in one.baselines] == ["uniform", "unigram", "bigram", "trigram", "6-gram"]
    assert (one.vocabulary, one.tokens, one.tuned_on, one.reported) == (65, 2000, "val", "test")
    ids = dataset.load(plan.spec.data).ids
    counts, best = Counts(ids[:2000], 65, 6), one.baselines[-1]
    assert best.parameters == counts.parameters(6)
    assert best.loss["test"] == counts.seen(ids[3000:3500]).after(1).loss(best.smoothing)
    losses = [each.loss["val"] for each in one.baselines]
    assert losses == sorted(losses, reverse=True)
    assert one.baselines[0].loss["val"] == pytest.approx(np.log(65))
    assert one.read == {}
    assert counting.summary(path) == (
        f"text: 6-gram counts, {best.parameters:,} that are not zero: {best.loss['test']:.3f} nats a token on test"
    )
    before = path.stat().st_mtime_ns
    assert make(loaded, tmp_path) is None
    assert path.stat().st_mtime_ns == before


def test_what_ended_runs_were_trained_on_is_counted(tmp_path):
    """It may be another text than the one that is planned here, as where a corpus cannot be had."""
    loaded = load(tmp_path, more="train = { steps = 2, batch_size = 2 }")
    for plan in loaded.plans("smoke"):
        train_here(plan, tmp_path)
    ((key, _),) = baselines.read(make(loaded, tmp_path).parent).items()
    others = [
        replace(plan, spec=replace(plan.spec, data=replace(plan.spec.data, train=(0, 1000))))
        for plan in loaded.plans("smoke")
    ]
    assert counting.make(loaded, others, tmp_path) is None, "up to date"
    assert list(baselines.read(others[0].folder(tmp_path).parent)) == [key]


def test_what_is_stale_or_damaged_is_counted_again(tmp_path):
    path = make(load(tmp_path), tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert make(load(tmp_path), tmp_path) == path
    assert path.read_bytes() == whole
    baselines.write(path.parent, {baselines.key(o.data, "ab", 1): replace(o, corpus={"name": "x", "sha256": "ab"})
                                  for o in baselines.read(path.parent).values()})  # fmt: skip
    assert make(load(tmp_path), tmp_path) == path
    assert path.read_bytes() == whole


def test_runs_that_read_less_than_the_split_are_compared_with_as_much(tmp_path):
    loaded = load(tmp_path, "train = { steps = 5, batch_size = 8 }")
    (one,) = baselines.read(make(loaded, tmp_path).parent).values()
    assert set(one.read) == {"160"}
    ids = dataset.load(loaded.plans("smoke")[0].spec.data).ids
    assert one.read["160"].parameters == Counts(ids[:160], 65, 6).parameters(6)
    assert one.read["160"].loss["val"] > one.baselines[-1].loss["val"]
    assert make(loaded, tmp_path) is None
    longer = load(tmp_path, "train = { steps = 6, batch_size = 8 }")
    (one,) = baselines.read(make(longer, tmp_path).parent).values()
    assert set(one.read) == {"192"}


def test_what_was_counted_for_another_experiment_is_not_counted_again(tmp_path, monkeypatch):
    def named(name: str, steps: int) -> experiment.Experiment:
        return replace(load(tmp_path, f"train = {{ steps = {steps}, batch_size = 8 }}"), name=name)

    alone = make(named("alone", 6), tmp_path / "other").read_text()
    make(named("first", 5), tmp_path)
    counted = []
    monkeypatch.setattr(counting, "Counts", lambda text_N, *more: counted.append(len(text_N)) or Counts(text_N, *more))
    assert make(named("alone", 6), tmp_path).read_text() == alone
    assert counted == [192]
    assert make(named("again", 5), tmp_path)
    assert counted == [192]
    monkeypatch.setattr(counting, "loaded_commit", lambda: "another")
    make(named("later", 5), tmp_path)
    assert counted == [192, 2000, 160]


def test_contexts_are_counted_where_they_are_predicted(tmp_path):
    loaded = load(tmp_path)
    spec = replace(loaded.plans("smoke")[0].spec.data, task="context")
    all_but, whole = (counting.count(spec, "ab", skip, "text").baselines[-1] for skip in (4, 1))
    assert all_but.parameters == whole.parameters
    assert all_but.loss != whole.loss


def test_byte_pairs_in_splits_of_characters_are_counted(tmp_path):
    spec = replace(load(tmp_path).plans("smoke")[0].spec.data, tokenizer="bytes", unit="characters", test=None)
    found = counting.count(spec, "ab", 1, "text")
    assert found.vocabulary == 256
    assert found.reported == "val"


def test_what_is_not_counted_says_why_in_a_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"^text: no baselines: its file says baselines = false$"):
        make(load(tmp_path, first="baselines = false"), tmp_path)
    with pytest.raises(UserError, match="baselines must be true or false, not 1"):
        load(tmp_path, first="baselines = 1")
    assert "4,608,000,000 tokens" in why_not("web-ratio", "paper")
    monkeypatch.setattr(counting, "LARGEST", 1999)
    with pytest.raises(UserError, match="its training split has 2,000 tokens, and more than 1,999 are not counted"):
        make(load(tmp_path), tmp_path)


def test_experiments_without_baselines():
    """Whose losses mean nothing; of all others the laptop profile is counted."""
    left = {n: why_not(n, "laptop") for n in experiment.names()}
    assert {name for name, why in left.items() if why} == {
        "first-step",
        "mini-gpt-pace",
        "shape-time",
        "step-time",
        "tasks",
    }
