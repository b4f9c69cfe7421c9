"""The Markdown of numbers, tables, figures and verdicts, with the extensions `attr_list` and `md_in_html`.

Links to files are Markdown links, so that the site generator checks and adjusts them. `up` is the relative path from
the page to the root of the pages, such as `../../`.
"""

import html
import re
from collections.abc import Sequence
from typing import Any

from analysis.site.claims import POINTS
from analysis.study import text
from runner.plan import experiment

LONG = 120  # characters of a cell: more are a text
BRIEF = 15  # words of a reason: more stand behind a fold
MARKS = {
    "supported": "✓",
    "refuted": "✗",
    "inconclusive": "≈",
    "one run agrees": "1",
    "one run disagrees": "1",
    "not tested": "○",
    "remark": "·",
}


def number(entry: dict[str, Any], digits: int | None = None, interval: bool = False) -> str:
    """A number within a sentence; with `interval`, followed by its interval where it has one."""
    if entry["value"] is None:
        return f'<abbr title="{html.escape(entry["reason"])}">not available</abbr>'
    digits = entry["digits"] if digits is None else digits
    shown = text.with_unit(text.number(entry["value"], digits), entry["unit"])
    if not interval or entry["interval"] is None:
        return shown
    return f"{shown} ({text.interval(*entry['interval'], digits)})"


def table(entry: dict[str, Any]) -> str:
    """A Markdown table in a block that scrolls on narrow pages, under its `label` or the first sentence of its caption.
    Cells that hold a text wrap."""
    rule = ["--:" if numeric else ":--" for numeric in entry["numeric"]]
    rows = [[text.escape(name) for name in entry["columns"]], rule, *([_cell(c) for c in r] for r in entry["rows"])]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    caption = f'\n<p class="caption" markdown="span">{entry["caption"]}</p>\n' if entry["caption"] else ""
    texts = " data-table--texts" if max((len(cell) for row in entry["rows"] for cell in row), default=0) > LONG else ""
    content = f"{caption}\n{lines}" if caption else lines
    label = entry.get("label") or re.sub(r"[^\w\s,.:;()%=/×−-]", "", entry["caption"].split(". ")[0])
    return scrolling(content, label, texts)


def scrolling(content: str, label: str, more: str = "") -> str:
    """A block that scrolls on narrow pages, also by the keyboard, under a label for those who hear the page. `content`
    is Markdown, `more` further classes."""
    named = html.escape(label or "Table", quote=True)
    return (
        f'<div class="data-table{more}" role="region" tabindex="0" aria-label="{named}" markdown="1">\n\n'
        f"{content.strip()}\n\n</div>"
    )


def figure(name: str, folder: str, entry: dict[str, Any], provenance: str, up: str, id: str) -> str:
    """A figure: its panels side by side, each in a light and a dark version, its caption and its provenance. `folder`
    has the files of the panels, `id` is the anchor on the page."""
    images = []
    for k, panel in enumerate(entry["panels"], 1):
        size = f"width={panel['width']} height={panel['height']}"
        alt = text.escape(panel["alt"])
        for scheme in ("light", "dark"):
            address = f"{up}figures/{folder}/{name}-{k}-{scheme}.svg#only-{scheme}"
            images.append(f"![{alt}]({address}){{ {size} }}")
    panels = "\n".join(images)
    many = "pair" if len(entry["panels"]) > 1 else "single"
    caption = f'<figcaption markdown="span">{entry["caption"]}</figcaption>' if entry["caption"] else ""
    return (
        f'<figure class="figure figure--{many}" id="figure-{id}" markdown="1">\n\n'
        f'<div class="panels" markdown="1">\n\n{panels}\n\n</div>\n\n{caption}\n\n{provenance}\n\n</figure>'
    )


def provenance(experiments: dict[str, dict[str, Any]], notebook: str, up: str) -> str:
    """The provenance of a figure, for each experiment: profile, seeds, machine, runs, commit, notebook, and the command
    that reproduces it."""
    return "\n\n".join(_provenance(name, entry, notebook, up) for name, entry in sorted(experiments.items()))


def verdict(
    id: str,
    entry: dict[str, Any],
    link: str,
    anchor: str = "",
    says: str = "",
    others: Sequence[dict[str, Any]] = (),
) -> str:
    """A badge with the verdict as a sign, words and a colour, followed by its numbers.

    With `says`, it is a block of its own, with the text of the claim between the two and the reason after them: behind
    a fold where it is long and there are numbers that stand for it. `link` is the target of the badge, `anchor` its own
    id. `others` are verdicts on the claim at other sizes, each a badge after the first.
    """
    whose = f" (ours){text.NBSP}" if entry.get("ours") else text.NBSP
    badges = [_badge(entry, f"{id}{whose.replace(' ', text.NBSP)}", link, anchor)]
    badge = " ".join([*badges, *(_badge(other, "", link) for other in others)])
    numbers = text.effect(entry)
    if not says:
        return f'{badge} <span class="effect">{numbers}</span>' if numbers else badge
    first, rest = _halves(entry.get("reason", ""), entry.get("effect") is not None or bool(entry.get("parts")))
    obstacle = _obstacle(entry) if rest else ""
    sentences = [numbers, part_by_part(entry), text.sentence(first) if first else "", obstacle]
    shown = ". ".join(one.rstrip(".") for one in sentences if one) + ("." if any(sentences[1:]) else "")
    lines = [f'{badge} <span class="claim-words">{says}</span>']
    lines[0] += f' <span class="effect">{shown}</span>' if shown else ""
    if rest:
        more = text.sentence(rest)
        lines.append(f'<details markdown="1"><summary>the numbers behind it</summary>\n\n{more}\n\n</details>')
    body = "\n\n".join(lines)
    return f'<div class="claim-entry" markdown="1">\n\n{body}\n\n</div>'


def _badge(entry: dict[str, Any], name: str, link: str, anchor: str = "") -> str:
    """A verdict as a link, after the name of its claim where that is to be said."""
    word = entry["verdict"].replace(" ", text.NBSP)
    label = f"{MARKS[entry['verdict']]}{text.NBSP}{name}{word}"
    if entry.get("scope"):
        label += f" ·{text.NBSP}{entry['scope'].replace(' ', text.NBSP)}"  # where it may break on the smallest phone
    kind = entry["verdict"].replace(" ", "-")
    return f"[{label}]({link}){{ .verdict .verdict--{kind} {f'#{anchor} ' if anchor else ''}}}"


def _halves(reason: str, numbers: bool) -> tuple[str, str]:
    """What a claim's entry shows of a reason, and what stands behind a fold: all of a long one where numbers stand for
    it, else what follows its first sentence."""
    if len(reason.split()) <= BRIEF:
        return reason, ""
    if numbers:
        return "", reason
    end = re.search(r"(?<!\bal)\. (?=[A-Z])|; ", reason)
    if not end or len(reason[end.end() :].split()) <= BRIEF:
        return reason, ""
    return reason[: end.start()], reason[end.end() :]


def _obstacle(entry: dict[str, Any]) -> str:
    """What keeps a verdict open whatever its measures say; empty where nothing does."""
    why = entry.get("obstacle")
    return text.sentence(f"open, as {why}") if why and entry["verdict"] == "inconclusive" else ""


def part_by_part(entry: dict[str, Any]) -> str:
    """What came of each part of a claim that says several things, as a sentence; empty for one that says one."""
    words: dict[str, list[str]] = {}
    for name, word in entry.get("parts", {}).items():
        words.setdefault(word, []).append(name)
    told = (f"{word}: {', '.join(words[word])}" for word in sorted(words, key=lambda word: POINTS.get(word, 0)))
    return text.sentence("; ".join(told)) if words else ""


def fold(title: str, content: str) -> str:
    """Markdown behind a title that opens it."""
    summary = f"<summary>{text.escape(title)}</summary>"
    return f'\n<details class="note" markdown="1">\n{summary}\n\n{content.strip()}\n\n</details>\n'


def citation(label: str, link: str) -> str:
    """A reference inside a sentence, whose authors and year stay on one line."""
    return f"[{text.escape(label).replace(' ', text.NBSP)}]({link})"


def agreement(rows: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]], profiles: tuple[str, str]) -> str:
    """A table of claims (id, words, link, verdict in the first profile, verdict in the second) and of whether the two
    verdicts point the same way."""
    heads = [
        f"{profile} profile{f' ({scope})' if scope else ''}"
        for profile, scope in zip(profiles, _scopes(rows), strict=True)
    ]
    lines = [f"| Claim | {' | '.join(heads)} | Do they agree? |", "| :-- | :-- | :-- | :-- |"]
    for id, words, link, *verdicts in rows:
        cells = [f"[{id}]({link}) {text.escape(words)}"]
        cells += [_badge({"verdict": one["verdict"]}, "", link) for one in verdicts]
        lines.append(f"| {' | '.join([*cells, _agree(*verdicts)])} |")
    return scrolling("\n".join(lines), "Claims in two profiles", " data-table--prose")


def _scopes(rows: list[tuple[str, str, str, dict[str, Any], dict[str, Any]]]) -> list[str]:
    """The scope that all verdicts of each column share; empty where they differ."""
    found = [{row[column].get("scope", "") for row in rows} - {"", "arithmetic", "literature"} for column in (3, 4)]
    return [scopes.pop() if len(scopes) == 1 else "" for scopes in found]


def _agree(first: dict[str, Any], second: dict[str, Any]) -> str:
    points = [POINTS.get(entry["verdict"]) for entry in (first, second)]
    if None in points:
        return "tested in neither" if points == [None, None] else "tested in one of them"
    if 0 in points:
        return "undecided in both" if points[0] == points[1] else "one of them does not decide it"
    return "yes" if points[0] == points[1] else "**no**"


def _provenance(name: str, entry: dict[str, Any], notebook: str, up: str) -> str:
    folder, profile, runs = f"{up}evidence/{name}/{entry['profile']}", entry["profile"], entry["runs"]
    diverged = sum(run["status"] == "diverged" for run in runs)
    facts = [
        f"**{text.escape(profile)}** profile",
        text.count(len(entry["seeds"]), "seed"),
        text.escape(text.made_on(entry["machines"], entry["devices"], entry["precisions"])),
        f"[{text.count(len(runs), 'run')}]({folder}/index.md)" + (f", {diverged} diverged" if diverged else ""),
        f"commit {', '.join(f'`{c}`' for c in entry['commits']) or 'unknown'}",
        f"[notebook]({up}notebooks/{notebook}.md)",
        f"again: `make reproduce PROFILE={profile}{_all(name, profile, len(entry['seeds']))}`",
    ]
    links = " ".join(f"[{text.escape(run['name'])}]({folder}/{run['name']}/metrics.parquet)" for run in runs)
    return (
        f'<div class="provenance" markdown="1">\n\n{" · ".join(facts)}\n\n'
        f'<details markdown="1"><summary>logs as parquet</summary>\n\n{links}\n\n</details>\n\n</div>'
    )


def _all(name: str, profile: str, seeds: int) -> str:
    """What asks for all of so many seeds, where `make reproduce` trains fewer by itself."""
    if name not in experiment.names():
        return ""
    loaded = experiment.load(name)
    return " SEEDS=all" if profile in loaded.profiles and loaded.first_seeds(profile) < seeds else ""


def _cell(value: str) -> str:
    """The text of a cell, escaped, its lines kept; text in backticks stays code."""
    if len(value) > 2 and value[0] == value[-1] == "`":
        return value.replace("|", "\\|")
    return "<br>".join(text.escape(line) for line in value.split("\n"))
