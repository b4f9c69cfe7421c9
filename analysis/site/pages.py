"""The pages around the posts: the list of posts, the ledger, the evidence, the notebooks."""

import datetime
import html
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from analysis.build import evidence, notebook
from analysis.site import markup, mathml
from analysis.site.claims import Ledger, Verdicts
from analysis.site.post import Post, Rendered
from analysis.site.references import Reference
from analysis.study import text
from runner.plan.spec import from_dict

Files = dict[str, bytes | Path]  # where in the pages → what stands there


def front(**values: Any) -> str:
    """Front matter. JSON is YAML, and leaves no doubt about quotes."""
    rows = [
        f"{key}: {value if isinstance(value, datetime.date) else json.dumps(value, ensure_ascii=False)}"
        for key, value in values.items()
        if value not in (None, "", [])
    ]
    return "---\n" + "\n".join(rows) + "\n---\n\n"


def post(post: Post, rendered: Rendered, note: str = "") -> str:
    """A post's own page; `note` says where its results come from."""
    origin = f'<p class="caption">{text.escape(note)}</p>\n\n' if note else ""
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


def index(posts: list[tuple[Post, Rendered]], name: str, tagline: str) -> str:
    """All posts, as they come: emoji, title, date and summary."""
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
    """Filled by the site generator."""
    return front(title="Tags", hide=["toc"]) + "# Tags\n\n<!-- material/tags -->\n"


def claims(ledger: Ledger, verdicts: Verdicts, posts: list[tuple[Post, Rendered]]) -> str:
    """The ledger with its verdicts, and where each is discussed. The verdict of the most telling profile leads."""
    leading = {id: next(iter(by_profile.values())) for id, by_profile in verdicts.items()}
    counts = {word: sum(v["verdict"] == word for v in leading.values()) for word in markup.MARKS}
    tally = " ".join(
        f'<span class="verdict verdict--{word.replace(" ", "-")}">{mark}{text.NBSP}{counts[word]}{text.NBSP}'
        f"{word.replace(' ', text.NBSP)}</span>"
        for word, mark in markup.MARKS.items()
        if counts[word] or not word.startswith("one run")
    )
    parts = [
        front(title="Claims", description="Every claim that can be checked, and what came of it.")
        + "# Claims\n\nEvery statement of a source that can be checked stands here in our words, with what would test "
        "it. No verdict is typed in: a notebook computes it from the logs, or the reason is given why none does.\n\n"
        f'<p class="tally">{tally}</p>'
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
            facts = [f"**Test.** {claim.test}"]
            if verdict.get("reason"):
                why = "Why not" if verdict["verdict"] == "not tested" else "Why"
                facts.append(f"**{why}.** {text.sentence(verdict['reason'])}")
            for profile, other in others:
                why = f": {other['reason']}" if other["reason"] else ""
                also = "The same." if _alike(other, verdict) else text.sentence(f"{other['verdict']}{why}")
                facts.append(f"**In the {profile} profile.** {also}")
            if claim.notebook:
                facts.append(f"**Decided by** [{claim.notebook}](notebooks/{claim.notebook}.md).")
            if discussed:
                facts.append(f"**Discussed in** {discussed}.")
            badge = markup.verdict(claim.id, verdict, f"#{claim.anchor}")
            parts.append(
                f'<div class="claim" id="{claim.anchor}" markdown="1">\n\n{badge}\n\n'
                f'<p class="claim-says" markdown="span">{mathml.convert(claim.says)}</p>\n\n'
                f"{' '.join(facts)}\n\n</div>"
            )
    return "\n\n".join(parts) + "\n"


def _alike(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two verdicts differ in nothing but the size at which they were found."""
    return {**one, "scope": ""} == {**other, "scope": ""}


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
    """A readable page for each notebook, the script itself beside it, and a list of them."""
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


def proofs(folders: dict[tuple[str, str], Path]) -> Files:
    """A page for each experiment and profile, with every run's files to download, and a list of them."""
    files: Files = {}
    rows = ["| experiment | profile | runs | machine |", "|:--|:--|--:|:--|"]
    for (experiment, profile), root in sorted(folders.items()):
        runs = evidence.runs(root, experiment, profile)
        manifests = [evidence.manifest(run) for run in runs]
        base = f"evidence/{experiment}/{profile}"
        rows.append(
            f"| {experiment} | [{profile}]({experiment}/{profile}/index.md) | {len(runs)} | "
            f"{text.escape(_several(manifests, 'environment', 'machine'))} |"
        )
        counted = (root / experiment / profile / evidence.BASELINES).is_file()
        files[f"{base}/index.md"] = _proof(experiment, profile, runs, manifests, counted).encode()
        for run in runs:
            files |= {f"{base}/{run.name}/{name}": run / name for name in evidence.DOWNLOADS if (run / name).is_file()}
        if counted:
            files[f"{base}/{evidence.BASELINES}"] = root / experiment / profile / evidence.BASELINES
    listing = (
        '<div class="data-table" markdown="1">\n\n' + "\n".join(rows) + "\n\n</div>" if folders else "No logs yet."
    )
    files["evidence/index.md"] = (
        front(title="Evidence", hide=["toc"]) + "# Evidence\n\nThe logs that the posts stand on: for each run its "
        "manifest (what ran, on what, from which data and code), its metrics and timings as parquet, and text that "
        f"the trained model wrote.\n\n{listing}\n"
    ).encode()
    return files


def _proof(experiment: str, profile: str, runs: list[Path], manifests: list[dict[str, Any]], counted: bool) -> str:
    flats = [
        _flat(asdict(from_dict(m["spec"], f"{run}/manifest.json"))) for run, m in zip(runs, manifests, strict=True)
    ]
    varies = [key for key in flats[0] if len({json.dumps(flat[key]) for flat in flats}) > 1]
    columns = ["run", *(path.rsplit(".", 1)[-1] for path in varies), "spec", "status", "files"]
    rows = [f"| {' | '.join(columns)} |", f"|:--|{'--:|' * len(varies)}:--|:--|:--|"]
    for run, manifest, flat in zip(runs, manifests, flats, strict=True):
        links = " · ".join(
            f"[{name.split('.')[0]}]({run.name}/{name})" for name in evidence.DOWNLOADS if (run / name).is_file()
        )
        cells = [
            text.escape(run.name),
            *(text.escape(f"{flat[p]:g}" if isinstance(flat[p], float) else str(flat[p])) for p in varies),
            f"`{manifest['identity']}`",
            manifest["status"],
            links,
        ]
        rows.append(f"| {' | '.join(cells)} |")
    facts = [
        ("machine", "environment", "machine"),
        ("device", "environment", "device"),
        ("precision", "environment", "precision"),
        ("torch", "environment", "torch"),
        ("commit", "commit"),
        ("corpus", "corpus", "name"),
        ("corpus SHA-256", "corpus", "sha256"),
    ]
    listed = "\n".join(f"- {label}: {text.escape(_several(manifests, *path))}" for label, *path in facts)
    table = "\n".join(rows)
    if counted:
        listed += f"\n- what n-gram counts of the same text score: [baselines]({evidence.BASELINES})"
    return (
        f"{front(title=f'{experiment}, {profile}', hide=['toc'])}"
        f'<p class="crumbs" markdown="span">[Evidence](../../index.md) / {experiment}</p>\n\n'
        f"# {text.escape(experiment)}, {text.escape(profile)} profile\n\n{listed}\n\n"
        f'<div class="data-table" markdown="1">\n\n{table}\n\n</div>\n\nThe columns of the parquet files are '
        "described in `runner/evidence/log.py`.\n"
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
    return f"{front(title=title)}{link}\n\n{heading}{lead}\n\n{rest}\n"


def _when(post: Post, rendered: Rendered) -> str:
    return (
        f'<time datetime="{post.date.isoformat()}">{text.date(post.date)}</time> · '
        f"{rendered.minutes}{text.NBSP}min read"
    )


def _several(manifests: list[dict[str, Any]], *path: str) -> str:
    """The one value that all manifests share, or those that there are."""
    found = set()
    for value in manifests:
        for key in path:
            value = value.get(key, "") if isinstance(value, dict) else ""
        found.add(str(value))
    return ", ".join(sorted(found - {""})) or "unknown"


def _flat(spec: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Settings by dotted path."""
    flat: dict[str, Any] = {}
    for key, value in spec.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
