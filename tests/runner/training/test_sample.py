from pathlib import Path

import numpy as np
import pytest

from runner.errors import UserError
from runner.training import sample


@pytest.fixture(scope="module")
def model(trained: Path):
    return sample.load(trained)


def test_a_sample_is_a_function_of_the_weights_and_the_seed(model):
    first = sample.generate(*model, "\n", 80, seed=0)
    assert first == sample.generate(*model, "\n", 80, seed=0)
    assert first != sample.generate(*model, "\n", 80, seed=1)
    assert first.startswith("\n")
    assert len(first) == 81


def test_the_runs_own_sample_comes_out_again(model, trained):
    text = sample.generate(*model, "\n", 500, seed=0)
    assert (trained / "samples.txt").read_text() == text + "\n"


def test_cold_is_greedy_and_k_of_one_too(model):
    assert sample.generate(*model, "A", 30, 0, temperature=0) == sample.generate(*model, "A", 30, 5, top_k=1)


def test_draws_follow_the_odds():
    logits = np.log(np.array([0.5, 0.3, 0.2]))
    drawn = [sample._draw(logits, u, 1.0, None) for u in np.linspace(0, 1, 1000, endpoint=False)]
    assert np.bincount(drawn) == pytest.approx([500, 300, 200], abs=1)
    assert {sample._draw(logits, u, 1.0, 2) for u in np.linspace(0, 0.999, 50)} == {0, 1}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"temperature": -1}, "temperature -1 must not be negative"),
        ({"top_k": 0}, "top_k 0 must be at least 1"),
    ],
)
def test_bad_settings_are_named(model, more, message):
    with pytest.raises(UserError, match=message):
        sample.generate(*model, "A", 5, 0, **more)


def test_bad_prompts_are_named(model):
    with pytest.raises(UserError, match="the prompt is empty"):
        sample.generate(*model, "", 5, 0)
    with pytest.raises(UserError, match="'é'"):
        sample.generate(*model, "é", 5, 0)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        sample.load(tmp_path)
