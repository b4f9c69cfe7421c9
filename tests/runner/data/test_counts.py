import math
from collections import Counter

import numpy as np
import pytest

from runner.data.counts import Counts, Seen, tune

RANDOM = np.random.default_rng(5)
TRAIN = RANDOM.choice(7, 400, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.1, 0.0]).astype(np.uint8)
TEXT = RANDOM.choice(7, 150, p=[0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05]).astype(np.uint8)
SMOOTHING = [3.0, 0.5, 7.0, 2.0, 1.0, 11.0]


def slow(train: np.ndarray, text: np.ndarray, vocabulary: int, smoothing: list[float]) -> list[float]:
    """The probabilities of a text, as the formula has them, with dictionaries."""
    grams = [Counter(tuple(train[i : i + n + 1]) for i in range(len(train) - n)) for n in range(len(smoothing))]
    histories = [Counter(), *({} for _ in smoothing[1:])]
    for n, counted in enumerate(grams):
        histories[n] = Counter()
        for gram, many in counted.items():
            histories[n][gram[:-1]] += many
    found = []
    for i in range(len(text)):
        p = 1 / vocabulary
        for n, a in enumerate(smoothing[: i + 1]):
            gram = tuple(text[i - n : i + 1])
            p = (grams[n][gram] + a * p) / (histories[n][gram[:-1]] + a)
        found.append(p)
    return found


def test_a_tiny_text_by_hand():
    counts = Counts(np.array([0, 1, 0, 1, 1]), 2, 3)
    assert [keys.tolist() for keys in counts.keys] == [[0, 1], [1, 2, 3], [0, 1, 3]]  # ab ba bb; aba abb bab
    assert [counts.parameters(n) for n in range(4)] == [0, 2, 5, 8]
    seen = counts.seen(np.array([1, 0, 1]))
    assert seen.grams_KM.tolist() == [[3, 2, 3], [0, 1, 2], [0, 0, 1]]
    assert seen.histories_KM.tolist() == [[5, 5, 5], [0, 2, 2], [0, 0, 1]]
    bigram = [(3 + 0.5) / 6, (1 + 2 * (2 + 0.5) / 6) / 4, (2 + 2 * (3 + 0.5) / 6) / 4]
    assert seen.probabilities([1, 2]).tolist() == pytest.approx(bigram, abs=1e-15)
    assert seen.after(1).loss([1, 2]) == pytest.approx(-np.log(bigram[1:]).mean())


@pytest.mark.parametrize("order", range(7))
def test_it_agrees_with_dictionaries(order: int):
    seen = Counts(TRAIN, 7, 6).seen(TEXT)
    wanted = slow(TRAIN, TEXT, 7, SMOOTHING[:order])
    assert seen.probabilities(SMOOTHING[:order]).tolist() == pytest.approx(wanted, rel=1e-13)


def test_the_probabilities_of_what_may_follow_sum_to_one():
    counts = Counts(TRAIN, 7, 4)
    for history in ([], [0], [6], [0, 1, 0], [5, 6, 0], TRAIN[-3:].tolist()):  # also unseen ones, and the text's end
        after = [counts.seen(np.array([*history, c])).probabilities(SMOOTHING[:4])[-1] for c in range(7)]
        assert sum(after) == pytest.approx(1, abs=1e-14)


def test_a_split_begins_without_a_history():
    """The first tokens have the short histories that there are, each once."""
    counts = Counts(TRAIN, 7, 4)
    whole, begun = counts.seen(TEXT), counts.seen(TEXT[40:])
    p_whole, p_begun = (seen.probabilities(SMOOTHING[:4]) for seen in (whole, begun))
    assert p_begun[3:].tolist() == p_whole[43:].tolist()
    for m in range(3):
        assert p_begun[m] == pytest.approx(whole.probabilities(SMOOTHING[: m + 1])[40 + m], rel=1e-14)


def test_an_order_beyond_the_text_counts_what_there_is():
    counts = Counts(np.array([2, 0]), 3, 6)
    assert counts.order == 2
    assert counts.seen(np.array([2])).loss([1.0] * 6) == pytest.approx(-math.log((1 + 1 / 3) / 3))


def test_a_large_vocabulary_needs_no_more_room():
    """Grams are packed into one number each, in which six tokens of GPT-2's would not fit."""
    tokens = RANDOM.integers(0, 50_257, 300)
    tokens = np.concatenate([tokens, tokens])
    seen = Counts(tokens, 50_257, 6).seen(tokens)
    assert seen.grams_KM[5, 10] == 2
    assert seen.probabilities([0.1] * 6).tolist() == pytest.approx(
        slow(tokens, tokens, 50_257, [0.1] * 6), rel=1e-12
    )  # fmt: skip


def test_tuning_finds_the_lowest_loss_and_the_same_each_time():
    seen = Counts(TRAIN, 7, 4).seen(TEXT)
    for order in (0, 1, 3):
        found = tune(seen, order)
        assert found == tune(seen, order)
        assert len(found) == order
        for n in range(order):
            for factor in (0.9, 1.1):
                assert seen.loss(found) <= seen.loss([*found[:n], found[n] * factor, *found[n + 1 :]]) + 1e-9
    assert seen.loss(tune(seen, 0)) == pytest.approx(math.log(7))


def test_without_a_text_to_count_nothing_is_known():
    none = Seen(4, np.zeros((1, 3)), np.zeros((1, 3)))
    assert none.loss([5.0]) == pytest.approx(math.log(4))
