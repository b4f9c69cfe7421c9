"""The smallest difference of interest: stated once, in nats, for every post.

`SMALLEST` was set from two things. The seeds of one arm scatter by 0.005 to 0.025 nats a character (one standard
deviation, over the laptop experiments), so that a difference much below it could not be told from luck by a handful of
seeds. And a run wins the last 0.02 nats before its best in a tenth to a third of its training steps: whoever finds the
difference too large can buy it off with that much more training. What is smaller is called "no worse" or "neutral",
whatever its interval says of zero. `report` gives both reasons as they are in the experiment at hand.
"""

import math

from analysis.study import stats
from analysis.study.arms import Arm, Arms
from analysis.study.results import Results

SMALLEST = 0.02  # nats a byte of text, which in plain English is a character


def smallest(arms: Arms, split: str = "val", bits: bool = False) -> float:
    """The smallest difference of interest in the unit of an experiment's losses: nats a token, or bits a byte."""
    if bits:
        return SMALLEST / math.log(2)
    return SMALLEST * float((arms.manifest["corpus"].get("bytes_per_token") or {}).get(split, 1.0))


def scatter(arms: Arms, arm: Arm) -> float | None:
    """The standard deviation over seeds of an arm's best validation losses, in nats a token; None below two seeds."""
    best = arms.curves()[arm].min()
    return float(best.std(ddof=1)) if len(best) > 1 else None


def price(arms: Arms, arm: Arm) -> float | None:
    """The share of the steps to its best in which an arm's mean validation loss falls by the last such difference;
    None where it falls by less than that in all."""
    path = arms.curves()[arm].mean(axis=1)
    path = path[path.index <= path.idxmin()]
    reached = stats.crossing(list(path.index), list(path), float(path.min()) + smallest(arms))
    return None if not reached else float(1 - reached / path.index[-1])


def report(results: Results, arms: Arms, arm: Arm, unit: str, *, bits: bool = False, prefix: str = "") -> None:
    """The numbers for a text: the difference itself, how many standard deviations of a seed of `arm` it is, and what
    share of that arm's steps it takes to make it good."""
    spread, cost = scatter(arms, arm), price(arms, arm)
    sigmas = None if not spread else smallest(arms) / spread
    results.number(f"{prefix}interest", smallest(arms, bits=bits), unit, digits=3)
    results.number(f"{prefix}interest-sigmas", sigmas, digits=1, reason="one seed has no spread")
    percent = None if cost is None else 100 * cost
    results.number(f"{prefix}interest-price", percent, "%", digits=0, reason="the loss falls by less than that in all")
