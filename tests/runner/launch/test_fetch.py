import hashlib
from pathlib import Path

import pytest

from runner.data import corpora
from runner.errors import UserError
from runner.launch import fetch
from runner.plan import experiment
from tests.loopback import DATASET, Hub

TEXT = b"A story.\n<|endoftext|>\n" * 30
FILE = "plain_text/train/stories.txt"
TRY = """
title = "A try"
name = "s{seed}"
axes = {}

[profiles.smoke.data]
corpus = "tales"
unit = "documents"
train = [0, 20]
val = [20, 29]

[profiles.smoke.stand_in]
train = [0, 5_000]
val = [5_000, 6_000]

[profiles.smoke.model]
block_size = 16
"""


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> experiment.Experiment:
    """An experiment on a corpus of the hub, with tiny Shakespeare to stand in, and an empty cache."""
    tales = corpora.Corpus(
        "tales", hashlib.sha256(TEXT).hexdigest(), "", None, corpora.Prefix(DATASET, FILE, len(TEXT)), None,
        "<|endoftext|>",
    )  # fmt: skip
    monkeypatch.setitem(corpora.REGISTRY, "tales", tales)
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RUNNER_HUB", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("RUNNER_DATA", raising=False)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    path = tmp_path / "try.toml"
    path.write_text(TRY)
    return experiment.load(str(path))


def corpus(loaded: experiment.Experiment) -> str:
    return loaded.plans("smoke")[0].spec.data.corpus


def test_another_corpus_stands_in_where_nothing_has_the_preferred_one(loaded):
    said = []
    fetch.preferred(loaded, "smoke", lambda event: said.append(event.text))
    assert corpus(loaded) == "tiny-shakespeare"
    assert "refused" in said[-1]
    assert said[-1].endswith("without it try reads tiny-shakespeare instead, and its figures say so")


def test_it_does_not_where_the_hub_has_it(loaded, monkeypatch: pytest.MonkeyPatch):
    with Hub({FILE: TEXT + b"more"}) as hub:
        monkeypatch.setenv("RUNNER_HUB", hub.address)
        fetch.preferred(loaded, "smoke", lambda event: None)
        assert corpus(loaded) == "tales"
        asked = len(hub.requests)
        fetch.preferred(loaded, "smoke", lambda event: pytest.fail("it is here"))
        assert len(hub.requests) == asked


def test_a_folder_without_it_is_no_error_and_an_altered_file_is_one(loaded, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("RUNNER_DATA", str(tmp_path))
    said = []
    fetch.preferred(loaded, "smoke", lambda event: said.append(event.text))
    assert "which has no tales.txt" in said[-1]
    assert corpus(loaded) == "tiny-shakespeare"
    (tmp_path / "tales.txt").write_bytes(TEXT[:-1])
    fetch.preferred(loaded, "smoke", lambda event: None)
    assert corpus(loaded) == "tales", "it is what is meant, and its fault is said when it is read"
    with pytest.raises(UserError, match=r"tales\.txt has sha256"):
        corpora.load("tales")


def test_another_corpus_stands_in_where_no_address_has_the_preferred_one(loaded, monkeypatch):
    away = corpora.Corpus("tales", hashlib.sha256(TEXT).hexdigest(), "", "http://127.0.0.1:9/tales.txt", None, None)
    monkeypatch.setitem(corpora.REGISTRY, "tales", away)
    said = []
    fetch.preferred(loaded, "smoke", lambda event: said.append(event.text))
    assert "tales cannot be had from http://127.0.0.1:9/tales.txt" in said[-1]
    assert corpus(loaded) == "tiny-shakespeare"


def test_an_experiment_without_a_stand_in_prefers_nothing():
    assert experiment.load("mlp-ratio").preferred("smoke") is None
    assert experiment.load("mini-gpt").preferred("laptop") == "stories-10k"
    assert experiment.load("mini-gpt").preferred("paper") == "stories"
