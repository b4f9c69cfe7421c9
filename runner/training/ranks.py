"""How many processes train one run together. Importable without torch."""

import os


def processes() -> tuple[int, int]:
    """The rank of this process and the number of processes, as torchrun sets them; (0, 1) without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def local_processes() -> tuple[int, int]:
    """The local rank of this process and the number of processes on this machine; (0, 1) without torchrun."""
    return int(os.environ.get("LOCAL_RANK", 0)), int(os.environ.get("LOCAL_WORLD_SIZE", 1))
