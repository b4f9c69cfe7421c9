"""Baselines that cost nothing, beside the models of an experiment: n-gram counts of the same training text.

    counts = baselines.read(logs, sweep)
    Curves("Validation", "step", "loss", lines=…, levels=counts.levels())      # lines in a figure
    results.table("arms", counts.below(frame, "best validation loss"), caption=f"… {counts.note}")
    counts.report(results, best, "nats")                                       # numbers for the text

Smoothing was tuned on the validation split. Figures and tables show that split, where the models are seen too; numbers
are those of the test split where there is one. Where nothing is counted for a profile, all of this leaves no trace.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.study import stats
from analysis.study.arms import Arms
from analysis.study.results import Results
from runner.evidence import baselines
from runner.evidence.baselines import Baseline, Counted


@dataclass(frozen=True)
class Baselines:
    """What was counted for the text of an experiment; `reported` is the split of the numbers."""

    counted: Counted | None = None
    read: Baseline | None = None  # the longest once more, of as much text as a run reads, where that is less
    tokens_read: int = 0
    reported: str = "val"
    bytes_per_token: Mapping[str, float] = field(default_factory=dict)

    @property
    def each(self) -> Sequence[Baseline]:
        """From uniform on, in ascending order."""
        return self.counted.baselines if self.counted else []

    def loss(self, one: Baseline, split: str = "val", bits: bool = False) -> float:
        """Of a split, in nats a token or in bits a byte."""
        return one.loss[split] / (math.log(2) * self.bytes_per_token[split]) if bits else one.loss[split]

    def levels(self, split: str = "val", bits: bool = False) -> dict[str, float]:
        """The loss of each by name, for a figure."""
        return {one.name: self.loss(one, split, bits) for one in self.each}

    def below(
        self, frame: pd.DataFrame, column: str, bits: bool = False, digits: int = 3, split: str = "val"
    ) -> pd.DataFrame:
        """A table of models with a row for each of them: its name in the first column, its loss on a split under
        `column`, and its counts that are not zero under "parameters", or beside the name where that is no column."""
        if not self.counted:
            return frame
        named = [(one.name, one) for one in self.each]
        if self.read:
            named.append((f"{self.read.name}, first {self.tokens_read:,} {self.unit}", self.read))
        rows = []
        for name, one in named:
            size = f"{one.parameters:,}"
            sized = {"parameters": size} if "parameters" in frame else {}
            label = {frame.columns[0]: name if sized else f"{name}, {size} counts"}
            loss = {column: f"{self.loss(one, split, bits):.{digits}f}"}
            rows.append(dict.fromkeys(frame.columns, "–") | label | sized | loss)
        return pd.concat([frame, pd.DataFrame(rows)], ignore_index=True)

    @property
    def note(self) -> str:
        """What rows and lines of them are, as a sentence to follow others; empty where there are none."""
        if not self.counted:
            return ""
        return (
            f" Uniform to {self.each[-1].name}: interpolated n-gram counts of the training split, "
            f"{self.counted.tokens:,} {self.unit}{self._less}; their parameters are the counts that are not zero, and "
            "their smoothing is tuned on the validation split."
        )

    @property
    def beside(self) -> str:
        """What they score on the validation split in nats a token, as a sentence to follow others; empty where there
        are none."""
        if not self.counted:
            return ""
        scores = ", ".join(f"{one.name} {self.loss(one):.3f}" for one in self.each)
        return f" N-gram counts of the same training text score {scores} on validation."

    def report(self, results: Results, best: Sequence[float], unit: str, bits: bool = False, prefix: str = "") -> None:
        """The numbers for a text: what each scores, how large the longest is, and how the best model, its losses a
        seed on the reported split, stands against it."""
        if not self.counted:
            return
        for one in self.each:
            results.number(f"{prefix}baseline-{one.name}", self.loss(one, self.reported, bits), unit, digits=3)
        if self.read:
            results.number(f"{prefix}baseline-read", self.loss(self.read, self.reported, bits), unit, digits=3)
            results.number(f"{prefix}baseline-read-tokens", self.tokens_read, self.unit)
        against = stats.estimate(np.asarray(best) - self.loss(self.each[-1], self.reported, bits))
        results.number(f"{prefix}baseline-counts", self.each[-1].parameters, "counts")
        results.number(f"{prefix}baseline-tokens", self.counted.tokens, self.unit)
        results.number(f"{prefix}baseline-on-test", int(self.reported == "test"))
        results.estimate(f"{prefix}baseline-best-model", stats.estimate(best), unit, digits=3)
        results.estimate(f"{prefix}baseline-excess", against, unit, digits=3)
        results.number(f"{prefix}baseline-gap", abs(against.mean), unit, digits=3)
        results.number(f"{prefix}baseline-side", against.side())

    @property
    def unit(self) -> str:
        """What the tokens are."""
        tokenizer = self.counted.data.get("tokenizer", "characters") if self.counted else ""
        return tokenizer if tokenizer in ("characters", "bytes") else "tokens"

    @property
    def _less(self) -> str:
        return f", or of its first {self.tokens_read:,}, as many as a run reads" if self.read else ""


def read(logs: str | Path, sweep: Arms) -> Baselines:
    """The baselines of what the arms were trained on; none where they are not there."""
    return of(logs, sweep, sweep.spec)


def of(logs: str | Path, sweep: Arms, spec: Mapping[str, Any]) -> Baselines:
    """The baselines of what the arms with this spec were trained on, where arms have texts of their own."""
    corpus = sweep.manifest["corpus"]
    kept = baselines.read(Path(logs) / sweep.experiment / sweep.profile)
    counted = kept.get(baselines.key_of(dict(spec), corpus["sha256"]))
    if counted is None:
        return Baselines()
    reported = counted.reported if counted.reported in set(sweep.rows.split) else counted.tuned_on
    many = baselines.tokens_read(dict(spec))
    return Baselines(counted, counted.read.get(str(many)), many, reported, corpus.get("bytes_per_token") or {})
