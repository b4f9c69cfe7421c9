import pytest

from runner.launch import durations


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (99, "99 s"),
        (100, "2 min"),
        (3000, "50 min"),
        (7200, "2 h"),
        (12_000, "3 h 20 min"),
        (40_000, "11 h"),
        (250_000, "2.9 days"),
    ],
)
def test_time_is_said_in_the_unit_that_fits(seconds: float, words: str):
    assert durations.words(seconds) == words
