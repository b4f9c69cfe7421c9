"""How far one's own results agree with the published ones: in a line a post, and number by number."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.build import evidence, execute
from analysis.study import text
from analysis.build.project import Project

IDENTICAL, PRINTED, WITHIN, DIFFERS = "identical", "same as printed", "within interval", "differs"


@dataclass(frozen=True)
class Row:
    """One number or verdict, here and as published."""

    name: str
    here: str
    published: str
    agrees: str
    flips: bool = False  # a verdict that is another word


@dataclass(frozen=True)
class Comparison:
    """What came of comparing one notebook's results; `nothing` says why there was nothing to compare with."""

    name: str
    profile: str
    rows: list[Row]
    nothing: str = ""

    def summary(self) -> str:
        """One line."""
        if self.nothing:
            return f"{self.name}: {self.nothing}"
        counts = Counter(row.agrees for row in self.rows)
        told = ", ".join(f"{counts[word]} {word}" for word in (IDENTICAL, PRINTED, WITHIN, DIFFERS) if counts[word])
        return f"{self.name}, {self.profile} profile, against the published results: {told or 'no numbers'}"


def by_post(posts: Mapping[str, Sequence[str]], found: Iterable[Comparison]) -> list[str]:
    """A line for each post, of its notebooks' comparisons: how many numbers and verdicts are identical (or the same as
    printed), inside the published interval, outside it, and which verdicts flip."""
    comparisons = [one for one in found if not one.nothing]
    lines = []
    for slug, notebooks in posts.items():
        rows = [row for one in comparisons if one.name in notebooks for row in one.rows]
        if not rows:
            continue
        many = Counter(row.agrees for row in rows)
        flipped = [f"{row.name} ({row.published} → {row.here})" for row in rows if row.flips]
        lines.append(
            f"{slug}: of {len(rows)} numbers and verdicts {many[IDENTICAL] + many[PRINTED]} are identical, "
            f"{many[WITHIN]} within the scatter of seeds, {many[DIFFERS]} outside; "
            + (f"verdicts that flip: {', '.join(flipped)}" if flipped else "no verdict flips")
        )
    return lines


def compare(project: Project, name: str) -> list[Comparison]:
    """Compare the results of a notebook, profile by profile, with what it makes of the published logs; empty if it was
    not executed."""
    folder = project.results / name
    return [_compare(project, name, folder / profile) for profile in execute.profiles(folder)]


def _compare(project: Project, name: str, folder: Path) -> Comparison:
    kept = execute.record(folder) or {}
    profile, experiments = kept["profile"], kept["experiments"]
    if not all(evidence.runs(project.logs, e, profile) for e in experiments):
        there = sorted({p for e in experiments for p in evidence.profiles(project.logs, e)})
        about = f"nothing is published for the profile {profile}"
        return Comparison(name, profile, [], f"{about}; published: {', '.join(there) or 'no profile'}")
    plan = execute.plan(project, name, project.logs, profile, project.published)
    if plan.key == kept["key"]:  # made from the very same logs: there is nothing to execute
        published = folder
    else:
        lacking = execute.execute(plan, project).lacking
        if lacking:
            return Comparison(name, profile, [], f"too little is published for the profile {profile}: {lacking}")
        published = plan.output
    return Comparison(
        name,
        profile,
        rows(*(json.loads((f / "results.json").read_text(encoding="utf-8")) for f in (folder, published))),
    )


def rows(here: dict[str, Any], published: dict[str, Any]) -> list[Row]:
    """Numbers by name, then verdicts by claim."""
    found = []
    for name in sorted(here["numbers"].keys() | published["numbers"].keys()):
        mine, other = here["numbers"].get(name), published["numbers"].get(name)
        found.append(Row(name, _number(mine), _number(other), _number_agrees(mine, other)))
    for id in sorted(here["claims"].keys() | published["claims"].keys(), key=_claim_order):
        mine, other = here["claims"].get(id), published["claims"].get(id)
        words = {one and one["verdict"] for one in (mine, other)}
        if len(words) > 1:
            found.append(Row(id, _word(mine), _word(other), DIFFERS, flips=True))
        else:
            found.append(Row(id, _claim(mine), _claim(other), _claim_agrees(mine, other)))
    return found


def _number_agrees(mine: dict[str, Any] | None, other: dict[str, Any] | None) -> str:
    if mine is None or other is None:
        return DIFFERS
    if mine["value"] == other["value"]:
        return IDENTICAL
    if _number(mine) == _number(other):
        return PRINTED
    return WITHIN if _inside(mine["value"], other.get("interval")) else DIFFERS


def _claim_agrees(mine: dict[str, Any] | None, other: dict[str, Any] | None) -> str:
    if mine is None or other is None or mine["verdict"] != other["verdict"]:
        return DIFFERS
    if mine == other:
        return IDENTICAL
    if _claim(mine) == _claim(other):
        return PRINTED
    return WITHIN if _inside(mine["effect"], other.get("interval")) else DIFFERS


def _inside(value: float | None, interval: list[float] | None) -> bool:
    return value is not None and interval is not None and interval[0] <= value <= interval[1]


def _number(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "not given"
    if entry["value"] is None:
        return "none"
    return text.with_unit(text.number(entry["value"], entry["digits"]), entry["unit"])


def _claim(entry: dict[str, Any] | None) -> str:
    if entry is None:
        return "not given"
    numbers = text.effect(entry)
    return f"{entry['verdict']}{f': {numbers}' if numbers else ''}"


def _word(entry: dict[str, Any] | None) -> str:
    return entry["verdict"] if entry else "not given"


def _claim_order(id: str) -> tuple[str, int]:
    letter, _, number = id.partition("-")
    return letter, int(number)
