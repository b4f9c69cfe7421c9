"""How many processes train one run together. Importable without torch."""

import os


def processes() -> tuple[int, int]:
    """This process' number and how many train together, as torchrun says; (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def here() -> tuple[int, int]:
    """The same of those on this machine."""
    return int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
