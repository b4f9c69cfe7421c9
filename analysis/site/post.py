"""Posts: front matter, and prose with results included by name.

A post is a Jinja2 template that may call:

    {{ number("best-ratio") }}  {{ table("ratios") }}  {{ figure("loss") }}  {{ claim("S0-4") }}
    {{ claim("S0-4", brief=True) }}  {{ number("best-loss", digits=1) }}  {{ forest() }}
    {% if verdict("S0-4") == "supported" %}   {% if value("best-ratio") < 4 %}   {% if profile == "paper" %}
    {{ provenance.machines | join(", ") }}    {% if has("number-name") %}
    {{ parts("S4-20", "refuted") }}        which parts of a claim that says several things have this verdict
    {{ runs() }}                           how many runs the results of the post's notebooks stand on
    {{ agreement("paper", "laptop") }}     a table of the claims that have a verdict in both profiles
    {{ cite("vaswani2017") }}              a link to the entry of analysis/references.bib with that key
    {% call fold("In numbers") %} … {% endcall %}    what a reader may open, such as a table

A notebook has results for each published profile of its experiments. A post is written for one of them, `profile`: the
largest of its first notebook. A name is looked up in that profile, or in the largest of a notebook that lacks it; the
arguments `profile` and `notebook` override this. Where several notebooks have a name, `notebook` is required:

    {% if published("mlp-ratio", "paper") %} {{ number("onset-wide", profile="laptop") }} {% endif %}
    {% if profile_of("web-ratio") == "paper" %}    {{ number("seeds", notebook="three-x") }}
"""

import datetime
import itertools
import math
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.build.evidence import PREFERRED
from analysis.build.project import Project, read
from analysis.site import forest, markup, mathml
from analysis.site.claims import Found, machine
from analysis.site.references import Reference
from analysis.study import text
from analysis.study.results import KEBAB
from runner.errors import UserError

KEYS = ("title", "date", "emoji", "summary", "post_published", "notebook", "tags", "pin")
REQUIRED = KEYS[:5]
WORDS_A_MINUTE = 230
# What the reading time leaves out: figures and tables, and then formulas, code, and what stands behind a fold, which
# may hold figures that have folds of their own.
NOT_READ = (
    r'<figure.*?</figure>|<div class="data-table[^"]*".*?</div>',
    r"<details.*?</details>|<math.*?</math>|```.*?```|<[^>]*>|\{[^}]*\}",
)


@dataclass(frozen=True)
class Post:
    """The source of a post."""

    slug: str
    where: str
    title: str
    date: datetime.date
    emoji: str
    summary: str
    published: bool
    notebooks: list[str]
    tags: list[str]
    body: str  # with empty lines in place of the front matter, so that line numbers are those of the file
    notebook_line: int = 1
    pin: bool = False  # whether it comes before the others, whatever their dates

    @property
    def order(self) -> tuple[bool, datetime.date, str]:
        """The sort key of the index, in descending order: pinned posts, then the newest."""
        return self.pin, self.date, self.slug


@dataclass
class Sources:
    """The results that posts can include: by notebook and profile, and verdicts by claim and profile, the largest
    profile first."""

    results: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    verdicts: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    claims: dict[str, str] = field(default_factory=dict)  # the text of each claim
    deciding: dict[str, str] = field(default_factory=dict)  # the notebook that decides each claim
    references: dict[str, Reference] = field(default_factory=dict)  # by key
    replicated: dict[str, Found] = field(default_factory=dict)  # results from machines of other kinds, by kind


@dataclass(frozen=True)
class Rendered:
    """A post as Markdown, the claims that it discusses, the keys of the references that it cites, its reading time in
    minutes, and the results that it shows, as (notebook, profile)."""

    markdown: str
    claims: list[str]
    minutes: int
    cited: list[str] = field(default_factory=list)
    shown: list[tuple[str, str]] = field(default_factory=list)


class _Fault(UserError):
    """A post names a result that does not exist. Its line is found from the traceback."""


def load(path: Path, where: str) -> Post:
    """Read a post. Raises a `UserError` with the line of an error in its front matter."""
    source = read(path, where)
    front, body, lines = _split(source, where)
    for key in front:
        if key not in KEYS:
            raise UserError(
                f"{where}:{lines.get(key, 1)}: unknown key {key} in the front matter; {text.known(str(key), KEYS)}"
            )
    for key in REQUIRED:
        if front.get(key) in (None, ""):
            raise UserError(f"{where}:1: the front matter has no {key}")
    for key in ("post_published", "pin"):
        if not isinstance(front.get(key, False), bool):
            raise UserError(f"{where}:{lines.get(key, 1)}: {key} must be true or false")
    notebooks, tags = front.get("notebook") or [], front.get("tags") or []
    for key, value in (("notebook", notebooks), ("tags", tags)):
        if not isinstance(value, str) and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise UserError(f"{where}:{lines.get(key, 1)}: {key} must be a name or a list of names, not {value!r}")
    return Post(
        path.parent.name,
        where,
        str(front["title"]).strip(),
        _date(front["date"], f"{where}:{lines.get('date', 1)}"),
        str(front["emoji"]),
        re.sub(r"\s+", " ", str(front["summary"])).strip(),
        front["post_published"],
        [notebooks] if isinstance(notebooks, str) else list(notebooks),
        [tags] if isinstance(tags, str) else list(tags),
        body,
        lines.get("notebook", 1),
        front.get("pin", False),
    )


def every(project: Project) -> list[Post]:
    """All posts of a project, pinned ones first, then the newest."""
    found = []
    for path in sorted(project.posts.glob("*/index.md")):
        where = project.shown(path)
        if not KEBAB.fullmatch(path.parent.name):
            raise UserError(
                f"{where}: the folder's name is the post's address: rename it to lower-case words joined by hyphens"
            )
        found.append(load(path, where))
    return sorted(found, key=lambda one: one.order, reverse=True)


def render(post: Post, sources: Sources) -> Rendered:
    """The post as Markdown, with its results included. Raises a `UserError` with the line of an unknown name."""
    for name in post.notebooks:
        if name not in sources.results:
            raise UserError(
                f"{post.where}:{post.notebook_line}: unknown notebook {name!r}; {text.known(name, sources.results)}"
            )
    names = _Names(post, sources, "../../")
    body = fill(post.body, post.where, names.context(), sources)
    read = body
    for pattern in NOT_READ:
        read = re.sub(pattern, " ", read, flags=re.S)
    minutes = max(1, math.ceil(len(read.split()) / WORDS_A_MINUTE))
    return Rendered(body, names.claims, minutes, names.cited, list(names.shown))


def fill(body: str, where: str, context: dict[str, Any], sources: Sources | None = None) -> str:
    """Render a template (undefined names are errors), and then its formulas as MathML. Claims, references and profiles
    that `sources` lack are errors in branches that are not taken, too: which one is depends on the results. Raises a
    `UserError` with file and line."""
    import jinja2
    import jinja2.meta

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False)
    try:
        tree = environment.parse(body, filename=where)
        _refuse_undeclared(environment, tree, where, context)
        _refuse_misspelt(tree, where, sources or Sources())
        code = environment.compile(body, filename=where)
        filled = jinja2.Template.from_code(environment, code, dict(context)).render()
    except jinja2.TemplateSyntaxError as error:
        raise UserError(f"{where}:{error.lineno}: {_first_line(error.message or 'syntax error')}") from None
    except UserError as error:
        if not isinstance(error, _Fault):
            raise
        raise UserError(f"{where}:{_line(error, where)}: {error}") from None
    except Exception as error:  # such as an undefined attribute, or the sum of a text and a number
        raise UserError(f"{where}:{_line(error, where)}: {_first_line(error)}") from None
    try:
        return mathml.convert(filled).lstrip("\n")
    except UserError as error:
        formula = re.search(r"\$(.+)\$", str(error))
        at = next((n for n, row in enumerate(body.splitlines(), 1) if formula and formula[1][:20] in row), None)
        raise UserError(f"{where}{f':{at}' if at else ''}: {error}") from None


class _Names:
    """The functions that one post may call. Each looks up a name; the error for an unknown one suggests known ones."""

    def __init__(self, post: Post, sources: Sources, up: str) -> None:
        self.post, self.sources, self.up = post, sources, up
        self.claims: list[str] = []
        self.cited: list[str] = []
        self.anchors: list[str] = []  # of figures
        self.shown: dict[tuple[str, str], None] = {}
        self.usual = next(iter(sources.results[post.notebooks[0]]), "") if post.notebooks else ""

    def context(self) -> dict[str, Any]:
        """The variables and functions of the template."""
        calls: list[Callable[..., Any]] = [
            self.number,
            self.value,
            self.table,
            self.figure,
            self.claim,
            self.forest,
            self.verdict,
            self.parts,
            self.runs,
            self.agreement,
            self.cite,
            self.fold,
            self.has,
            self.published,
            self.profile_of,
            self.elsewhere,
        ]
        context: dict[str, Any] = {call.__name__: call for call in calls}
        shown = [self._results(n, "") or {} for n in self.post.notebooks]
        entries = [entry for results in shown for entry in results["provenance"].values()]
        if entries:
            context["profile"] = entries[0]["profile"]
            context["provenance"] = entries[0]
        return context

    def number(
        self, name: str, digits: int | None = None, interval: bool = False, profile: str = "", notebook: str = ""
    ) -> str:
        """A number as text; with `interval`, followed by its confidence interval."""
        return markup.number(self._find("number", name, profile, notebook).entry, digits, interval)

    def value(self, name: str, profile: str = "", notebook: str = "") -> Any:
        """The value of a number, for conditions."""
        return self._find("number", name, profile, notebook).entry["value"]

    def has(self, name: str, profile: str = "", notebook: str = "") -> bool:
        """Whether there is a number of this name that has a value."""
        results = [self._results(n, profile) for n in self._named(notebook)]
        return any(r is not None and r["numbers"].get(name, {}).get("value") is not None for r in results)

    def published(self, notebook: str, profile: str) -> bool:
        """Whether a notebook has results of a profile."""
        self._named(notebook)
        return self._results(notebook, profile) is not None

    def profile_of(self, notebook: str) -> str:
        """The profile in which a notebook's names are looked up in this post by default."""
        self._named(notebook)
        found = _of_profile(self.sources.results[notebook], "", self.usual)
        return found[0] if found else ""

    def elsewhere(self, name: str, profile: str = "", notebook: str = "") -> list[dict[str, Any]]:
        """A number on machines of other kinds: for each of which there is evidence its `machine`, the `value`, and the
        `text`."""
        found = self._find("number", name, profile, notebook)
        there = [kind.get(found.notebook, {}).get(found.profile) for kind in self.sources.replicated.values()]
        return [
            {"machine": machine(one), "value": entry["value"], "text": markup.number(entry, None, False)}
            for one in there
            if one and (entry := one["numbers"].get(name))
        ]

    def table(self, name: str, profile: str = "", notebook: str = "") -> str:
        """A table as Markdown."""
        return markup.table(self._find("table", name, profile, notebook).entry)

    def figure(self, name: str, profile: str = "", notebook: str = "") -> str:
        """A figure with its provenance."""
        found = self._find("figure", name, profile, notebook)
        experiment, known = found.entry["experiment"], found.results["provenance"]
        if experiment and experiment not in known:
            raise _Fault(f"figure {name!r} reads {experiment!r}, of which {found.notebook} has no provenance")
        sources = {experiment: known[experiment]} if experiment else known
        provenance = markup.provenance(sources, found.notebook, self.up)
        id = f"{name}-{profile}" if profile else name
        if id in self.anchors:  # of another notebook
            id = f"{id}-{found.notebook}"
        self.anchors.append(id)
        return markup.figure(name, f"{found.notebook}/{found.profile}", found.entry, provenance, self.up, id)

    def claim(self, id: str, brief: bool = False, profile: str = "") -> str:
        """A claim with its verdict, or with `brief` only the verdict's badge. The first of a claim is what the ledger
        links to. Where no profile is asked for, verdicts that tell more and are not the same stand beside it."""
        entry = self._verdict(id, profile)
        anchor = "" if id in self.claims else f"claim-{id.lower()}"
        if anchor:
            self.claims.append(id)
        says = "" if brief else self.sources.claims.get(id, "")
        others = [] if profile else self._more_telling(id, entry)
        return markup.verdict(id, entry, f"{self.up}claims.md#{id.lower()}", anchor, says, others)

    def forest(self) -> str:
        """The effects behind all verdicts that the post's notebooks give on runs, against their bars."""
        chosen = [self._results(name, "") or {"claims": {}} for name in self.post.notebooks]
        for name in self.post.notebooks:
            self._show(name, self.profile_of(name))
        decided = {id: entry for results in chosen for id, entry in results["claims"].items()}
        judged = {id: self._verdict(id, "") for id in decided}  # with what other machines say of it
        on_runs = [
            (id, entry | {"verdict": judged[id]["verdict"], "others": self._more_telling(id, judged[id])})
            for id, entry in decided.items()
            if entry.get("basis") == "runs"
        ]
        return forest.forest(sorted(on_runs, key=lambda one: text.natural(one[0])), self.up)

    def verdict(self, id: str, profile: str = "") -> str:
        """The verdict of a claim as text, such as "supported", for conditions."""
        return self._verdict(id, profile)["verdict"]

    def parts(self, id: str, verdict: str) -> str:
        """The parts of a claim that have this verdict, for a sentence: "one, two and three"; empty where none has."""
        names = [name for name, word in self._verdict(id, "").get("parts", {}).items() if word == verdict]
        return text.listed(names)

    def runs(self) -> str:
        """How many runs the results of the post's notebooks stand on, in the profiles that it shows by default."""
        found = {
            (experiment, entry["profile"], run["name"])
            for name in self.post.notebooks
            for experiment, entry in (self._results(name, "") or {"provenance": {}})["provenance"].items()
            for run in entry["runs"]
        }
        return text.count(len(found), "run")

    def agreement(self, first: str, second: str) -> str:
        """The claims of the post's notebooks that have a verdict in both profiles: each verdict, and whether they
        point the same way."""
        rows = []
        for by_profile in (self.sources.results[name] for name in self.post.notebooks):
            both = {profile: by_profile.get(profile, {}).get("claims", {}) for profile in (first, second)}
            rows += [
                (
                    id,
                    self.sources.claims.get(id, ""),
                    f"{self.up}claims.md#{id.lower()}",
                    # That of the ledger has its scope, and what other machines say of it.
                    *(self.sources.verdicts.get(id, {}).get(profile, both[profile][id]) for profile in both),
                )
                for id in both[first]
                if id in both[second]
            ]
        if not rows:
            raise _Fault(f"no claim has a verdict both in profile {first!r} and in profile {second!r}")
        return markup.agreement(sorted(rows, key=lambda row: text.natural(row[0])), (first, second))

    def cite(self, key: str) -> str:
        """A reference by its key, as a link to its entry: Vaswani et al. 2017."""
        if key not in self.sources.references:
            raise _Fault(f"unknown reference {str(key)!r}; {text.known(str(key), self.sources.references)}")
        if key not in self.cited:
            self.cited.append(key)
        return markup.citation(self.sources.references[key].label, f"{self.up}references.md#{key}")

    def fold(self, title: str, caller: Callable[[], str]) -> str:
        """What the block holds, behind a title that opens it."""
        return markup.fold(title, caller())

    def _verdict(self, id: str, profile: str) -> dict[str, Any]:
        if id not in self.sources.verdicts:
            raise _Fault(f"unknown claim {id!r}; {text.known(str(id), self.sources.verdicts)}")
        own = any(id in r["claims"] for name in self.post.notebooks for r in self.sources.results[name].values())
        found = _of_profile(self.sources.verdicts[id], profile, self.usual if own else "")
        if found is None:
            raise _Fault(f"claim {id!r} has no verdict of profile {profile!r}; {_available(self.sources.verdicts[id])}")
        self._show(self.sources.deciding.get(id, ""), found[0])
        return found[1]

    def _show(self, notebook: str, profile: str) -> None:
        if notebook and profile:
            self.shown[notebook, profile] = None

    def _more_telling(self, id: str, shown: dict[str, Any]) -> list[dict[str, Any]]:
        """The verdicts on a claim that tell more than the one shown, such as those of a larger size, and differ."""
        telling = itertools.takewhile(lambda one: one is not shown, self.sources.verdicts[id].values())
        return [one for one in telling if one["verdict"] != shown["verdict"]]

    def _named(self, notebook: str) -> list[str]:
        """The notebooks of the front matter, or only `notebook` if it is given: any, as a post may quote another's."""
        if notebook and notebook not in self.sources.results:
            raise _Fault(f"unknown notebook {notebook!r}; {text.known(notebook, self.sources.results)}")
        return [notebook] if notebook else self.post.notebooks

    def _results(self, notebook: str, profile: str) -> dict[str, Any] | None:
        """The results of a notebook in a profile, by default the one of `_of_profile`; None where it lacks that
        profile."""
        found = _of_profile(self.sources.results[notebook], profile, self.usual)
        return found[1] if found else None

    def _find(self, kind: str, name: str, profile: str, notebook: str) -> "_Found":
        if not self.post.notebooks:
            raise _Fault(f"{kind} {name!r}: the front matter names no notebook")
        kinds, named = f"{kind}s", self._named(notebook)
        chosen = {n: _of_profile(self.sources.results[n], profile, self.usual) for n in named}
        holders = [_Found(n, *one, one[1][kinds][name]) for n, one in chosen.items() if one and name in one[1][kinds]]
        if len(holders) == 1:
            self._show(holders[0].notebook, holders[0].profile)
            return holders[0]
        if holders:
            names = [found.notebook for found in holders]
            raise _Fault(
                f"{kind} {name!r} is given by {' and by '.join(names)}: rename one, or name the notebook: "
                f'notebook="{names[0]}"'
            )
        elsewhere = [n for n in named if any(name in results[kinds] for results in self.sources.results[n].values())]
        if profile and elsewhere:
            raise _Fault(
                f"{kind} {name!r} does not exist in profile {profile!r} of {elsewhere[0]}; "
                f"{_available(self.sources.results[elsewhere[0]])}"
            )
        names = {known for one in chosen.values() if one for known in one[1][kinds]}
        raise _Fault(f"unknown {kind} {str(name)!r}; {text.known(str(name), names)}")


@dataclass(frozen=True)
class _Found:
    """A result, and the notebook and profile that it comes from."""

    notebook: str
    profile: str
    results: dict[str, Any]
    entry: dict[str, Any]


def _of_profile(by_profile: dict[str, dict[str, Any]], profile: str, usual: str) -> tuple[str, dict[str, Any]] | None:
    """A profile and its results: `profile`, else the `usual` one, else the largest; None where `profile` is missing.
    Results that read no evidence are the same in every profile."""
    first, results = next(iter(by_profile.items()))
    if first == "" or results.get("provenance") == {}:
        return first, results
    chosen = profile or (usual if usual in by_profile else first)
    return (chosen, by_profile[chosen]) if chosen in by_profile else None


def _available(by_profile: dict[str, Any]) -> str:
    return f"there are: {', '.join(by_profile)}"


def _split(source: str, where: str) -> tuple[dict[str, Any], str, dict[str, int]]:
    """Split a post into front matter, body, and the line of each key."""
    import yaml

    match = re.match(r"---[ \t]*\n(.*?\n)---[ \t]*(?:\n|\Z)", source, re.S)
    if not match:
        raise UserError(f"{where}:1: no front matter; a post begins with --- and {', '.join(REQUIRED)}")
    try:
        front = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise UserError(f"{where}:{mark.line + 2 if mark else 1}: {getattr(error, 'problem', error)}") from None
    except ValueError as error:  # such as 2025-02-30
        raise UserError(f"{where}:1: the front matter: {error}") from None
    if not isinstance(front, dict):
        raise UserError(f"{where}:1: the front matter must be lines of key: value")
    lines = {row.split(":")[0]: n for n, row in enumerate(match[1].splitlines(), 2) if row[:1].strip()}
    return front, "\n" * match[0].count("\n") + source[match.end() :], lines


def _date(value: Any, where: str) -> datetime.date:
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    try:
        return datetime.date.fromisoformat(str(value).replace("/", "-"))
    except ValueError:
        raise UserError(f"{where}: date {value!r} must look like 2026-11-24") from None


def _refuse_undeclared(environment: Any, tree: Any, where: str, context: dict[str, Any]) -> None:
    """Raise a `UserError` for an undefined name, also in a branch that is not taken."""
    import jinja2.meta
    import jinja2.nodes

    undeclared = jinja2.meta.find_undeclared_variables(tree) - set(context) - set(environment.globals)
    for node in tree.find_all(jinja2.nodes.Name):
        if node.name in undeclared:
            raise UserError(f"{where}:{node.lineno}: unknown name {node.name!r}; {text.known(node.name, context)}")


def _refuse_misspelt(tree: Any, where: str, sources: Sources) -> None:
    """Raise a `UserError` where a verdict or a profile is compared with a word that none can be, which would always be
    false, and for an unknown claim, reference or profile in a branch that is not taken."""
    from jinja2 import nodes

    def called(node: Any) -> str:
        return node.node.name if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) else ""

    def is_profile(node: Any) -> bool:
        return called(node) == "profile_of" or (isinstance(node, nodes.Name) and node.name == "profile")

    words: dict[str, list[Any]] = {"verdict": [], "profile": [], "claim": [], "reference": []}
    for node in tree.find_all(nodes.Compare):
        sides = [node.expr, *(operand.expr for operand in node.ops)]
        for kind, is_one in (("verdict", lambda side: called(side) == "verdict"), ("profile", is_profile)):
            if any(is_one(side) for side in sides):
                words[kind] += [side for side in sides if not is_one(side)]
    for call in tree.find_all(nodes.Call):
        words["profile"] += [keyword.value for keyword in call.kwargs if keyword.key == "profile"]
        for kind, functions, place in (
            ("verdict", ("parts",), 1),
            ("profile", ("published",), 1),
            ("claim", ("claim", "verdict", "parts"), 0),
            ("reference", ("cite",), 0),
        ):
            if called(call) in functions and len(call.args) > place:
                words[kind].append(call.args[place])
    profiles = {*PREFERRED, *(profile for by_profile in sources.results.values() for profile in by_profile), ""}
    known = {"verdict": markup.MARKS, "profile": profiles, "claim": sources.verdicts, "reference": sources.references}
    for kind, found in words.items():
        for node in found:
            try:
                value = node.as_const()
            except nodes.Impossible:  # known only when the page is filled
                continue
            for word in value if isinstance(value, tuple | list) else (value,):
                if word not in known[kind]:
                    unknown = f"no {kind} is" if kind in ("verdict", "profile") else f"unknown {kind}"
                    raise UserError(f"{where}:{node.lineno}: {unknown} {word!r}; {text.known(str(word), known[kind])}")


def _line(error: BaseException, where: str) -> int:
    """The line of the post that raised an exception: Jinja2's frames have the line numbers of the template."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == where]
    return frames[-1].lineno or 1 if frames else 1


def _first_line(error: Any) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
