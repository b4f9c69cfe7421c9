"""Weaves posts and results into pages: plain Markdown under `build/docs`, for any site generator.

All pages are made in memory first. After an error, nothing is written.
"""

import contextlib
import datetime
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.build import evidence, execute
from analysis.build.project import Project, read
from analysis.site import claims, generator, pages, post, references, speed
from analysis.study import text
from runner.errors import UserError


@dataclass(frozen=True)
class Woven:
    """The outcome of weaving: the posts with a page, and how many files were written and removed."""

    posts: list[post.Post]
    changed: int
    removed: int

    @property
    def newest(self) -> datetime.date | None:
        """The date of the newest post; None without posts."""
        return max((one.date for one in self.posts), default=None)


def weave(project: Project, drafts: bool = False) -> Woven:
    """Bring `build/docs` up to date; with `drafts`, unpublished posts get pages too.

    Raises a `UserError`, with file and line, for an error in a post or in the ledger, and for stale results.
    """
    posts = post.every(project)
    records = _check_fresh(project, posts)
    results = {n: {profile: _results(project, n, profile) for profile in kept} for n, kept in records.items()}
    where = project.shown(project.ledger)
    ledger = claims.load(project.ledger, where, project.notebook_names())
    replicated = _replicated(project)
    verdicts = claims.verdicts(ledger, results, where, replicated)
    cited = references.load(project.references, project.shown(project.references))
    deciding = {id: claim.notebook for id, claim in ledger.claims.items()}
    says = {id: claim.says for id, claim in ledger.claims.items()}
    sources = post.Sources(results, verdicts, says, deciding, cited, replicated)
    rendered = [(one, post.render(one, sources)) for one in posts]  # drafts too: an error in one is an error
    shown = [(one, made) for one, made in rendered if one.published or drafts]

    decided = [(deciding[id], profile) for id, by_profile in verdicts.items() for profile in by_profile]
    files: pages.Files = {
        "index.md": pages.index(shown, *generator.title(project)).encode(),
        "tags.md": pages.tags().encode(),
        "claims.md": pages.claims(ledger, verdicts, shown, _origin(project, records, decided)).encode(),
        "references.md": pages.references(list(cited.values()), shown).encode(),
        "references.bib": project.references,
        **pages.notebooks({name: project.notebooks / f"{name}.py" for name in project.notebook_names()}),
        **pages.proofs(_evidence(project, records), _replications(project)),
        **speed.pages(project.benchmarks, project.shown(project.benchmarks)),
    }
    for one, made in shown:
        files[f"posts/{one.slug}/index.md"] = pages.post(one, made, _origin(project, records, made.shown)).encode()
    for name, profile in ((name, profile) for name, by_profile in results.items() for profile in by_profile):
        for figure in sorted((project.results / name / profile / "figures").glob("*.svg")):
            files[f"figures/{name}/{profile}/{figure.name}"] = figure
    for path in sorted(project.posts.glob("*.md")):
        files[path.name] = post.fill(read(path, project.shown(path)), project.shown(path), {}).encode()
    changed, removed = sync(project.docs, files)
    return Woven([one for one, _ in shown], changed, removed)


def sync(folder: Path, files: pages.Files) -> tuple[int, int]:
    """Make the content of `folder` exactly `files`, writing only those that differ; returns the numbers of files
    written and removed."""
    wanted = {folder / name: content for name, content in files.items()}
    changed = 0
    for path, content in wanted.items():
        if path.is_file() and _same(path, content):
            continue
        if path.is_dir():
            shutil.rmtree(path)
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True)
        scratch = path.with_name(f".{path.name}.new")
        _write(scratch, content)
        os.replace(scratch, path)
        changed += 1
    gone = [path for path in sorted(folder.rglob("*")) if path.is_file() and path not in wanted]
    for path in gone:
        path.unlink()
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return changed, len(gone)


def _same(path: Path, content: Path | bytes) -> bool:
    if isinstance(content, Path):
        if os.path.samefile(path, content):
            return True
        content = content.read_bytes()
    return path.stat().st_size == len(content) and path.read_bytes() == content


def _write(path: Path, content: Path | bytes) -> None:
    """Write a file; one that is there already gets a second name, which takes a thirtieth of the time of a copy."""
    path.unlink(missing_ok=True)  # what a killed process has left
    if isinstance(content, Path):
        with contextlib.suppress(OSError):  # on another file system, or one without links
            os.link(content, path)
            return
        content = content.read_bytes()
    path.write_bytes(content)


Records = dict[str, dict[str, dict[str, Any]]]  # notebook → profile → record of its execution


def _check_fresh(project: Project, posts: list[post.Post]) -> Records:
    """The records of all notebooks. Raises a `UserError` for stale results, at the line of a post that uses them."""
    users = {name: f"{one.where}:{one.notebook_line}" for one in reversed(posts) for name in one.notebooks}
    records: Records = {}
    for name in project.notebook_names():
        folder = project.results / name
        profiles = execute.profiles(folder)
        why = next(filter(None, (execute.stale(project, folder / p) for p in profiles)), "")
        if why or not profiles:
            where = users.get(name, project.shown(project.notebooks / f"{name}.py"))
            raise UserError(
                f"{where}: the results of {name} are stale ({why or 'not executed yet'}); make them with: "
                f"analysis execute {name}"
            )
        records[name] = {profile: execute.record(folder / profile) or {} for profile in profiles}
    return records


def _replicated(project: Project) -> dict[str, claims.Found]:
    """The results from machines of other kinds, by kind; stale ones are refused."""
    found: dict[str, claims.Found] = {}
    for name in project.notebook_names():
        for kind, plans in execute.replications(project, name, execute.profiles(project.results / name)).items():
            for plan in plans:
                why = execute.due(plan)
                if why:
                    raise UserError(
                        f"{project.shown(plan.logs)}: the results of {name} from it are stale ({why}); make them with: "
                        f"analysis execute {name}"
                    )
                if execute.record(plan.output):
                    results = _read(project, plan.output / "results.json", name)
                    found.setdefault(kind, {}).setdefault(name, {})[plan.profile] = results
    return found


def _replications(project: Project) -> dict[str, pages.Folders]:
    """All that is published from machines of other kinds, by kind."""
    found: dict[str, pages.Folders] = {}
    for kind in evidence.kinds(project.replications):
        root = project.replications / kind
        found[kind] = {(e, p): root for e in evidence.experiments(root) for p in evidence.profiles(root, e)}
    return found


def _results(project: Project, name: str, profile: str) -> dict[str, Any]:
    return _read(project, project.results / name / profile / "results.json", name)


def _read(project: Project, path: Path, name: str) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{project.shown(path)}: {error}; make it again with: analysis execute {name} --force"
        ) from None


def _origin(project: Project, records: Records, shown: Iterable[tuple[str, str]]) -> str:
    """A sentence on which results of a page, as (notebook, profile), are the reader's own and which the published ones;
    empty where all results of all pages are the published ones."""
    published = project.shown(project.logs)
    own = {(n, p) for n, kept in records.items() for p, record in kept.items() if record["logs"] != published}
    if not own:
        return ""
    kinds: dict[bool, dict[str, list[str]]] = {True: {}, False: {}}
    for name, profile in sorted(set(shown)):
        if profile in records.get(name, {}):
            kinds[(name, profile) in own].setdefault(profile, []).append(name)
    if not kinds[False]:
        return f"Your own results, {text.listed(list(kinds[True]))} profile." if kinds[True] else ""
    if not kinds[True]:
        return f"Published results, {text.listed(list(kinds[False]))} profile: there are none of your own yet."
    named = {
        mine: "; ".join(f"{text.listed(names)} ({profile} profile)" for profile, names in by_profile.items())
        for mine, by_profile in kinds.items()
    }
    return f"Your own results: {named[True]}. Published results: {named[False]}."


def _evidence(project: Project, records: Records) -> dict[tuple[str, str], Path]:
    """The root of the evidence of each (experiment, profile): what the notebooks read, and all published evidence."""
    found: dict[tuple[str, str], Path] = {}
    for record in (record for by_profile in records.values() for record in by_profile.values()):
        root = project.root / record["logs"]
        for experiment in record["experiments"]:
            found[experiment, record["profile"]] = root
        if root == project.logs:
            for experiment in evidence.experiments(root):
                for profile in evidence.profiles(root, experiment):
                    found.setdefault((experiment, profile), root)
    return found
