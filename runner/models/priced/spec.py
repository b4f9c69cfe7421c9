"""The settings of priced hidden units. Importable without torch."""

import math
from dataclasses import dataclass

from runner.models.gpt.spec import GPTSpec
from runner.settings import Need


@dataclass(frozen=True)
class PricedSpec(GPTSpec):
    """A GPT whose hidden units have gates with a price. `mlp_ratio` is the largest ratio that it may choose.

    price  nats that one more of the ratio costs, in the mean over layers: a hidden unit that is open with probability
           q adds q * price / (d_model * n_layer) to the training loss
    """

    price: float = 0.01
    kind: str = "priced"

    def details(self) -> list[str]:
        """Its sizes at length, in lines."""
        return [*super().details(), f"a gate for each hidden unit, {self.price:g} nats for one more of the ratio"]

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""
        super().check(need)
        need(
            math.isfinite(self.price) and self.price >= 0,
            f"price = {self.price:g} must be a finite number of at least 0",
        )
