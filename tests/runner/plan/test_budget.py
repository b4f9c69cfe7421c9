import pytest

from runner.errors import UserError
from runner.plan import budget


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("gpt2/64", 4_608_000_000),
        ("webtext/64", 141_180_971),
        ("1_000_000", 1_000_000),
        ("1,000,000", 1_000_000),
        ("10M", 10_000_000),
        ("1.5b", 1_500_000_000),
        ("2 K", 2_000),
        ("0.1B", 100_000_000),
        ("1", 1),
    ],
)
def test_names_and_numbers(text: str, count: int):
    assert budget.tokens(text) == count


@pytest.mark.parametrize("text", ["", "gpt3/64", "ten", "0", "-1", "1.5", "0.0001K", "1e6", "1__0", "M", "1T"])
def test_anything_else_is_named_with_what_would_do(text: str):
    with pytest.raises(UserError, match="is no number of tokens: give gpt2/64, webtext/64 or a number") as error:
        budget.tokens(text)
    assert repr(text) in str(error.value)


def test_whole_steps_find_their_preset():
    assert budget.name(9_375, 491_520) == "gpt2/64"
    assert budget.name(287, 491_520) == "webtext/64"  # 287.2 steps
    assert budget.name(288, 491_520) is None
