"""Numbers, units and dates as a reader wants to see them."""

import datetime
import difflib
import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

NBSP = "\u00a0"
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: int | float, digits: int | None = None) -> str:
    """With a true minus sign and thousands apart; without `digits`, four significant ones."""
    if digits is not None:
        shown = f"{value:,.{digits}f}"
    elif isinstance(value, int):
        shown = f"{value:,}"
    elif value == 0:
        shown = "0"
    elif abs(value) >= 10_000:
        shown = f"{value:,.0f}"
    elif abs(value) < 1e-4:
        mantissa, exponent = f"{value:.3g}".split("e")
        shown = f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    else:
        shown = f"{value:,.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"
        shown = shown.rstrip("0").rstrip(".") if "." in shown else shown
    return plain_nought(shown).replace("-", "−")


def plain_nought(shown: str) -> str:
    """The same without a sign where it is rounded to nought."""
    return shown if any(c in "123456789" for c in shown) else shown.lstrip("+-")


def with_unit(shown: str, unit: str) -> str:
    """`3.2 nats`, `8%`."""
    if not unit:
        return shown
    return f"{shown}{unit}" if unit[:1] in ("%", "×", "°") else f"{shown}{NBSP}{unit}"


def decimals(width: float) -> int:
    """How many decimals show an interval of this width to two digits, no more than six."""
    return 3 if width <= 0 else min(6, max(0, 1 - math.floor(math.log10(width))))


def interval(low: float, high: float, digits: int | None) -> str:
    """`95% interval −0.25 to −0.17`."""
    return f"95%{NBSP}interval {number(low, digits)} to {number(high, digits)}"


def effect(claim: dict[str, Any]) -> str:
    """A verdict's numbers in words: `−0.21 nats, 95% interval −0.25 to −0.17, n = 5`. What n counts is named unless it
    is seeds."""
    parts, places = [], None
    if claim.get("interval"):
        low, high = claim["interval"]
        whole = isinstance(low, int) and isinstance(high, int)
        places = None if whole else decimals(high - low)
    if claim.get("effect") is not None:
        parts.append(with_unit(number(claim["effect"], places), claim.get("unit", "")))
    if claim.get("interval"):
        parts.append(interval(low, high, places))
    if claim.get("n") is not None:
        of = next((measure.get("of") for measure in claim.get("measures", [])), None) or "seed"  # of the leading one
        counted = number(claim["n"]) if of == "seed" else count(claim["n"], of)
        parts.append(f"n{NBSP}={NBSP}{counted}")
    return ", ".join(parts)


def date(day: datetime.date) -> str:
    """5 February 2025."""
    return f"{day.day}{NBSP}{day:%B}{NBSP}{day.year}"


def count(many: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{many:,}{NBSP}{noun}{'' if many == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Names as one enumeration: "one, two and three"; empty without any."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def sentence(text: str) -> str:
    """A remark as a sentence: a capital, one full stop."""
    return f"{text[:1].upper()}{escape(text[1:]).rstrip('.')}."


def escape(text: str) -> str:
    """Text that Markdown, HTML and formulas leave as it is."""
    text = html.escape(text, quote=False).replace("$", "&#36;")
    return "".join(f"\\{c}" if c in "\\`*_[]|" else c for c in text)


def known(name: str, names: Iterable[str]) -> str:
    """`known: a, b (closest: a)`, for an error about `name`."""
    names = sorted(names)
    if not names:
        return "none is known"
    near = difflib.get_close_matches(name, names, 1, 0.5)
    shown = names if len(names) <= 12 else [*names[:12], "…"]
    return f"known: {', '.join(shown)}" + (f" (closest: {near[0]})" if near else "")


def made_on(machines: Sequence[str], devices: Sequence[str], precisions: Sequence[str]) -> str:
    """What made some runs: `AMD EPYC, 2 cores (cpu, float32)`."""
    how = ", ".join(filter(None, (" and ".join(devices), " and ".join(precisions))))
    return f"{' and '.join(machines) or 'machine unknown'}{f' ({how})' if how else ''}"


def natural(name: str) -> list[tuple[int, float, str]]:
    """A sort key that compares runs of digits as numbers: r2 before r10, S1-9 before S1-15."""
    parts, word = [], ""
    for char in [*name, ""]:
        if word and (not char or char.isdigit() != word[-1].isdigit()):
            parts.append((0, float(word), "") if word.isdigit() else (1, 0.0, word))
            word = ""
        word += char
    return parts
