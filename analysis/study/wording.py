"""Estimates in words, as captions, tables and reasons of verdicts have them. A minus sign is a true one."""

import re
from collections.abc import Sized

from analysis.study.stats import Estimate


def seeds(count: int | Sized) -> str:
    """`1 seed`, `5 seeds`."""
    many = count if isinstance(count, int) else len(count)
    return f"{many} seed{'s' if many > 1 else ''}"


def percent(share: float, digits: int = 0) -> str:
    """A share as a change: `+3%`, `−12%`."""
    return minus(f"{share:+.{digits}%}")


def change(found: Estimate) -> str:
    """An estimated share as a change, with half of its interval: `−4.7% ± 1.2%`."""
    half = found.half_width
    return percent(found.mean, 1) + ("" if half is None else f" ± {half:.1%}")


def speed(share: float, digits: int = 1) -> str:
    """A share as a comparison of speeds: `4.7% slower`."""
    return f"{abs(share):.{digits}%} {'faster' if share > 0 else 'slower'}"


def spread(found: Estimate, digits: int = 1) -> str:
    """An estimated share as a change, with its lowest and highest value instead of an interval: `−5% (−17% to +8%)`."""
    if found.n < 2:
        return percent(found.mean, digits)
    low, high = (percent(end, digits) for end in (min(found.values), max(found.values)))
    return f"{percent(found.mean, digits)} ({low} to {high})"


def cell(found: Estimate, digits: int = 3) -> str:
    """A mean and half of its interval, thousands apart: `1,250 ± 31`."""
    half = found.half_width
    return minus(f"{found.mean:,.{digits}f}" + ("" if half is None else f" ± {half:,.{digits}f}"))


def factor(found: Estimate, digits: int = 2) -> str:
    """A mean of logarithms to base 2 as what they stand for, with its interval: `1.31 (1.10 to 1.56)`."""
    ends = "" if found.interval is None else " ({} to {})".format(*(f"{2**end:,.{digits}f}" for end in found.interval))
    return f"{2**found.mean:,.{digits}f}{ends}"


def findable(found: Estimate, doublings: bool = False, level: float | None = None) -> str:
    """How far from a bar as many seeds would decide; never how many more would decide what these found."""
    least = found.findable(level)
    if least is None:
        return f"one {found.of}, which has no interval"
    shown = f"a factor of {2**least:.2f}" if doublings else f"{least:.3f}"
    return f"{found.n} {found.of}s would find {shown} from the bar four times out of five"


def corrected(many: int) -> str:
    """What to say of intervals that are corrected, to follow "95% intervals"; empty for a single comparison."""
    return f", corrected for {many} comparisons" if many > 1 else ""


def minus(text: str) -> str:
    """Hyphens before numbers as minus signs; those within words stay."""
    return re.sub(r"(?<!\w)-(?=[\d.])", "−", text)


def sentences(*texts: str) -> str:
    """Those of the texts that are not empty, each after a full stop, to follow another sentence."""
    return "".join(f". {text}" for text in texts if text)


def censored(open_ended: int, runs: int) -> str:
    """Why the onset of overfitting is not known, where `open_ended` of so many runs were best at their last evaluation;
    empty where none was."""
    if not open_ended:
        return ""
    return (
        f"{open_ended} of {runs} runs had their best validation loss at the last evaluation, so when they would begin "
        "to overfit is not known"
    )
