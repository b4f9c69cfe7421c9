"""A forest: the effects behind the verdicts of a post, one below the other, each against its own bar.

Effects of a post have many units. So that one picture can hold them, each is drawn in units of half of its own
interval, as its distance from its bar, with the side that the claim wants on the right: an interval that lies wholly
right of the line decides for the claim, one wholly left of it against it. Where a rule asks several questions of which
any may decide, the interval that is corrected for their number stands around it as a thin line, and the colour is the
side that the rule takes. Beside it stands the effect in its own unit.
"""

import html
from collections.abc import Iterable
from typing import Any

from analysis.site.markup import MARKS
from analysis.study import text

REACH = 4.0  # half-widths to either side; what lies farther is drawn at the edge


def forest(claims: Iterable[tuple[str, dict[str, Any]]], up: str) -> str:
    """The table of all measures that have an interval, of claims by id with their verdicts; empty where there is none.
    `up` is the way to the root of the pages."""
    rows = [
        _row(id if first else "", entry, measure, up)
        for id, entry in claims
        for first, measure in _numbered(m for m in entry.get("measures", []) if _drawn(m))
    ]
    if not rows:
        return ""
    head = "<tr><th>claim</th><th>effect</th><th>against it · for it</th><th>value and 95% interval</th></tr>"
    caption = (
        '<p class="caption">Each effect as its distance from its bar, in units of half of its own 95% interval; right '
        "of the line is the side that the claim wants. An interval that touches the line decides nothing. The thin "
        "line is the interval corrected for all measures of a claim of which any may decide; what has to hold of every "
        "measure needs no correction. Colours are the sides that the rules take. The sign beside a claim is its "
        f"verdict ({', '.join(f'{MARKS[word]} {word}' for word in ('supported', 'refuted', 'inconclusive'))}), which "
        "may be open for another reason; a second sign is that of a larger size that does not agree.</p>"
    )
    body = "\n".join(rows)
    return (
        '<div class="data-table forest" role="region" tabindex="0" aria-label="The effects behind the verdicts">\n'
        f"{caption}\n<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n"
        "</table>\n</div>"
    )


def _numbered(measures: Iterable[dict[str, Any]]) -> list[tuple[bool, dict[str, Any]]]:
    return [(k == 0, measure) for k, measure in enumerate(measures)]


def _drawn(measure: dict[str, Any]) -> bool:
    """Whether it has an interval of some width, and a side that is wanted."""
    ends = measure.get("interval")
    return bool(ends and ends[1] > ends[0] and measure["wanted"])


def _row(id: str, claim: dict[str, Any], measure: dict[str, Any], up: str) -> str:
    verdicts = [one for one in (claim, *claim.get("others", [])) if one.get("verdict")]
    signs = "".join(f' <span title="{_title(one)}">{MARKS[one["verdict"]]}</span>' for one in verdicts)
    link = f'<a href="{up}claims/#{id.lower()}">{id}</a>{signs}' if id else ""
    return (
        f"<tr><td>{link}</td><td>{html.escape(measure['name'])}</td><td>{_picture(measure)}</td>"
        f"<td>{_value(measure)}</td></tr>"
    )


def _title(verdict: dict[str, Any]) -> str:
    return ", ".join(filter(None, (verdict["verdict"], verdict.get("scope"))))


def _picture(measure: dict[str, Any]) -> str:
    """The interval as a line, its middle as a dot, its bar as the line in the middle."""
    low, high = measure["interval"]
    half = (high - low) / 2
    place = (measure["mean"] - measure["bar"]) / half * (1 if measure["wanted"] == "above" else -1)
    side = {1: "for", -1: "against", 0: "open"}[measure["side"]]
    around = measure.get("corrected")
    wide = (around[1] - around[0]) / 2 / half if around else 0.0
    middle = max(-REACH + 1, min(REACH - 1, place))
    beyond = middle != place
    tip = 1 if place > 0 else -1  # an arrow's head where it lies farther
    arrow = f'<path d="M{middle + 0.6 * tip:.2f} -0.35 l{0.4 * tip} 0.35 l{-0.4 * tip} 0.35"/>' if beyond else ""
    return (
        f'<svg class="forest-{side}" viewBox="{-REACH} -0.8 {2 * REACH} 1.6" role="img" aria-label="{side}">'
        f'<line class="bar" x1="0" x2="0" y1="-0.8" y2="0.8"/>'
        + (f'<line class="wide" x1="{middle - wide:.2f}" x2="{middle + wide:.2f}" y1="0" y2="0"/>' if wide else "")
        + f'<line x1="{middle - 1:.2f}" x2="{middle + 1:.2f}" y1="0" y2="0"/>'
        f'<circle cx="{middle:.2f}" cy="0" r="0.22"/>{arrow}</svg>'
    )


def _value(measure: dict[str, Any]) -> str:
    """The effect and its interval in its own unit; a factor where it counts doublings."""
    low, high = measure["interval"]
    if measure["log2"]:
        bar = f", bar ×{text.NBSP}{2 ** measure['bar']:g}" if measure["bar"] else ""
        return f"×{text.NBSP}{2 ** measure['mean']:.2f} ({2**low:.2f} to {2**high:.2f}){bar}"
    places = text.decimals(high - low)
    shown = (text.number(value, places) for value in (measure["mean"], low, high))
    bar = f", bar {measure['bar']:g}".replace("-", "−") if measure["bar"] else ""  # a constant, so with all its digits
    return "{} ({} to {}){}".format(*shown, bar)
