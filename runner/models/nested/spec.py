"""The settings of nested widths. Importable without torch."""

from dataclasses import dataclass, fields

from runner.models.gpt.spec import GPTSpec
from runner.settings import Need


@dataclass(frozen=True)
class NestedSpec(GPTSpec):
    """A GPT whose MLPs are trained at several widths at once.

    halvings  each layer is trained with its first half of hidden units, its first quarter and so on, as many times, and
              with all of them
    """

    halvings: int = 4
    kind: str = "nested"

    def narrowed(self, halvings: int) -> GPTSpec:
        """The GPT that its first hidden units make, halved so many times."""
        given = {f.name: getattr(self, f.name) for f in fields(GPTSpec) if f.name != "kind"}
        return GPTSpec(**given | {"mlp_ratio": tuple(ratio / 2**halvings for ratio in self.ratios)})

    def details(self) -> list[str]:
        """Its sizes at length, in lines."""
        return [*super().details(), f"trained at {self.halvings + 1} widths, each half of the one before"]

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""
        super().check(need)
        need(0 <= self.halvings <= 16, f"halvings = {self.halvings} must be from 0 to 16")
        for width in self.d_ffs:
            need(
                width % 2**self.halvings == 0,
                f"halvings = {self.halvings}: {width} hidden units cannot be halved so often: choose mlp_ratio and "
                f"d_model whose product is a multiple of {2**self.halvings}",
            )
