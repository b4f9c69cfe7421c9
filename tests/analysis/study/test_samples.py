from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.study.samples import HELD_OUT, Samples, crossing, printed, shortened, token_0
from runner.data.tokenizers.registry import TOKENIZERS
from runner.data.tokenizers.tokenizer import Source
from runner.evidence import log
from runner.evidence.log import Run


def run(folder: Path, seed: int) -> Run:
    """A run that left two texts at each of two temperatures, and one of held-out text."""
    rows = [
        {
            "temperature": temperature, "number": number,
            "text": None if temperature is None else f"{temperature} {number} {seed}", "tokens": [1, 2],
            "logprob": [np.float16(-surprise), np.float16(-surprise - seed)],
            "repeated": [0.1 * (number + 1)] * 4, "distinct": [0.5] * 4,
            "words": 10, "unknown": number, "mentions": 4 * number, "kept": number,
        }
        for temperature, surprise in ((0.5, 1), (1.0, 2), (None, 1.5))
        for number in range(2 if temperature else 1)
    ]  # fmt: skip
    folder.mkdir(parents=True)
    log.write(folder / "samples.parquet", log.table(rows, log.SAMPLES))
    return Run(folder, {"seed": seed, "files": {"samples.parquet": ""}})


@pytest.fixture
def drawn(tmp_path: Path) -> Samples:
    (tmp_path / "none").mkdir()
    runs = {seed: run(tmp_path / f"s{seed}", seed) for seed in (0, 2)}
    return Samples.of(runs | {5: Run(tmp_path / "none", {"seed": 5})})


def test_texts_and_seeds_are_told_apart(drawn):
    assert drawn.seeds == [0, 2]
    assert drawn.temperatures == [0.5, 1.0]
    assert drawn.count(0.5) == 4
    assert drawn.only([2]).seeds == [2]
    assert drawn.pooled("nats", 0.5).values == (1.0, 1.0, 2.0, 2.0)
    assert drawn.by_seed("nats", 0.5).tolist() == [1.0, 2.0]
    assert drawn.by_seed("nats", 0.5, 1.0).tolist() == [1.5, 2.5]
    assert drawn.by_seed("repeated-4", HELD_OUT) == pytest.approx([0.1, 0.1])
    assert drawn.pooled("nats", HELD_OUT).values == (2.0,), "the same text for both seeds"
    assert drawn.pooled("unknown", 1.0).mean == pytest.approx(0.05)
    assert drawn.text(0.5, 2, 1) == "0.5 1 2"


def test_texts_without_a_name_have_no_share(drawn):
    assert drawn.pooled("kept", 0.5).values == (0.25, 0.25)
    assert drawn.pooled("kept", HELD_OUT).n == 0


def test_no_samples(tmp_path):
    none = Samples.of({0: Run(tmp_path, {})})
    assert none.seeds == []
    assert none.temperatures == []


def test_where_samples_are_like_held_out_text(drawn):
    assert drawn.crossing("nats") == pytest.approx([0.75, 0.75])
    assert drawn.crossing_elsewhere("nats") == pytest.approx((0.75, 0.75)), "there is one held-out text"
    assert crossing([0.5, 1, 2], [3, 2, 0], 1) == 1.5, "falling"
    assert crossing([0.5, 1, 2], [3, 2, 0], 9) == 0.5
    assert crossing([0.5, 1, 2], [0, 2, 3], 9) == 2
    assert 0.5 <= crossing([0.5, 1, 2], [0, 2, 1.9], 1.95) <= 1


def test_other_held_out_texts_move_where_samples_are_like_them():
    rows = [(0.5, 0, 1.0), (1.0, 0, 2.0), (HELD_OUT, 0, 1.25), (HELD_OUT, 1, 1.75)]
    both = [{"kind": kind, "seed": seed, "number": n, "nats": nats} for seed in (0, 1) for kind, n, nats in rows]
    assert Samples(pd.DataFrame(both)).crossing_elsewhere("nats") == pytest.approx((0.625, 0.875))


def test_a_story_is_shortened_to_its_first_words():
    assert shortened("One two\nthree.<|endoftext|>Four", 9) == "One two three."
    assert shortened("One\x18 two", 2) == "One\ufffd two"
    assert shortened("One two three four", 2) == "One two …"


def test_a_whole_text_is_printed_on_one_line():
    assert printed("\nROMEO:\n\nAy\x00") == " ↵ ROMEO: ↵  ↵ Ay\ufffd"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("characters", "a line break"),
        ("bytes", "byte 0, no sign"),
        ("p50k_base", "“!”"),
        ("bert-base-uncased", "no text"),
    ],
)
def test_token_0_is_told_by_what_it_stands_for(name, meant):
    assert token_0(TOKENIZERS[name].of(Source("\nab", "\nab"))) == meant
