import numpy as np
import pytest

from runner.data.measures import ORDERS, Lexicon, distinct, repeated

STORY = (
    "One day, Lily met Tim. They played, and Lily laughed. Tim ran home. Then Spot came to Lily's house.\n"
    '"Mom," said Spot. "I see Tim and Sue."'
)


def test_repeated_counts_n_grams_that_came_before():
    assert repeated([1, 2, 1, 2, 1, 2], 0) == [4 / 6, 3 / 5, 2 / 4, 1 / 3]
    assert repeated([1, 2, 1, 2, 1, 2], 4) == [1, 1, 1, 0.5]
    assert repeated([1, 2, 3, 4, 5], 0) == [0, 0, 0, 0]
    assert repeated([7], 0) == [0, 0, 0, 0], "no n-gram, no repetition"


def test_repeated_is_what_a_slow_count_gives():
    ids = np.random.default_rng(0).integers(0, 5, 80)
    for n, share in zip(ORDERS, repeated(ids, 10), strict=True):
        grams = [tuple(ids[k - n + 1 : k + 1]) for k in range(n - 1, len(ids))]
        late = range(10 - n + 1, len(grams))
        assert share == pytest.approx(np.mean([grams[k] in grams[:k] for k in late]))


def test_distinct_counts_n_grams_that_no_other_text_has():
    assert distinct([[1, 2, 3], [1, 2, 4]], 0) == [[1 / 3, 0.5, 1, 0], [1 / 3, 0.5, 1, 0]]
    assert distinct([[9, 1, 1], [9, 2, 2]], 1) == [[1, 1, 1, 0], [1, 1, 1, 0]], "what all begin with does not count"
    assert distinct([[1, 1, 1]], 0)[0][:2] == [1, 1], "repetition within a text is not what it measures"


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    many = "the girl Lily and the boy Tim saw a dog, Spot, and I said that Sue ate a bear. "
    return Lexicon.of([many * 3, "He met Bob. " * 2 + "He saw a bear, Bear by name. " * 3])


def test_names_are_words_with_a_capital_inside_sentences(lexicon):
    assert lexicon.names == {"Lily", "Tim", "Spot", "Sue"}, "Bob is too rare, a bear is no name, and I is nobody"
    assert "lily" in lexicon.words
    assert lexicon.unknown("Lily saw the bears, lilyish") == (5, 2)


def test_a_name_is_kept_where_the_story_had_it_before(lexicon):
    assert lexicon.kept(STORY) == (6, 4), "all but Spot, where she is new, and Sue"
    assert lexicon.kept("Tim. Tim. Tim.") == (1, 1)
    assert lexicon.kept("Tim and Lily") == (0, 0), "within two sentences names are introduced"
    assert lexicon.kept("") == (0, 0)
