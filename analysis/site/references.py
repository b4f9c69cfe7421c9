"""References: the bibliography of the posts, from one BibTeX file."""

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.build.project import read
from analysis.study import text
from runner.errors import UserError

REQUIRED = ("title", "author", "year", "group", "note", "checked")
OPTIONAL = ("eprint", "url", "journal", "booktitle", "starred", "stated")
KEY = re.compile(r"[a-z]+\d{4}[a-z]*\d*")
OTHERS = "others"  # BibTeX's name for authors that are left out


@dataclass(frozen=True)
class Reference:
    """An entry of the bibliography.

    authors   "Family, Given", or the name of an organisation; the last may be "others"
    group     the heading under which it is listed
    note      why it is listed
    checked   how title, authors and year were checked
    stated    what the reading list gives instead, where it differs
    """

    key: str
    title: str
    authors: tuple[str, ...]
    year: int
    group: str
    note: str
    checked: str
    url: str = ""
    venue: str = ""
    starred: bool = False
    stated: str = ""

    @property
    def label(self) -> str:
        """How posts cite it: `Shazeer 2020`, `Wu and Johnson 2021`, `Vaswani et al. 2017`."""
        families = [name.partition(",")[0] for name in self.authors]
        if len(families) > 2 or OTHERS in families:
            return f"{families[0]} et al. {self.year}"
        return f"{' and '.join(families)} {self.year}"

    @property
    def names(self) -> str:
        """Its authors as the bibliography lists them: `Ashish Vaswani, Noam Shazeer, …`."""
        shown = [" ".join(reversed(name.split(", "))) for name in self.authors if name != OTHERS]
        if OTHERS in self.authors:
            return f"{', '.join(shown)} et al."
        return text.listed(shown)


def load(path: Path, where: str) -> dict[str, Reference]:
    """The entries of a BibTeX file by key, in its order. A `UserError` with file and line for what cannot be."""
    import bibtexparser
    from bibtexparser import middlewares

    try:
        source = read(path, where)
    except FileNotFoundError:
        raise UserError(f"{where} is missing: restore it") from None
    logging.getLogger("bibtexparser").setLevel(logging.CRITICAL)  # what it would say of a faulty entry is said below
    steps = [middlewares.LatexDecodingMiddleware(), middlewares.SeparateCoAuthors()]
    library = bibtexparser.parse_string(source, append_middleware=steps)
    for block in library.failed_blocks:
        said = getattr(block.error, "abort_reason", "") or str(block.error)
        raise UserError(f"{where}:{(block.start_line or 0) + 1}: {said}")
    return {entry.key: _reference(entry, f"{where}:{entry.start_line + 1}") for entry in library.entries}


def _reference(entry: Any, where: str) -> Reference:
    fields = {name: field.value for name, field in entry.fields_dict.items()}
    here = f"{where}: {entry.key}"
    if not KEY.fullmatch(entry.key):
        raise UserError(f"{here}: a key is a family name and a year, such as vaswani2017")
    for name in fields:
        if name not in REQUIRED + OPTIONAL:
            raise UserError(f"{here}: unknown field {name}; {text.known(name, REQUIRED + OPTIONAL)}")
    for name in REQUIRED:
        if not fields.get(name):
            raise UserError(f"{here}: {name} is missing")
    if not re.fullmatch(r"\d{4}", fields["year"]):
        raise UserError(f"{here}: year {fields['year']!r} must be four digits")
    if fields.get("eprint") and fields.get("url"):
        raise UserError(f"{here}: give eprint or url, not both")
    return Reference(
        key=entry.key,
        title=fields["title"],
        authors=tuple(fields["author"]),
        year=int(fields["year"]),
        group=fields["group"],
        note=fields["note"],
        checked=fields["checked"],
        url=f"https://arxiv.org/abs/{fields['eprint']}" if fields.get("eprint") else fields.get("url", ""),
        venue=fields.get("journal", "") or fields.get("booktitle", ""),
        starred=bool(fields.get("starred")),
        stated=fields.get("stated", ""),
    )
