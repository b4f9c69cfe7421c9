"""The kinds of models, by name. Importable without torch: a network is imported when it is built."""

import importlib
from typing import Any, Protocol

from runner.errors import UserError
from runner.settings import Need

# kind → its settings and its network, as module:class. To add one is a line here and its two modules.
KINDS = {
    "gpt": ("runner.models.gpt.spec:GPTSpec", "runner.models.gpt.network:GPT"),
    "megabyte": ("runner.models.megabyte.spec:MegabyteSpec", "runner.models.megabyte.network:Megabyte"),
    "minigpt": ("runner.models.minigpt.spec:MiniGPTSpec", "runner.models.minigpt.network:MiniGPT"),
    "mlp": ("runner.models.mlp.spec:MLPSpec", "runner.models.mlp.network:MLP"),
    "wavenet": ("runner.models.wavenet.spec:WaveNetSpec", "runner.models.wavenet.network:WaveNet"),
}


class ModelSpec(Protocol):
    """What is known of any kind's settings: a frozen dataclass, see `runner.settings`."""

    @property
    def kind(self) -> str:
        """The kind's name."""

    @property
    def block_size(self) -> int:
        """The longest sequence that it reads, in tokens."""

    @property
    def contexts(self) -> bool:
        """Whether it predicts one token, after a whole context, and not one after each position."""

    @property
    def shape(self) -> str:
        """Its sizes in a few words."""

    def details(self) -> list[str]:
        """Its sizes at length, in lines."""

    def check(self, need: Need) -> None:
        """Name the first setting that cannot be."""


def spec_of(table: dict[str, Any], where: str) -> type:
    """The class of settings that a table of a model means by its `kind`; "gpt" where it names none."""
    kind = table.get("kind", "gpt")
    if kind not in KINDS:
        raise UserError(f"{where}: unknown kind of model {kind!r}; known: {', '.join(KINDS)}")
    return _named(KINDS[kind][0])


def network(kind: str) -> Any:
    """The class of a kind's networks, a `runner.models.protocol.Model`."""
    return _named(KINDS[kind][1])


def _named(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)
