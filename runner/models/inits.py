"""The names of the initialisations that `runner.models.initial` makes. Importable without torch."""

INITS = ("kaiming", "xavier", "plain")
