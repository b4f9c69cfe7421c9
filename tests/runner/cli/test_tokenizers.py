from pathlib import Path

import pytest

from tests.runner.cli.test_main import here

TRY = """
title = "A try"
name = "s{seed}"
axes = {}

[profiles.smoke.data]
train = [0, 50_000]
val = [60_000, 61_000]
unit = "characters"
tokenizer = "sentencepiece"
sentencepiece = { vocabulary = 400 }
"""


@pytest.fixture
def call(tmp_path: Path):
    """`runner tokenizer` on an experiment with one that is trained; returns status and lines."""
    path = tmp_path / "try.toml"
    path.write_text(TRY)

    def called(*words: str) -> list[str]:
        done = here("tokenizer", str(path), "--profile", "smoke", *words)
        return [str(done.returncode), *done.stdout.splitlines(), *done.stderr.splitlines()]

    return called


def test_the_report_of_one_that_is_trained(call):
    status, head, longest, *rest = call()
    assert status == "0"
    assert head.startswith("sentencepiece for tiny-shakespeare: 400 tokens, sha256 ")
    assert longest.startswith("longest: ")
    assert [line.split(":")[0] for line in rest] == [
        "train",
        "  coverage",
        "  longest",
        "val",
        "  coverage",
        "  longest",
    ]
    assert "50,000 bytes" in rest[0]
    assert "its text comes back from its tokens" in rest[0]
    assert r"'\n' 1" in rest[1], "line breaks are spelled in bytes"
    assert call()[1] == head, "the same one again"


def test_a_vocabulary_out_of_reach_is_one_line_with_the_largest(call):
    status, line = call("--set", "data.sentencepiece.vocabulary=60000")
    assert status == "2"
    assert "data.sentencepiece.vocabulary = 60000 cannot be reached: the text to learn from gives" in line


def test_the_report_of_one_that_is_not(call):
    lines = call("--set", "tokenizer=characters", "--set", "data.sentencepiece.vocabulary=3000")
    assert lines[:2] == ["0", "characters for tiny-shakespeare: 65 tokens"]
