"""Rules of verdicts, each once. A rule looks at measures, each with its bar, and gives a verdict that holds both.

    verdict = verdicts.every(Measure("onset, for each doubling of r", onset, wanted=-1, doublings=True))
    results.claim("S0-5", verdict, **verdict.leading(), unit="times the onset", reason=verdict.told())

A rule belongs into a notebook before its runs begin.

A claim that says several things is judged part by part:

    verdict = verdicts.parts({"residual connections": [one], "normalisation": [another]})
    verdict.parts                    # {"residual connections": "refuted", "normalisation": "supported"}

Several measures that can decide one question are corrected for their number, and each keeps the level of the interval
that decided: what has to hold of every measure needs no correction, what any of them may bring about does.

One seed has no interval, so it decides nothing. It can say on which side of its bar the one effect lies at that size,
and how large it is; it cannot say that another seed would lie there too. Such verdicts have words of their own,
"one run agrees" and "one run disagrees", and turn into the others by themselves as further seeds arrive.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from analysis.study import text, wording
from analysis.study.stats import CONFIDENCE, Estimate, estimate, holm_levels, p_values

SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"
AGREES, DISAGREES = "one run agrees", "one run disagrees"  # of one seed, see above
ABOVE, BELOW = 1, -1


@dataclass(frozen=True)
class Measure:
    """One thing that a rule looks at: an estimate over seeds, or a plain number where nothing is estimated.

    `wanted` is the side of the bar on which the claim wants it, 0 where it has none. `doublings` says that the values
    are logarithms to base 2, shown as factors. `bare` says that its interval means nothing, as with seconds of one
    sitting: it decides nothing, and is not given. `levels` are how often the interval may err that decides for the
    claim and the one that decides against it; a rule sets them.
    """

    name: str
    found: Estimate | float
    wanted: int = ABOVE
    bar: float = 0.0
    doublings: bool = False
    bare: bool = False
    levels: tuple[float, float] = (1 - CONFIDENCE, 1 - CONFIDENCE)

    @property
    def side(self) -> int:
        """+1 where it lies on the wanted side of its bar, -1 on the other, 0 where it does not decide; as the rule
        takes it that set its levels."""
        if self.bare:
            return 0
        if not isinstance(self.found, Estimate):
            return (int(self.found > self.bar) - int(self.found < self.bar)) * self.wanted
        favour, against = (self.found.side(self.bar, level) * self.wanted for level in self.levels)
        return 1 if favour == 1 else -1 if against == -1 else 0

    @property
    def corrected(self) -> tuple[float, float] | None:
        """(low, high) of the interval that is corrected for several measures; None where that is the one of 95%."""
        level = min(self.levels)
        return self.found.at(level).interval if isinstance(self.found, Estimate) and level < 1 - CONFIDENCE else None

    def among(self, many: int, supporting: int = 1) -> "Measure":
        """The same as one of `many` measures of which any may refute, and of `supporting` of which any may support."""
        return replace(self, levels=((1 - CONFIDENCE) / supporting, (1 - CONFIDENCE) / many))

    @property
    def lean(self) -> int:
        """The side on which the mean lies, whatever its interval says."""
        mean = self.found.mean if isinstance(self.found, Estimate) else self.found
        return (int(mean > self.bar) - int(mean < self.bar)) * self.wanted

    @property
    def single(self) -> bool:
        """Whether it stands on one seed alone."""
        return isinstance(self.found, Estimate) and self.found.n == 1

    @property
    def seeded(self) -> bool:
        """Whether there is a value for each seed, and not one alone."""
        return isinstance(self.found, Estimate)

    @property
    def effects(self) -> list[float]:
        """The value of each seed, or the one there is."""
        return list(self.found.values) if isinstance(self.found, Estimate) else [self.found]

    def told(self) -> str:
        """In words, with what as many seeds would have found where these do not decide."""
        if not isinstance(self.found, Estimate):
            shown = f"{self.found:g}" if float(self.found).is_integer() else f"{self.found:.3g}"
            return f"{self.name}: {wording.minus(shown)}"
        if self.bare:
            mean = self.found.mean
            return wording.minus(f"{self.name}: " + (f"× {2**mean:.2f}" if self.doublings else f"{mean:.3g}"))

        def shown(found: Estimate) -> str:
            return wording.minus(f"× {wording.factor(found)}" if self.doublings else str(found))

        told = f"{wording.minus(self.name)}: {shown(self.found)}"
        if self.side:
            return told
        if self.corrected and self.found.side(self.bar):  # the interval of 95% alone would decide it
            told += f", corrected for several measures {shown(self.found.at(min(self.levels)))}"
        if self.found.tied:
            return f"{told} (all {self.found.n} alike, so that their scatter is unknown)"
        return f"{told} ({wording.findable(self.found, self.doublings, self.levels[0])})"


@dataclass(frozen=True)
class Verdict:
    """A word, the rule that gave it, and what the rule looked at."""

    word: str
    rule: str
    measures: tuple[Measure, ...] = field(default=())
    parts: Mapping[str, str] = field(default_factory=dict)  # what a claim consists of → the verdict on that alone
    obstacle: str = ""  # what keeps it open whatever its measures say

    def leading(self) -> dict[str, Any]:
        """Effect, interval and n of the first measure, for `Results.claim`; a factor where it counts doublings, and no
        interval where that means nothing."""
        first = self.measures[0]
        if not isinstance(first.found, Estimate):
            return {"effect": first.found, "interval": None, "n": None}
        interval = None if first.bare else first.found.interval
        if not first.doublings:
            return {"effect": first.found.mean, "interval": interval, "n": first.found.n}
        ends = interval and (2 ** interval[0], 2 ** interval[1])
        return {"effect": 2**first.found.mean, "interval": ends, "n": first.found.n}

    def told(self) -> str:
        """Each measure in words."""
        return "; ".join(measure.told() for measure in self.measures)

    def unless(self, obstacle: str) -> "Verdict":
        """Inconclusive where something stands in the way; `obstacle` says what, and is empty where nothing does."""
        if not obstacle:
            return self
        return replace(self, word=INCONCLUSIVE, rule=f"{self.rule} Inconclusive, as {obstacle}.", obstacle=obstacle)

    def undecided(self) -> "Verdict":
        """The same with measures that decide nothing."""
        return replace(self, word=INCONCLUSIVE, measures=tuple(replace(one, bare=True) for one in self.measures))


def every(*measures: Measure, rule: str = "") -> Verdict:
    """Each measure must lie on its wanted side; one on the other side refutes, corrected for there being several that
    could. With a margin as the bar this is a test of "no worse than", with two bars one of "within"."""
    corrected = tuple(measure.among(_tested(measures)) for measure in measures)
    rule = rule or f"Supported if {_sides(measures)}; refuted if one lies wholly beyond its bar."
    return Verdict(_all(corrected), f"{rule.removesuffix('.')}{_corrected(measures)}.", corrected)


def parts(claimed: Mapping[str, Sequence[Measure]], *, hedged: Sequence[str] = ()) -> Verdict:
    """A claim that says several things, part → its measures: every part has to hold, and with it each measure. Of a
    part that is `hedged`, that something *can* be so, one measure is enough, and all of them have to lie on the other
    side to refute it. What refutes is corrected for all measures of the claim, what supports a hedged part for those of
    the part."""
    many = _tested([one for measures in claimed.values() for one in measures])
    tested = {
        name: [one.among(many, _tested(measures) if name in hedged else 1) for one in measures]
        for name, measures in claimed.items()
    }
    words = {name: (_any if name in hedged else _all)(measures) for name, measures in tested.items()}
    flat = tuple(measure for measures in tested.values() for measure in measures)
    told = "".join(f" For “{name}” one measure is enough, and it takes all to refute it." for name in hedged)
    return Verdict(joined(words.values()), every(*flat).rule + told, flat, words)


def joined(words: Collection[str]) -> str:
    """The word of a claim whose parts, all of which have to hold, have these."""
    for word in (REFUTED, DISAGREES, INCONCLUSIVE, AGREES):
        if word in words:
            return word
    return SUPPORTED


def _any(measures: Sequence[Measure]) -> str:
    """The word where one of some measures on its wanted side is enough."""
    if any(measure.single for measure in measures):
        return AGREES if any(measure.lean == 1 for measure in measures) else DISAGREES
    sides = {measure.side for measure in measures}
    return SUPPORTED if 1 in sides else REFUTED if sides == {-1} else INCONCLUSIVE


def _all(measures: Sequence[Measure]) -> str:
    """The word where each of some measures has to lie on its wanted side."""
    if any(measure.single for measure in measures):
        return AGREES if all(measure.lean == 1 for measure in measures) else DISAGREES
    sides = [measure.side for measure in measures]
    return REFUTED if -1 in sides else SUPPORTED if 0 not in sides else INCONCLUSIVE


def some(*measures: Measure, rule: str = "") -> Verdict:
    """One measure must lie on its wanted side and none on the other, corrected for there being several; refuted is the
    reverse."""
    many = _tested(measures)
    measures = tuple(measure.among(many, many) for measure in measures)
    sides = {measure.side for measure in measures}
    word = SUPPORTED if 1 in sides and -1 not in sides else REFUTED if -1 in sides and 1 not in sides else INCONCLUSIVE
    if any(measure.single for measure in measures):
        leans = {measure.lean for measure in measures}
        word = AGREES if 1 in leans and -1 not in leans else DISAGREES
    said = (
        "Supported if the interval of at least one measure lies wholly on its wanted side of the bar and none on the "
    )
    return Verdict(word, rule or f"{said}other{_corrected(measures)}; refuted if it is the reverse.", measures)


def agreed(leading: Verdict, others: Sequence[Verdict], condition: str) -> Verdict:
    """The word of `leading` where the others, the same question asked otherwise, give it too; else nothing is decided.
    `condition` says in words how they differ."""
    same = all(other.word == leading.word for other in others)
    single = leading.word in (AGREES, DISAGREES)
    word = leading.word if same else DISAGREES if single else INCONCLUSIVE
    measures = tuple(measure for verdict in (leading, *others) for measure in verdict.measures)
    rule = f"{leading.rule} The same has to come out {condition}; inconclusive where it does not."
    return Verdict(word, rule, measures)


def fact(holds: bool, rule: str, *measures: Measure) -> Verdict:
    """What needs no estimate: the rule holds, or it does not. One that says only what supports refutes otherwise."""
    if "refuted if" not in rule.lower():
        rule = f"{rule.removesuffix('.')}; refuted if not."
    return Verdict(SUPPORTED if holds else REFUTED, rule, measures)


def near(values: Mapping[str, float], promised: float, room: float) -> Verdict:
    """Every computed number is what was promised, to within `room`, a share of it."""
    subject = "this is" if len(values) == 1 else "all of these are"
    rule = (
        f"Supported if {subject} within {room:.0%} of the promised {text.number(promised)}, refuted if not: "
        f"{', '.join(values)}."
    )
    holds = all(abs(value - promised) <= room * abs(promised) for value in values.values())
    return fact(holds, rule, *(Measure(name, value, 0, promised) for name, value in values.items()))


def said(sides: Sequence[int], rule: str, *, always: bool) -> Verdict:
    """What documents say on a claim, +1 for it and -1 against it. `always` is whether the claim is that it is so
    throughout: then one that speaks against it refutes, and else one that speaks for it supports."""
    found, against = sides.count(1), sides.count(-1)
    if always:
        word = REFUTED if against else SUPPORTED if found else INCONCLUSIVE
    else:
        word = SUPPORTED if found else REFUTED if against else INCONCLUSIVE
    counted = (Measure("documents that speak for it", found, 0), Measure("documents that speak against it", against, 0))
    return Verdict(word, rule, counted)


def all_or_none(flags: Sequence[bool], rule: str, *measures: Measure, by_seed: bool = False) -> Verdict:
    """Supported where all hold, refuted where none does. Of flags `by_seed`, a single one decides nothing."""
    if by_seed and len(flags) == 1:
        return Verdict(AGREES if flags[0] else DISAGREES, rule, measures)
    return Verdict(SUPPORTED if all(flags) else INCONCLUSIVE if any(flags) else REFUTED, rule, measures)


@dataclass(frozen=True)
class Stepdown:
    """Several comparisons by Holm's step-down: how many stand as claimed, how many the other way, which are open, and
    the level at which each was tested."""

    right: int
    wrong: int
    rest: list[Estimate]
    levels: list[float] = field(default_factory=list)

    def verdict(self, asked: int, rule: str, *measures: Measure) -> Verdict:
        """Supported where all that was asked stands as claimed; one that stands the other way refutes. `measures` are
        those of the samples, in order."""
        word = REFUTED if self.wrong else SUPPORTED if self.right == asked else INCONCLUSIVE
        return Verdict(word, rule, self.tested(measures))

    def tested(self, measures: Sequence[Measure]) -> tuple[Measure, ...]:
        """The measures of the samples, each with the level at which it was tested."""
        return tuple(replace(one, levels=(at, at)) for one, at in zip(measures, self.levels, strict=False))


def stepdown(samples: Sequence[Sequence[float]], wanted: int, level: float = 1 - CONFIDENCE) -> Stepdown:
    """Test each sample's mean against 0, corrected for testing them all; `wanted` is the sign that is claimed."""
    p = p_values(samples)
    levels = holm_levels(p, level)
    stands = [one <= at for one, at in zip(p, levels, strict=True)]
    found = [estimate(sample) for sample in samples]
    decided = [one.mean * wanted for one, stood in zip(found, stands, strict=True) if stood]
    rest = [one for one, stood in zip(found, stands, strict=True) if not stood]
    return Stepdown(sum(mean > 0 for mean in decided), sum(mean < 0 for mean in decided), rest, levels)


def _tested(measures: Sequence[Measure]) -> int:
    """How many of the measures have an interval, and so can err; one at least."""
    return max(1, sum(isinstance(measure.found, Estimate) for measure in measures))


def _corrected(measures: Sequence[Measure]) -> str:
    many = _tested(measures)
    return f", in an interval that is corrected for {many} comparisons" if many > 1 else ""


def _sides(measures: Sequence[Measure]) -> str:
    wanted = {measure.wanted for measure in measures}
    where = {ABOVE: "above", BELOW: "below"}.get(wanted.pop(), "") if len(wanted) == 1 else ""
    whose = "the interval" if len(measures) == 1 else "the interval of every measure"
    return f"{whose} lies wholly {where} its bar" if where else f"{whose} lies wholly on its wanted side of the bar"
