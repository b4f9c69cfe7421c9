"""Ranking all models: scopes, and what no other beats."""

import shutil

from analysis.build import evidence
from analysis.study.survey import Entry, Scope, frontier, read, scope_of, scopes
from tests.conftest import ROOT

TEXT, OTHER = Scope("text", (0, 9000), "characters"), Scope("text", (0, 5000), "characters")


def entry(name: str, score: float, cost: float | None, scope: Scope = TEXT, kind: str = "gpt") -> Entry:
    return Entry(scope, "toy", "laptop", name, kind, (score,), 10, 100, cost, cost)


def test_the_frontier_holds_what_no_other_beats_at_a_lower_cost():
    entries = [
        entry("a", 3.0, 1),
        entry("b", 2.0, 4),
        entry("worse", 3.5, 2),
        entry("dear", 2.0, 5),
        entry("c", 1.0, 9),
    ]
    assert [one.name for one in frontier(entries, "flops")] == ["a", "b", "c"]
    assert [one.name for one in frontier([*entries, entry("6-gram", 0.5, None, kind="n-gram")], "flops")][-1] == "c"


def test_arms_that_differ_by_their_precision_alone_are_two_models(tmp_path):
    for name in ("bf16-s0", "bf16-s1", "float32-s0"):
        shutil.copytree(ROOT / "logs/mini-gpt-pace/laptop" / name, tmp_path / "mini-gpt-pace" / "laptop" / name)
    assert {one.name: len(one.bits) for one in read(tmp_path, least=0)} == {"bf16": 2, "float32": 1}


def test_runs_of_no_experiment_are_not_ranked(tmp_path):
    for folder in ("scratch/laptop/mine-s0", "try/laptop/s0"):  # of single runs, and of a file elsewhere
        shutil.copytree(ROOT / "logs/source-mlp/laptop/s0", tmp_path / folder)
    assert read(tmp_path, least=0) == []
    assert evidence.experiments(tmp_path) == []


def test_the_only_arm_of_an_experiment_has_its_name(tmp_path):
    folder = "source-mlp/laptop/s0"
    shutil.copytree(ROOT / "logs" / folder, tmp_path / folder)
    assert [one.name for one in read(tmp_path, least=0)] == ["source-mlp"]


def test_only_what_is_measured_on_one_text_is_ranked_together():
    counts = [entry("bigram", 3.0, None, kind="n-gram"), entry("bigram", 3.0, None, kind="n-gram")]
    ranked = scopes([entry("b", 2.0, 1), *counts, entry("a", 1.0, 1), entry("c", 0.5, 1, OTHER)])
    assert [one.name for one in ranked[TEXT]] == ["a", "b", "bigram"], "counts stand once"
    assert [one.name for one in ranked[OTHER]] == ["c"]


def test_a_scope_is_a_range_of_a_corpus_in_some_unit():
    assert scope_of({"val": [0, 9000]}, "text") == TEXT
    assert scope_of({"val": [0, 9000], "tokenizer": "bytes"}, "text") == TEXT, "ASCII"
    assert scope_of({"val": [0, 9000], "tokenizer": "p50k_base", "unit": "characters"}, "text") == TEXT
    assert scope_of({"val": [0, 9000], "tokenizer": "p50k_base"}, "text") != TEXT
