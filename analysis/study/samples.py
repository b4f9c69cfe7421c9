"""What samples at several temperatures say of a model, and held-out text measured alike.

drawn = Samples.of(runs)                         # seed → run
drawn.pooled("repeated-4", 0.8)                  # a value a text: an interval over texts, of the models there are
drawn.by_seed("repeated-4", 0.8, 1.0)            # a value a seed, the mean over its texts
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.study import stats
from analysis.study.stats import Estimate
from runner.data.tokenizers.tokenizer import Tokenizer
from runner.evidence.log import Run

HELD_OUT = "held-out"
ENDED = "<|endoftext|>"  # what stands between stories
Kind = float | str  # a temperature, or HELD_OUT


@dataclass(frozen=True)
class Samples:
    """The texts of some runs of one model, by seed.

    Columns: kind (a temperature, or held-out), seed, number, text; nats, the model's mean surprise at a token;
    repeated-n and distinct-n, shares of n-grams; unknown, the share of words that the training text does not have;
    kept, the share of names after the second sentence that the story had before, missing where there are none.
    """

    texts: pd.DataFrame

    @classmethod
    def of(cls, runs: Mapping[int, Run]) -> "Samples":
        """Those of runs that left some."""
        frames = [_frame(run.samples().to_pandas(), seed) for seed, run in runs.items() if run.samples().num_rows]
        return cls(pd.concat(frames, ignore_index=True) if frames else _frame(pd.DataFrame(), 0))

    @property
    def seeds(self) -> list[int]:
        """The seeds whose runs left samples."""
        return sorted(set(self.texts.seed))

    @property
    def temperatures(self) -> list[float]:
        """The temperatures, the lowest first."""
        return sorted(kind for kind in set(self.texts.kind) if kind != HELD_OUT)

    def only(self, seeds: Sequence[int]) -> "Samples":
        """The texts of some of the seeds."""
        return Samples(self.texts[self.texts.seed.isin(seeds)])

    def count(self, kind: Kind) -> int:
        """How many texts there are at a temperature, or held-out ones, each once for each seed."""
        return int((self.texts.kind == kind).sum())

    def pooled(self, column: str, *kinds: Kind) -> Estimate:
        """The mean over texts of all seeds that have a value. Its interval is over texts: another seed may lie outside
        of it. A held-out text is the same for all seeds, and counts once."""
        values = self._values(column, *kinds)
        if kinds == (HELD_OUT,):
            values = values.groupby(self.texts.number).mean()
        return stats.estimate(values.to_numpy()) if len(values) else Estimate(float("nan"), 0.0, 0)

    def by_seed(self, column: str, *kinds: Kind) -> np.ndarray:
        """The mean of each seed's texts, of several temperatures the mean of their means, [seed]."""
        found = [self._values(column, kind).groupby(self.texts.seed).mean().reindex(self.seeds) for kind in kinds]
        return np.mean([each.to_numpy() for each in found], axis=0)

    def crossing(self, column: str) -> np.ndarray:
        """The temperature at which samples are like held-out text in a measure, [seed], by straight lines between the
        temperatures; the lowest or the highest where it lies beyond."""
        return self._crossings(column, self.by_seed(column, HELD_OUT)[None])[0]

    def crossing_elsewhere(self, column: str, draws: int = 2000) -> tuple[float, float]:
        """(low, high), between which the mean of `crossing` over seeds lies in 95% of cases where the held-out texts
        are drawn anew from those that there are, as often as there are texts: what seeds, which share them, leave out.
        """
        texts = self.texts[self.texts.kind == HELD_OUT].pivot(index="seed", columns="number", values=column).to_numpy()
        drawn = np.random.default_rng(0).integers(texts.shape[1], size=(draws, texts.shape[1]))
        found = self._crossings(column, np.nanmean(texts[:, drawn], axis=2).T)
        low, high = np.quantile(found.mean(axis=1), [(1 - stats.CONFIDENCE) / 2, (1 + stats.CONFIDENCE) / 2])
        return float(low), float(high)

    def text(self, temperature: float, seed: int, number: int = 0) -> str:
        """One sample."""
        one = self.texts[(self.texts.seed == seed) & (self.texts.kind == temperature)]
        return str(one[one.number == number].text.iloc[0])

    def _crossings(self, column: str, wanted: np.ndarray) -> np.ndarray:
        """The temperatures at which samples have means of `wanted` [draw, seed], alike."""
        at = np.array([self.by_seed(column, temperature) for temperature in self.temperatures])
        return np.array(
            [[crossing(self.temperatures, at[:, k], level) for k, level in enumerate(levels)] for levels in wanted]
        )

    def _values(self, column: str, *kinds: Kind) -> pd.Series:
        return self.texts[self.texts.kind.isin(kinds)][column].dropna()


def crossing(x: Sequence[float], y: Sequence[float], level: float) -> float:
    """Where straight lines through rising or falling y meet a level: an end of x where they do not."""
    rising = y[-1] >= y[0]
    order: Callable[[Sequence[float]], np.ndarray] = np.asarray if rising else lambda values: np.asarray(values)[::-1]
    steady = np.maximum.accumulate(order(y))
    return float(np.interp(level, steady, order(x)))


def shortened(text: str, words: int) -> str:
    """The first words of the first story of a text, and an ellipsis where there is more of it. What cannot be
    printed is shown as the sign for that."""
    story = " ".join(text.split(ENDED)[0].split())
    story = "".join(sign if sign.isprintable() else "\ufffd" for sign in story)
    parts = story.split(" ")
    return story if len(parts) <= words else " ".join(parts[:words]) + " …"


def printed(text: str) -> str:
    """A text on one line: ↵ for a line break, and the sign of what cannot be shown for that."""
    return " ↵ ".join("".join(sign if sign.isprintable() else "\ufffd" for sign in line) for line in text.split("\n"))


def token_0(codec: Tokenizer) -> str:
    """What token 0 of a vocabulary stands for, in words: a text, a byte that is none, or nothing."""
    text = codec.decode(np.array([0]))
    if text == "\n":
        return "a line break"
    if codec.sizes()[0] == 0:
        return "no text"
    return f"“{text}”" if text.isprintable() else f"byte {ord(text)}, no sign" if len(text) == 1 else "part of a sign"


def _frame(rows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Rows of samples.parquet with the columns above."""
    if rows.empty:
        return pd.DataFrame(columns=["kind", "seed", "number", "text", "nats", "unknown", "kept"])
    shares = {
        f"{name}-{n + 1}": [float(values[n]) for values in rows[name]]
        for name in ("repeated", "distinct")
        for n in range(len(rows[name].iloc[0]))
    }
    return pd.DataFrame(
        {
            "kind": rows.temperature.astype(object).where(rows.temperature.notna(), HELD_OUT),
            "seed": seed,
            "number": rows.number,
            "text": rows.text,
            "nats": [-float(np.mean(values.astype(np.float64))) for values in rows.logprob],
            "unknown": rows.unknown / rows.words.where(rows.words > 0),
            "kept": rows.kept / rows.mentions.where(rows.mentions > 0),
            **shares,
        }
    )
