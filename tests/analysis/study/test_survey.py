"""Ranking all models: scopes, and what no other beats."""

from analysis.study.survey import Entry, Scope, frontier, scope_of, scopes

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
