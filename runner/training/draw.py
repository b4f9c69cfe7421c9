"""Which token comes next: temperature, top-k, top-p and a penalty on repetition."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runner.errors import UserError

COLDEST = 0.001  # below it logits over the temperature overflow


@dataclass(frozen=True)
class Draw:
    """How a token is drawn from the odds that a model gives, in this order:

    repetition_penalty  tokens that the text has already: their logits are divided by it where positive, and multiplied
                        where negative (arXiv 1909.05858); 1 is off
    top_k               the so many likeliest tokens stay
    temperature         logits are divided by it: below 1 likely tokens get likelier
    top_p               the likeliest tokens stay, as few as have this probability together (arXiv 1904.09751); 1 is off
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def check(self) -> None:
        """Raise a `UserError` that names the first setting that cannot be."""
        if not (math.isfinite(self.temperature) and self.temperature >= COLDEST):
            raise UserError(
                f"temperature {self.temperature:g} must be at least {COLDEST}; 0.8 to 1 reads best, and top-k 1 "
                "always takes the likeliest token"
            )
        if self.top_k is not None and self.top_k < 1:
            raise UserError(f"top-k {self.top_k} must be at least 1; leave it out to draw from all tokens")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top-p {self.top_p:g} must be above 0 and at most 1, such as 0.9")
        if not (math.isfinite(self.repetition_penalty) and self.repetition_penalty > 0):
            raise UserError(f"repetition penalty {self.repetition_penalty:g} must be above 0; 1 is off, 1.2 is strong")

    def choose(self, logits_V: np.ndarray, seen: Sequence[int], u: float, slack: float = 0.0) -> int | None:
        """The token that a number u from [0, 1) stands for, after the tokens `seen`. None where logits that lie within
        `slack` of these, each in either direction, might give another one."""
        z_V, slack = self._penalised(logits_V, seen, slack)
        certain = True
        if self.top_k is not None and self.top_k < len(z_V):
            bar = np.partition(z_V, -self.top_k)[-self.top_k]
            certain = not slack or _above(z_V, bar - 2 * slack) == self.top_k
            z_V = np.where(z_V < bar, -np.inf, z_V)
        odds_V, slack = np.exp((z_V - z_V.max()) / self.temperature), slack / self.temperature
        if self.top_p < 1:
            falling_V = np.sort(odds_V)[::-1]
            mass_V = np.cumsum(falling_V)
            last = int(np.searchsorted(mass_V, self.top_p * mass_V[-1]))
            share_V = mass_V / mass_V[-1]
            ends = share_V[max(0, last - 1) : last + 1]
            certain = certain and (
                not slack
                or (
                    _above(odds_V, falling_V[last] * math.exp(-2 * slack)) == last + 1
                    and bool((abs(ends - self.top_p) > _strays(ends, slack)).all())
                )
            )
            odds_V = np.where(odds_V < falling_V[last], 0.0, odds_V)
        edges_V = np.cumsum(odds_V)
        token = min(int(np.searchsorted(edges_V, u * edges_V[-1], side="right")), int(odds_V.nonzero()[0][-1]))
        if slack:
            ends = np.array([edges_V[token - 1] if token else 0.0, edges_V[token]]) / edges_V[-1]
            certain = certain and bool((abs(ends - u) > _strays(ends, slack)).all())
        return token if certain else None

    def _penalised(self, logits_V: np.ndarray, seen: Sequence[int], slack: float) -> tuple[np.ndarray, float]:
        """The logits after the penalty, and how far they may lie off."""
        penalty = self.repetition_penalty
        if penalty == 1:
            return logits_V, slack
        z_V, again = logits_V.copy(), np.unique(np.asarray(seen, dtype=np.int64))
        z_V[again] = np.where(z_V[again] > 0, z_V[again] / penalty, z_V[again] * penalty)
        return z_V, slack * max(penalty, 1 / penalty)


def _above(values_V: np.ndarray, bar: float) -> int:
    return int((values_V >= bar).sum())


def _strays(share: np.ndarray, slack: float) -> np.ndarray:
    """How far the share that some tokens have of all odds can move when every logit moves by `slack`; the last term is
    more than float64 rounds."""
    return np.expm1(2 * slack) * share * (1 - share) + 1e-12
