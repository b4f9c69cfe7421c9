import numpy as np
import pytest

from analysis.study.embedding import FAMILY, GROUPS, PAIRS, Embedding

# Two directions: who, and male or female. Each word lies where it should.
PLACES = {
    " boy": (1, 0, 1), " girl": (1, 0, -1), " prince": (0, 1, 1), " princess": (0, 1, -1), "boy": (1, 0.1, 1),
    " cat": (-1, 0.1, 0), " dog": (-1, -0.1, 0), " rare": (1, 0, 0.9),
}  # fmt: skip


@pytest.fixture
def found() -> Embedding:
    times = np.array([50, 50, 20, 20, 10, 51, 49, 0])
    return Embedding(list(PLACES), times, np.array(list(PLACES.values()), dtype=float))


def test_a_word_is_the_token_after_a_space_that_was_read(found: Embedding):
    assert found.token("boy") == 0
    assert found.known(("boy", "rare", "tiger", "cat")) == ["boy", "cat"]


def test_neighbours_leave_out_the_word_and_what_was_never_read(found: Embedding):
    texts, cosines = zip(*found.nearest("boy", 3), strict=True)
    assert texts[0] == "boy"
    assert " rare" not in texts
    assert " boy" not in texts
    assert cosines[0] == pytest.approx(2 / np.sqrt(2 * 2.01))
    assert list(cosines) == sorted(cosines, reverse=True)


def test_an_analogy_has_a_rank_and_leaves_its_words_out(found: Embedding):
    boy, girl, prince, princess = map(found.token, ("boy", "girl", "prince", "princess"))
    assert found.analogy((princess, boy), (girl,), prince)[0] == 1
    assert found.analogy((princess, boy), (girl,), prince)[1] > 0.9
    assert found.analogy((princess,), (), found.token("cat"))[0] > 1
    worst = found.analogy((princess, girl), (boy,), prince)[0]
    assert worst == 3, "behind both animals"


def test_a_cluster_is_nearer_to_itself_than_to_words_as_frequent(found: Embedding):
    among, between = found.closeness(["boy", "girl"])
    assert among == pytest.approx(0)
    assert between < among
    among, between = found.closeness(["cat", "dog"])
    assert among > 0.9 > between


def test_a_map_keeps_what_is_apart_apart_and_has_one_orientation(found: Embedding):
    words = ["boy", "girl", "cat", "dog"]
    places = found.plane(words)
    again = Embedding(found.texts, found.times, found.vectors * [1, 1, -1]).plane(words)
    assert places.shape == (4, 2)
    assert np.linalg.norm(places[2] - places[3]) < np.linalg.norm(places[0] - places[2])
    assert (places[0] > 0).all()
    assert (again[0] > 0).all()


def test_no_word_is_asked_about_twice():
    assert len(set(FAMILY)) == len(FAMILY)
    assert len(set(PAIRS)) == len(PAIRS)
    grouped = [word for words in GROUPS.values() for word in words]
    assert len(set(grouped)) == len(grouped)
