"""The pages of posts and around them: the index, the ledger of claims, the evidence, the notebooks."""

import datetime
import html
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.build import evidence, notebook
from analysis.site import markup, mathml
from analysis.site.claims import Change, Ledger, Verdicts
from analysis.site.post import Post, Rendered
from analysis.site.references import Reference
from analysis.study import text
from analysis.study.results import every
from runner.evidence.status import EVIDENCE
from runner.plan.spec import from_dict

Files = dict[str, bytes | Path]  # path of a page or file → its content, or the file to copy


def front(**values: Any) -> str:
    """Front matter, with values as JSON, which is valid YAML; empty values are left out."""
    rows = [
        f"{key}: {value if isinstance(value, datetime.date) else json.dumps(value, ensure_ascii=False)}"
        for key, value in values.items()
        if value not in (None, "", [])
    ]
    return "---\n" + "\n".join(rows) + "\n---\n\n"


def post(post: Post, rendered: Rendered, note: str = "") -> str:
    """The page of a post; `note` is a sentence on the origin of its results."""
    origin = f"{_noted(note)}\n\n" if note else ""
    tags = " ".join(f"[{text.escape(tag)}](../../tags.md){{ .tag }}" for tag in post.tags)
    draft = ' · <span class="draft">draft</span>' if not post.published else ""
    head = front(
        title=post.title,
        date=post.date,
        description=post.summary,
        slug=post.slug,
        readtime=rendered.minutes,
        tags=post.tags,
        template="main.html",
        hide=["tags"],
    )
    return (
        f'{head}<div class="post-head" markdown="1">\n\n<p class="post-emoji" aria-hidden="true">{post.emoji}</p>\n\n'
        f"# {text.escape(post.title)}\n\n"
        f'<p class="post-meta" markdown="span">{_when(post, rendered)}{draft}{f" · {tags}" if tags else ""}</p>\n\n'
        f'<p class="post-summary" markdown="span">{mathml.convert(post.summary)}</p>\n\n</div>\n\n'
        f"{origin}{rendered.markdown}"
    )


def _noted(note: str) -> str:
    return f'<p class="caption">{text.escape(note)}</p>'


def index(posts: list[tuple[Post, Rendered]], name: str, tagline: str) -> str:
    """The index: emoji, title, date and summary of all posts, in the given order. `name` and `tagline` are the
    site's."""
    items = []
    for one, rendered in posts:
        draft = ' · <span class="draft">draft</span>' if not one.published else ""
        items.append(
            f'<div class="entry" markdown="1">\n\n<p class="entry-emoji" aria-hidden="true">{one.emoji}</p>\n\n'
            f'<div class="entry-text" markdown="1">\n\n## [{text.escape(one.title)}](posts/{one.slug}/index.md)\n\n'
            f'<p class="entry-summary" markdown="span">{mathml.convert(one.summary)}</p>\n\n'
            f'<p class="post-meta" markdown="span">{_when(one, rendered)}{draft}</p>\n\n</div>\n\n</div>'
        )
    body = "\n\n".join(items) or "No post is published yet."
    head = front(title="Posts", description=tagline, template="main.html", hide=["navigation", "toc"])
    return (
        f'{head}<div class="masthead" markdown="1">\n\n# {text.escape(name)}\n\n'
        f'<p class="tagline">{html.escape(tagline)}</p>\n\n</div>\n\n{body}\n'
    )


def tags() -> str:
    """The page of tags, which the site generator fills."""
    return front(title="Tags", hide=["toc"]) + "# Tags\n\n<!-- material/tags -->\n"


def claims(ledger: Ledger, verdicts: Verdicts, posts: list[tuple[Post, Rendered]], note: str = "") -> str:
    """The ledger of claims with their verdicts, that of the largest profile first, and the posts that discuss them;
    `note` says where the results come from, if anything."""
    leading = {id: next(iter(by_profile.values())) for id, by_profile in verdicts.items()}
    counts = {word: sum(v["verdict"] == word for v in leading.values()) for word in markup.MARKS}
    tally = " ".join(
        f'<span class="verdict verdict--{word.replace(" ", "-")}">{mark}{text.NBSP}{counts[word]}{text.NBSP}'
        f"{word.replace(' ', text.NBSP)}</span>"
        for word, mark in markup.MARKS.items()
        if counts[word] or not word.startswith(("one run", "remark"))
    )
    parts = [
        front(title="Claims", description="What the sources claim, how it was tested, and what came of it.")
        + "# Claims\n\nThe statements of the sources for which we found a test stand here in our words, with that "
        "test. No verdict is typed in: a notebook computes it from the logs, or the reason is given why none does. How "
        "far a verdict reaches, *small scale* or another, is said in [About](about.md#how-to-read-the-numbers).\n\n"
        f'<p class="tally">{tally}</p>' + (f"\n\n{_noted(note)}" if note else "")
    ]
    for source in ledger.sources:
        parts.append(f"## {text.escape(source.title)}\n\n{source.credit}")
        for claim in ledger.of(source):
            verdict, others = leading[claim.id], list(verdicts[claim.id].items())[1:]
            discussed = ", ".join(
                f"[{text.escape(p.title)}](posts/{p.slug}/index.md#claim-{claim.anchor})"
                for p, rendered in posts
                if claim.id in rendered.claims
            )
            facts = [f"**A claim of ours.** {text.sentence(claim.ours)}"] if claim.ours else []
            facts.append(f"**Test.** {claim.test}")
            if verdict.get("rule"):
                facts.append(f"**Rule.** {text.sentence(verdict['rule'])}{_bars(verdict.get('measures', []))}")
            if verdict.get("parts"):
                facts.append(f"**Part by part.** {markup.part_by_part(verdict)}")
            if verdict.get("reason"):
                why = {"not tested": "Why not", "remark": "What"}.get(verdict["verdict"], "Why")
                facts.append(f"**{why}.** {text.sentence(verdict['reason'])}")
            for profile, other in others:
                why = f": {other['reason']}" if other["reason"] else ""
                also = "The same." if _alike(other, verdict) else text.sentence(f"{other['verdict']}{why}")
                facts.append(f"**In the {profile} profile.** {also}")
            where = [f"**Decided by** [{claim.notebook}](notebooks/{claim.notebook}.md)."] if claim.notebook else []
            facts.append(" ".join([*where, *([f"**Discussed in** {discussed}."] if discussed else [])]))
            facts += [_history(change) for change in claim.history]
            badge = markup.verdict(claim.id, verdict, f"#{claim.anchor}")
            told = "\n\n".join(filter(None, facts))
            parts.append(
                f'<div class="claim" id="{claim.anchor}" markdown="1">\n\n{badge}\n\n'
                f'<p class="claim-says" markdown="span">{mathml.convert(claim.says)}</p>\n\n'
                f"{told}{_by_machine(claim.id, verdicts[claim.id])}\n\n</div>"
            )
    return "\n\n".join(parts) + "\n"


def _bars(measures: list[dict[str, Any]]) -> str:
    """The bars that a rule speaks of, as a sentence to follow it: one for all measures, or each with its name."""
    bars = {}
    for one in measures:
        if one["wanted"] and one["of"]:
            bar = f"a factor of {text.number(2.0 ** one['bar'])}" if one["log2"] else text.number(float(one["bar"]))
            bars[one["name"]] = f"{one['wanted']} {bar}"
    if not bars:
        return ""
    if len(set(bars.values())) == 1:
        return f" The wanted side is {next(iter(bars.values()))}."
    return f" Wanted: {'; '.join(f'{text.escape(name)}: {side}' for name, side in bars.items())}."


def _history(change: Change) -> str:
    """How a verdict changed after it was known."""
    became = f"{change.was} → {change.now}" if change.was != change.now else f"{change.now} before and after"
    return f"**Changed on {text.date(change.date)}**, with the result known: {became}. {text.sentence(change.why)}"


def _by_machine(id: str, by_profile: dict[str, dict[str, Any]]) -> str:
    """A table of the verdicts on a claim by size and machine, where machines of several kinds were asked."""
    if not any(verdict.get("machines") for verdict in by_profile.values()):
        return ""
    lines = ["| size | machine | verdict | effect |", "|:--|:--|:--|:--|"]
    for profile, verdict in by_profile.items():
        for one in verdict.get("machines", [verdict]):
            cells = (profile, text.escape(one["machine"]), one["verdict"], text.effect(one))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n\n" + markup.scrolling("\n".join(lines), f"{id}: the verdict on each machine")


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two verdicts are equal except for their scope and their machines."""
    where = dict.fromkeys(("scope", "machine", "machines"))
    return {**one, **where} == {**other, **where}


def references(listed: list[Reference], posts: list[tuple[Post, Rendered]]) -> str:
    """The bibliography by group: each entry with why it is there, how it was checked, and the posts that cite it."""
    parts = [
        front(title="References", description="What the posts cite, and the reading list of the study notes.")
        + "# References\n\nThe reading list of the study notes that one post follows, under its own headings, and what "
        "else is cited here. Titles, authors and years are those of the first version; where the list gives others, "
        "the entry says so. ★ is the list's own mark for what it found outstanding. All of it as "
        "[BibTeX](references.bib)."
    ]
    for group in dict.fromkeys(one.group for one in listed):
        parts.append(f"## {text.escape(group)}")
        parts += [_reference(one, posts) for one in listed if one.group == group]
    return "\n\n".join(parts) + "\n"


def _reference(one: Reference, posts: list[tuple[Post, Rendered]]) -> str:
    title = f"[{text.escape(one.title)}]({one.url})" if one.url else f"*{text.escape(one.title)}*"
    venue = f" {text.escape(one.venue)}." if one.venue else ""
    facts = [text.sentence(one.note), f"**Checked.** {text.sentence(one.checked)}"]
    if one.stated:
        facts.append(f"**The list gives** {text.escape(one.stated)}.")
    citing = [
        f"[{text.escape(post.title)}](posts/{post.slug}/index.md)"
        for post, rendered in posts
        if one.key in rendered.cited
    ]
    if citing:
        facts.append(f"**Cited in** {', '.join(citing)}.")
    return (
        f'<div class="reference" id="{one.key}" markdown="1">\n\n'
        f"{text.escape(one.names)} {one.year}. {title}.{venue}{' ★' if one.starred else ''}\n\n"
        f'<p class="reference-facts" markdown="span">{" ".join(facts)}</p>\n\n</div>'
    )


def notebooks(names: dict[str, Path]) -> Files:
    """A page for each notebook, its script, and an index of notebooks."""
    files: Files = {}
    rows = []
    for name, path in names.items():
        source = path.read_text(encoding="utf-8")
        title = notebook.title(source, name)
        rows.append(f"- [{text.escape(title)}]({name}.md) `{name}.py`")
        files[f"notebooks/{name}.md"] = _notebook(name, title, source).encode()
        files[f"notebooks/{name}.py"] = path
    listing = "\n".join(rows) or "There is no notebook yet."
    files["notebooks/index.md"] = (
        front(title="Notebooks", hide=["toc"]) + "# Notebooks\n\nA notebook reads logs and writes every figure, table, "
        f"number and verdict of the posts by name. Each is a plain Python script.\n\n{listing}\n"
    ).encode()
    return files


Folders = dict[tuple[str, str], Path]  # the root of the evidence by (experiment, profile)


def proofs(folders: Folders, replications: dict[str, Folders] | None = None) -> Files:
    """The pages of evidence: for each experiment and profile one with all runs' files to download, and an index. Those
    of replications on machines of other kinds follow, by kind."""
    files, listing = _proofs(folders, "")
    for kind, others in (replications or {}).items():
        more, rows = _proofs(others, f"replications/{kind}/")
        files |= more
        listing += (
            f"\n\n## Again, on a machine of another kind: {text.escape(kind)}\n\nThe same runs, trained anew. Rounding "
            "grows, so that single losses part; a verdict that does not come out the same is not decided.\n\n" + rows
        )
    files["evidence/index.md"] = (
        front(title="Evidence", hide=["toc"]) + "# Evidence\n\nThe logs that the posts stand on: for each run its "
        "manifest (what ran, on what, from which data and code), its metrics and timings as parquet, and text that "
        f"the trained model wrote.\n\n{listing}\n"
    ).encode()
    return files


def _proofs(folders: Folders, inside: str) -> tuple[Files, str]:
    """The pages of some evidence, and the table that lists them; they stand under `evidence/<inside>`."""
    files: Files = {}
    rows = ["| experiment | profile | runs | machine |", "|:--|:--|--:|:--|"]
    for (experiment, profile), root in sorted(folders.items()):
        runs = evidence.runs(root, experiment, profile)
        manifests = [evidence.manifest(run) for run in runs]
        place = f"{inside}{experiment}/{profile}"
        rows.append(
            f"| {experiment} | [{profile}]({place}/index.md) | {len(runs)} | "
            f"{text.escape(_several(_sessions(manifests), 'environment', 'machine'))} |"
        )
        counted = (root / experiment / profile / evidence.BASELINES).is_file()
        up = "../" * place.count("/") + "../index.md"
        files[f"evidence/{place}/index.md"] = _proof(experiment, profile, runs, manifests, counted, up).encode()
        for run in runs:
            found = {name: run / name for name in EVIDENCE if (run / name).is_file()}
            files |= {f"evidence/{place}/{run.name}/{name}": path for name, path in found.items()}
        if counted:
            files[f"evidence/{place}/{evidence.BASELINES}"] = root / experiment / profile / evidence.BASELINES
    table = markup.scrolling("\n".join(rows), f"{inside and inside.split('/')[1] + ': '}the evidence by experiment")
    return files, table if folders else "No logs yet."


def _proof(
    experiment: str, profile: str, runs: list[Path], manifests: list[dict[str, Any]], counted: bool, up: str
) -> str:
    flats = [
        _flat(asdict(from_dict(m["spec"], f"{run}/manifest.json"))) for run, m in zip(runs, manifests, strict=True)
    ]
    settings = dict.fromkeys(key for flat in flats for key in flat)  # kinds of models have settings of their own
    flats = [{key: flat.get(key, "–") for key in settings} for flat in flats]
    varies = [key for key in settings if len({json.dumps(flat[key]) for flat in flats}) > 1]
    columns = ["run", *(path.rsplit(".", 1)[-1] for path in varies), "spec", "status", "files"]
    rows = [f"| {' | '.join(columns)} |", f"|:--|{'--:|' * len(varies)}:--|:--|:--|"]
    for run, manifest, flat in zip(runs, manifests, flats, strict=True):
        links = " · ".join(f"[{name.split('.')[0]}]({run.name}/{name})" for name in EVIDENCE if (run / name).is_file())
        cells = [
            text.escape(run.name),
            *(text.escape(f"{flat[p]:g}" if isinstance(flat[p], float) else str(flat[p])) for p in varies),
            f"`{manifest['identity']}`",
            manifest["status"],
            links,
        ]
        rows.append(f"| {' | '.join(cells)} |")
    trained = _sessions(manifests)
    facts = [
        ("machine", trained, "environment", "machine"),
        ("device", trained, "environment", "device"),
        ("precision", trained, "environment", "precision"),
        ("threads", trained, "environment", "threads"),
        ("torch", trained, "environment", "torch"),
        ("commit", trained, "commit"),
        ("corpus", manifests, "corpus", "name"),
        ("corpus SHA-256", manifests, "corpus", "sha256"),
    ]
    listed = "\n".join(f"- {label}: {text.escape(_several(among, *path))}" for label, among, *path in facts)
    table = "\n".join(rows)
    if counted:
        listed += f"\n- what n-gram counts of the same text score: [baselines]({evidence.BASELINES})"
    return (
        f"{front(title=f'{experiment}, {profile}', hide=['toc'])}"
        f'<p class="crumbs" markdown="span">[Evidence]({up}) / {experiment}</p>\n\n'
        f"# {text.escape(experiment)}, {text.escape(profile)} profile\n\n{listed}\n\n"
        f"{markup.scrolling(table, 'The runs')}\n\nThe columns of the parquet files are described in "
        "`runner/evidence/log.py`.\n"
    )


def _notebook(name: str, title: str, source: str) -> str:
    parts = []
    for cell in notebook.cells(source):
        if cell.kind == "markdown":
            parts.append(mathml.convert(cell.text))
        elif cell.text:
            fence = "````" if "```" in cell.text else "```"
            parts.append(f"{fence}python\n{cell.text}\n{fence}")
    body = "\n\n".join(parts)
    heading = "" if body.startswith("# ") else f"# {text.escape(title)}\n\n"
    lead, _, rest = body.partition("\n") if not heading else ("", "", body)
    link = f'<p class="crumbs" markdown="span">[Notebooks](index.md) / [{name}.py]({name}.py)</p>'
    # Their code was half of the index that every reader who searches downloads, and what it finds is in the posts.
    head = front(title=title, search={"exclude": True})
    return f"{head}{link}\n\n{heading}{lead}\n\n{rest}\n"


def _when(post: Post, rendered: Rendered) -> str:
    return (
        f'<time datetime="{post.date.isoformat()}">{text.date(post.date)}</time> · '
        f"{rendered.minutes}{text.NBSP}min read"
    )


def _sessions(manifests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What trained the runs of these manifests: a session for each time that one was begun or resumed."""
    return [session for manifest in manifests for session in manifest["sessions"]]


def _several(among: list[dict[str, Any]], *path: str) -> str:
    """The values at a path of manifests or of their sessions, as text."""
    return ", ".join(map(str, every(among, *path))) or "unknown"


def _flat(spec: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of nested tables, by dotted path."""
    flat: dict[str, Any] = {}
    for key, value in spec.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
