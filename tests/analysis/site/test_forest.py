import re

import pytest

from analysis.site import forest


def measure(low, high, wanted="above", bar=0.0, log2=False, corrected=None):
    inside = corrected or (low, high)
    side = (inside[0] > bar) - (inside[1] < bar)
    return {
        "corrected": corrected,
        "side": side if wanted == "above" else -side,
        "name": "a < b",
        "mean": (low + high) / 2,
        "interval": [low, high],
        "wanted": wanted,
        "bar": bar,
        "log2": log2,
    }


def shown(*measures):
    return forest.forest([("S0-4", {"measures": list(measures)})], "../../")


@pytest.mark.parametrize(
    ("low", "high", "wanted", "bar", "side", "centre"),
    [
        (1, 3, "above", 0, "for", 2.0),
        (1, 3, "below", 0, "against", -2.0),
        (-1, 3, "above", 0, "open", 0.5),
        (1, 3, "below", 5, "for", 3.0),
    ],
)
def test_an_effect_is_drawn_against_its_bar(low, high, wanted, bar, side, centre):
    """In half-widths of its interval, the side that is wanted on the right."""
    text = shown(measure(low, high, wanted, bar))
    assert f'class="forest-{side}"' in text
    assert f'<circle cx="{centre:.2f}"' in text
    assert "<path" not in text


def test_a_corrected_interval_stands_around_it_and_decides():
    text = shown(measure(1, 3, corrected=[-1, 5]))
    assert 'class="forest-open"' in text
    assert '<line class="wide" x1="-1.00" x2="5.00"' in text
    assert '<line x1="1.00" x2="3.00"' in text
    assert 'class="wide"' not in shown(measure(1, 3))


def test_what_lies_farther_is_drawn_at_the_edge():
    text = shown(measure(100, 101))
    assert '<circle cx="3.00"' in text
    assert "<path" in text


def test_the_value_stands_beside_it_in_its_own_unit():
    assert "<td>2.0 (1.0 to 3.0), bar 5</td>" in shown(measure(1, 3, "below", 5))
    assert "× 0.50 (0.25 to 1.00)".replace("× ", "×\u00a0") in shown(measure(-2, 0, "below", log2=True))
    assert ", bar ×\u00a02<" in shown(measure(-2, 0, "below", 1.0, log2=True))
    assert "a &lt; b" in shown(measure(1, 3))


def test_a_claim_is_named_once_and_leads_to_its_entry():
    text = shown(measure(1, 3), measure(2, 3))
    assert re.findall(r'<a href="([^"]*)">', text) == ["../../claims/#s0-4"]


def test_the_verdict_stands_beside_the_claim():
    """It may be open although every measure decides."""
    text = forest.forest([("S0-4", {"measures": [measure(1, 3), measure(2, 3)], "verdict": "inconclusive"})], "")
    assert text.count('<span title="inconclusive">≈</span>') == 1
    assert text.count('class="forest-for"') == 2


def test_the_verdict_of_a_larger_size_stands_beside_it():
    others = [{"verdict": "inconclusive", "scope": "medium scale"}]
    claim = {"measures": [measure(1, 3)], "verdict": "supported", "scope": "small scale", "others": others}
    text = forest.forest([("S0-4", claim)], "")
    assert re.findall(r'<span title="([^"]*)">', text) == ["supported, small scale", "inconclusive, medium scale"]


def test_what_has_no_interval_is_not_drawn():
    assert forest.forest([("S0-4", {"measures": [measure(1, 3) | {"interval": None}]}), ("S0-9", {})], "") == ""
