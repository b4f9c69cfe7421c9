"""The ledger: what the sources claim, what would test it, and what came of it.

The ledger holds no verdicts. A claim names the notebook that decides it, or the reason why nothing does yet.
"""

import datetime
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.build.project import read
from analysis.study import text
from analysis.study.results import CLAIM, VERDICTS
from runner.errors import UserError


@dataclass(frozen=True)
class Source:
    """A document that claims something. Its letter begins the ids of its claims."""

    letter: str
    title: str
    credit: str


@dataclass(frozen=True)
class Change:
    """How a verdict came to be another one, or to stand on another rule, after it was known."""

    date: datetime.date
    was: str
    now: str
    why: str


@dataclass(frozen=True)
class Claim:
    """One statement that can be checked. `paper` is the size of its experiment's paper profile, if that is not the
    source's. `ours` says why it is here where the source does not make it: then it is a question of ours."""

    id: str
    says: str
    test: str
    notebook: str = ""
    untested: str = ""
    paper: str = ""
    ours: str = ""
    history: tuple[Change, ...] = ()

    @property
    def anchor(self) -> str:
        """Where it stands on the claims page."""
        return self.id.lower()


@dataclass(frozen=True)
class Ledger:
    """All claims, by source."""

    sources: list[Source]
    claims: dict[str, Claim]

    def of(self, source: Source) -> list[Claim]:
        """The claims of one source, in order."""
        return [claim for claim in self.claims.values() if claim.id.split("-")[0] == source.letter]


def load(path: Path, where: str, notebooks: list[str]) -> Ledger:
    """Read and check the ledger."""
    try:
        data = tomllib.loads(read(path, where))
    except FileNotFoundError:
        raise UserError(f"{where} is missing: restore it") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{where}: {error}") from None
    for key, entries in data.items():
        if key not in ("source", "claim"):
            raise UserError(f"{where}: unknown table {key!r}; {text.known(key, ('source', 'claim'))}")
        if not isinstance(entries, list):
            raise UserError(f"{where}: write [[{key}]] with two brackets, as there are several")
        if not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{where}: write each {key} as a table [[{key}]], not as a list of values")
    sources = [
        _build(Source, entry, f"{where}: source", {"letter", "title", "credit"}) for entry in data.get("source", [])
    ]
    claims: dict[str, Claim] = {}
    for entry in data.get("claim", []):
        here = f"{where}: claim {entry.get('id', '')!r}"
        told = entry.pop("history", [])
        changes = tuple(_change(one, here) for one in told) if isinstance(told, list) else ()
        claim = replace(_build(Claim, entry, here, {"id", "says", "test"}), history=changes)
        if not CLAIM.fullmatch(claim.id):
            raise UserError(f"{here}: an id looks like S0-4")
        if claim.id in claims:
            raise UserError(f"{here} is given twice: rename or remove one")
        if claim.id.split("-")[0] not in {source.letter for source in sources}:
            raise UserError(f"{here}: no [[source]] has the letter {claim.id.split('-')[0]}")
        if bool(claim.notebook) == bool(claim.untested):
            raise UserError(f"{here}: give either notebook, which decides it, or untested, the reason why none does")
        if claim.notebook and claim.notebook not in notebooks:
            raise UserError(f"{here}: unknown notebook {claim.notebook!r}; {text.known(claim.notebook, notebooks)}")
        claims[claim.id] = claim
    return Ledger(sources, claims)


Verdicts = dict[str, dict[str, dict[str, Any]]]  # claim → profile → verdict, the most telling profile first


Found = dict[str, dict[str, dict[str, Any]]]  # notebook → profile → results
DECIDED = ("supported", "refuted")
POINTS = {"supported": 1, "one run agrees": 1, "refuted": -1, "one run disagrees": -1, "inconclusive": 0}


def verdicts(ledger: Ledger, results: Found, where: str, replicated: dict[str, Found] | None = None) -> Verdicts:
    """The verdicts of the notebooks. What is not tested, or needs no evidence, has one under no profile.

    `replicated` are the results from machines of other kinds, by kind. A verdict that stands on runs lists what it is
    on each machine, and what comes out otherwise on another one is not decided.
    """
    found: Verdicts = {}
    for name, by_profile in results.items():
        for result in by_profile.values():
            _check_ids(ledger, name, result["claims"], where)
    for claim in ledger.claims.values():
        if claim.untested:
            found[claim.id] = {"": {"verdict": "not tested", "reason": claim.untested}}
        elif claim.notebook in results:
            for profile, result in results[claim.notebook].items():
                if claim.id not in result["claims"]:
                    raise UserError(
                        f"{where}: notebook {claim.notebook} is to decide {claim.id} and gives no verdict on it: call "
                        "`results.claim` there, or say in the ledger why it is untested"
                    )
                others = [
                    found_there[claim.notebook][profile]
                    for found_there in (replicated or {}).values()
                    if profile in found_there.get(claim.notebook, {})
                ]
                entry = _across(claim.id, result, others)
                said = {**entry, "scope": scope(entry, profile, claim.paper), "machine": machine(result)}
                said |= {"ours": True} if claim.ours else {}
                found.setdefault(claim.id, {})[profile if result["provenance"] else ""] = said
    return {id: _several_first(by_profile) for id, by_profile in found.items()}


def _several_first(by_profile: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same verdicts, those of a single run after the others: a larger size tells less if nothing was repeated."""
    return dict(sorted(by_profile.items(), key=lambda one: one[1]["verdict"].startswith("one run")))


def _across(id: str, result: dict[str, Any], others: list[dict[str, Any]]) -> dict[str, Any]:
    """The verdict of a claim with what it is on each machine; open where they do not agree."""
    leading = result["claims"][id]
    there = [(one, one["claims"][id]) for one in (result, *others) if id in one["claims"]]
    tested = [(one, entry) for one, entry in there if entry["verdict"] != "not tested"]
    if len(there) < 2 or not any(entry.get("basis", "runs") == "runs" for _, entry in tested):
        return leading
    machines = [{"machine": machine(one), **entry} for one, entry in there]
    if leading["verdict"] == "not tested":  # another machine has runs that this one lacks
        where, leading = machine(tested[0][0]), tested[0][1]
        leading = {**leading, "reason": f"on {where}: {leading['reason']}"}
    # What an obstacle keeps open, such as too few seeds for any outcome, did not come out otherwise.
    words = {entry["verdict"] for _, entry in tested if not entry.get("obstacle")}
    if len({POINTS.get(word, word) for word in words}) > 1 and words & set(DECIDED):
        told = "; ".join(f"{m['verdict']} on {m['machine']}" for m in machines)
        why = f"it comes out otherwise on another kind of machine: {told}"
        reason = f"{why}. {leading['reason']}" if leading["reason"] else why
        return {**leading, "verdict": "inconclusive", "reason": reason, "machines": machines}
    return {**leading, "machines": machines}


def machine(result: dict[str, Any]) -> str:
    """What made the runs that results stand on: `AMD EPYC, 2 cores (cpu, float32)`."""
    entries = list(result["provenance"].values())
    facts = ("machines", "devices", "precisions")
    return text.made_on(*(sorted({value for entry in entries for value in entry.get(key, [])}) for key in facts))


SIZES = {"paper": "source’s size", "laptop": "small scale", "smoke": "smoke test"}


def scope(entry: dict[str, Any], profile: str, paper: str = "") -> str:
    """How far a verdict reaches: the size of the runs that it stands on, or that it stands on none. `paper` is the size
    of the paper profile, if that is not the source's."""
    if entry["verdict"] in ("not tested", "remark"):
        return ""
    basis = entry.get("basis", "runs")
    if basis != "runs":
        return basis
    return paper if paper and profile == "paper" else SIZES.get(profile, profile)


def _check_ids(ledger: Ledger, name: str, ids: Iterable[str], where: str) -> None:
    """A notebook decides only the claims that the ledger gives to it."""
    for id in ids:
        if id not in ledger.claims or ledger.claims[id].notebook != name:
            decides = ledger.claims[id].notebook or "none" if id in ledger.claims else ""
            why = f"the ledger says that {decides} decides it" if decides else "the ledger does not hold it"
            raise UserError(f"{where}: notebook {name} gives a verdict on {id}, but {why}")


def _change(entry: Any, where: str) -> Change:
    fields = ("date", "was", "now", "why")
    if not isinstance(entry, dict) or set(entry) != set(fields):
        raise UserError(f"{where}: an entry of history has {', '.join(fields)}, and no more")
    if not isinstance(entry["date"], datetime.date):
        raise UserError(f"{where}: the date of an entry of history must look like 2026-11-24, without quotes")
    for key in ("was", "now"):
        if entry[key] not in VERDICTS:
            raise UserError(f"{where}: unknown verdict {entry[key]!r} in its history; known: {', '.join(VERDICTS)}")
    return Change(**entry)


def _build(kind: type, entry: dict[str, Any], where: str, required: set[str]) -> Any:
    known = set(kind.__dataclass_fields__) - {"history"}
    for key, value in entry.items():
        if key not in known:
            names = known | ({"history"} if kind is Claim else set())
            raise UserError(f"{where}: unknown key {key}; {text.known(key, names)}")
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{where}: {key} must be a text")
    for key in sorted(required - entry.keys()):
        raise UserError(f"{where}: {key} is missing")
    return kind(**{key: re.sub(r"\s+", " ", value).strip() for key, value in entry.items()})
