"""Compares a user's own results with the published ones: one line per post, and number by number."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.build import evidence, execute
from analysis.build.project import Project
from analysis.study import text

IDENTICAL, PRINTED, WITHIN, DIFFERS = "identical", "same as printed", "within interval", "differs"
FEWER = "of fewer runs"  # differs, and not all of the published runs have been trained
WORDS = (IDENTICAL, PRINTED, WITHIN, DIFFERS, FEWER)


@dataclass(frozen=True)
class Row:
    """One number or verdict as text, of one's own results and of the published ones; `agrees` is one of the five
    words."""

    name: str
    here: str
    published: str
    agrees: str
    flips: bool = False  # a verdict that is another word


@dataclass(frozen=True)
class Comparison:
    """The comparison of one notebook's results in one profile; `nothing` says why there are no published ones. `runs`
    are those that were trained here and are published, `same` those of them whose metrics are the same bytes."""

    name: str
    profile: str
    rows: list[Row]
    nothing: str = ""
    runs: frozenset[str] = frozenset()
    same: frozenset[str] = frozenset()

    def summary(self) -> str:
        """The comparison in one line: how many rows agree in which way."""
        if self.nothing:
            return f"{self.name}: {self.nothing}"
        counts = Counter(row.agrees for row in self.rows)
        shown = ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
        return f"{self.name}, {self.profile} profile, against the published results: {shown or 'no numbers'}"


def by_post(posts: Mapping[str, Sequence[str]], found: Iterable[Comparison]) -> list[str]:
    """A line for each post, of its notebooks' comparisons: how many runs have the same bytes, how many numbers and
    verdicts are identical (or the same as printed), inside the published interval, outside it, and which verdicts
    flip."""
    comparisons = [one for one in found if not one.nothing]
    lines = []
    for slug, notebooks in posts.items():
        mine = [one for one in comparisons if one.name in notebooks]
        rows = [row for one in mine for row in one.rows]
        if not rows:
            continue
        many = Counter(row.agrees for row in rows)
        runs, same = (frozenset().union(*(getattr(one, name) for one in mine)) for name in ("runs", "same"))
        flipped = [f"{row.name} ({row.published} → {row.here})" for row in rows if row.flips]
        bytes_ = f"{len(same)} of {len(runs)} runs have the published bytes; " if runs else ""
        fewer = f", {many[FEWER]} {FEWER}" if many[FEWER] else ""
        lines.append(
            f"{slug}: {bytes_}of {len(rows)} numbers and verdicts {many[IDENTICAL] + many[PRINTED]} are identical, "
            f"{many[WITHIN]} within the published intervals, {many[DIFFERS]} outside{fewer}; "
            + (f"verdicts that flip: {', '.join(flipped)}" if flipped else "no verdict flips")
        )
    return lines


def nothing(found: Iterable[Comparison]) -> list[str]:
    """A line for each reason why there is nothing to compare with, with the notebook, or how many these are."""
    by_reason: dict[str, list[Comparison]] = {}
    for one in found:
        if one.nothing:
            by_reason.setdefault(one.nothing.partition(";")[0], []).append(one)
    return [
        group[0].summary() if len(group) == 1 else f"{len(group)} notebooks: {reason}"
        for reason, group in by_reason.items()
    ]


def compare(project: Project, name: str) -> list[Comparison]:
    """Compare a notebook's results with those of the published logs, which it executes again where needed; returns one
    comparison for each profile with results, none if it was not executed."""
    folder = project.results / name
    return [_compare(project, name, folder / profile) for profile in execute.profiles(folder)]


def _compare(project: Project, name: str, folder: Path) -> Comparison:
    kept = execute.record(folder) or {}
    profile, read = kept["profile"], kept["parts"]["logs"]  # <experiment>/<profile>/<run>
    named = [(each, profile) for each in kept["experiments"]]
    needed = named or sorted({(each, of) for each, of, _ in (run.split("/", 2) for run in read)})
    there = {pair: bool(evidence.runs(project.logs, *pair)) for pair in needed}
    without = sorted({each for (each, _), held in there.items() if not held})
    if without and (named or not any(there.values())):  # what names none reads everything, published or not
        available = sorted({p for each in without for p in evidence.profiles(project.logs, each)})
        about = f"nothing is published for the profile {profile}"
        about += f" of {', '.join(without)}" if len(without) < len({each for each, _ in needed}) else ""
        return Comparison(name, profile, [], f"{about}; published: {', '.join(available) or 'no profile'}")
    plan = execute.plan(project, name, project.logs, profile, project.published)
    others = plan.parts["logs"]
    runs = {run for run in read.keys() & others.keys() if "-" in read[run]}  # not of n-grams, which are counted
    same = {run for run in runs if _metrics(read[run]) == _metrics(others[run])}
    if plan.key == kept["key"]:  # made from the same logs: there is nothing to execute
        published = folder
    else:
        lacking = execute.execute(plan, project).lacking
        if lacking:
            return Comparison(name, profile, [], f"too little is published for the profile {profile}: {lacking}")
        published = plan.output
    found = rows(*(json.loads((f / "results.json").read_text(encoding="utf-8")) for f in (folder, published)))
    if others.keys() - read.keys():
        found = [replace(row, agrees=FEWER) if row.agrees == DIFFERS else row for row in found]
    return Comparison(name, profile, found, "", frozenset(runs), frozenset(same))


def _metrics(digests: str) -> str:
    """The hash of the metrics among those of a run's files, see `evidence.fingerprint`."""
    return digests.rpartition("-")[2]


def rows(here: dict[str, Any], published: dict[str, Any]) -> list[Row]:
    """The comparison of two `results.json`: numbers by name, then verdicts by claim."""
    compared = []
    for name in sorted(here["numbers"].keys() | published["numbers"].keys()):
        own, other = here["numbers"].get(name), published["numbers"].get(name)
        compared.append(Row(name, _number(own), _number(other), _number_agrees(own, other)))
    for id in sorted(here["claims"].keys() | published["claims"].keys(), key=text.natural):
        own, other = here["claims"].get(id), published["claims"].get(id)
        words = {one and one["verdict"] for one in (own, other)}
        if len(words) > 1:
            fewer = own and other and (own.get("n") or 0) < (other.get("n") or 0)
            why = f", n = {own['n']} instead of {other['n']}" if fewer else ""
            compared.append(Row(id, f"{_word(own)}{why}", _word(other), DIFFERS, flips=True))
        else:
            compared.append(Row(id, _claim(own), _claim(other), _claim_agrees(own, other)))
    return compared


def _number_agrees(own: dict[str, Any] | None, other: dict[str, Any] | None) -> str:
    if own is None or other is None:
        return DIFFERS
    if own["value"] == other["value"]:
        return IDENTICAL
    if _number(own) == _number(other):
        return PRINTED
    return WITHIN if _inside(own["value"], other.get("interval")) else DIFFERS


def _claim_agrees(own: dict[str, Any] | None, other: dict[str, Any] | None) -> str:
    if own is None or other is None or own["verdict"] != other["verdict"]:
        return DIFFERS
    if own == other:
        return IDENTICAL
    if _claim(own) == _claim(other):
        return PRINTED
    return WITHIN if _inside(own["effect"], other.get("interval")) else DIFFERS


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
