"""The kinds of models, by name. Importable without torch, as networks are imported when they are built."""

import importlib
from typing import Any, Protocol

from runner.errors import UserError
from runner.settings import Need

# kind → its settings and its network, as module:class. To add a kind, write these two modules and one line here.
KINDS = {
    "gpt": ("runner.models.gpt.spec:GPTSpec", "runner.models.gpt.network:GPT"),
    "megabyte": ("runner.models.megabyte.spec:MegabyteSpec", "runner.models.megabyte.network:Megabyte"),
    "minigpt": ("runner.models.minigpt.spec:MiniGPTSpec", "runner.models.minigpt.network:MiniGPT"),
    "mlp": ("runner.models.mlp.spec:MLPSpec", "runner.models.mlp.network:MLP"),
    "nested": ("runner.models.nested.spec:NestedSpec", "runner.models.nested.network:Nested"),
    "priced": ("runner.models.priced.spec:PricedSpec", "runner.models.priced.network:Priced"),
    "wavenet": ("runner.models.wavenet.spec:WaveNetSpec", "runner.models.wavenet.network:WaveNet"),
}


class ModelSpec(Protocol):
    """The settings of any kind of model, a frozen dataclass (see `runner.settings`)."""

    @property
    def kind(self) -> str:
        """The kind's name."""

    @property
    def block_size(self) -> int:
        """The length of the longest input, in tokens."""

    @property
    def contexts(self) -> bool:
        """Whether it predicts one token, after a whole context, and not one after each position."""

    @property
    def shape(self) -> str:
        """Its sizes in a few words, for tables."""

    def details(self) -> list[str]:
        """Its sizes in full, as lines."""

    def check(self, need: Need) -> None:
        """Check the settings: `need` raises a `UserError` for the first that is invalid."""


def spec_of(table: dict[str, Any], where: str) -> type:
    """The class of the settings in a table "model", by its key `kind`, "gpt" by default. Raises a `UserError` for an
    unknown kind; `where` names the table's origin."""
    kind = table.get("kind", "gpt")
    if not isinstance(kind, str) or kind not in KINDS:
        raise UserError(f"{where}: unknown kind of model {kind!r}; known: {', '.join(KINDS)}")
    return _named(KINDS[kind][0])


def network(kind: str) -> Any:
    """The class of a kind's networks, a subclass of `runner.models.protocol.Model`."""
    return _named(KINDS[kind][1])


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(f"KINDS of runner/models/registry.py names {place}: {error}") from error
