import datetime

import pytest

from analysis.study import text


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (1_003_854, None, "1,003,854"),
        (-3, None, "−3"),
        (0.123456, None, "0.1235"),
        (1.5, None, "1.5"),
        (2.0, None, "2"),
        (123456.7, None, "123,457"),
        (2.5e-7, None, "2.5 × 10⁻⁷"),
        (0.0, None, "0"),
        (-0.0004, 2, "0.00"),
        (3, 0, "3"),
        (-1.239, 2, "−1.24"),
        (1234.5, 1, "1,234.5"),
    ],
)
def test_numbers(value, digits, shown):
    assert text.number(value, digits) == shown


def test_units():
    assert text.with_unit("8", "%") == "8%"
    assert text.with_unit("3.2", "nats") == "3.2\u00a0nats"


def test_an_effect_has_the_decimals_of_its_interval():
    claim = {"effect": -0.2143, "interval": [-0.2511, -0.1722], "n": 5, "unit": "nats"}
    assert text.effect(claim).replace("\u00a0", " ") == "−0.214 nats, 95% interval −0.251 to −0.172, n = 5"
    sittings = claim | {"n": 3, "measures": [{"of": "sitting"}, {"of": "seed"}]}
    assert text.effect(sittings).endswith("n\u00a0=\u00a03\u00a0sittings")
    assert text.effect({"effect": None, "interval": None, "n": None}) == ""
    assert text.effect({"effect": 3, "interval": None, "n": None, "unit": ""}) == "3"


def test_names_that_are_near():
    assert text.known("los", ["loss", "best"]) == "known: best, loss (closest: loss)"
    assert text.known("x", []) == "none is known"


def test_dates_and_counts():
    assert text.date(datetime.date(2025, 2, 5)).replace("\u00a0", " ") == "5 February 2025"
    assert [text.count(n, "seed").replace("\u00a0", " ") for n in (1, 5)] == ["1 seed", "5 seeds"]


def test_escape():
    assert text.escape("a_b|c *d* <e>") == r"a\_b\|c \*d\* &lt;e&gt;"
    assert text.escape("$5 to $9") == "&#36;5 to &#36;9", "no formula"
