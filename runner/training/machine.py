"""What this machine offers to a run, and what a manifest says of it."""

import functools
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

from runner.errors import NoDevice
from runner.plan.placement import Placement, checked
from runner.training.ranks import here


def resolve(wishes: dict[str, Any]) -> Placement:
    """A placement from a profile's table and a person's options; what nobody named is found out.

    A device that is not there is `NoDevice`; a setting that is unknown, another `UserError`.
    """
    checked(wishes)
    device = _device(wishes.get("device"))
    precision = wishes.get("precision") or ("bf16" if _good_at_bf16(device) else "float32")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = wishes.get("jobs", 1)
    shared = jobs * here()[1]
    return Placement(
        device=device,
        precision=precision,
        compile=wishes.get("compile", True) and _can_compile(device),
        threads=wishes.get("threads", max(1, cores // shared) if device == "cpu" else 1),
        jobs=jobs,
        log_every=wishes.get("log_every", 10),
        checkpoint_seconds=wishes.get("checkpoint_seconds", 15.0),
        weights=wishes.get("weights", True),
        embedding=wishes.get("embedding", False),
    )


def _device(wish: str | None) -> str:
    import torch

    there = ["cpu"]
    if torch.cuda.is_available():
        there.insert(0, "cuda")
    elif torch.backends.mps.is_available():
        there.insert(0, "mps")
    if wish is None:
        return there[0]
    kind, _, index = wish.partition(":")
    if kind not in there or (
        index and not (kind == "cuda" and index.isdigit() and int(index) < torch.cuda.device_count())
    ):
        raise NoDevice(f"device {wish!r} is not there; this machine has {', '.join(there)}")
    return wish


def _can_compile(device: str) -> bool:
    import torch

    from runner.training.engine import can_compile

    return can_compile(torch.device(device))


def _good_at_bf16(device: str) -> bool:
    """Whether bfloat16 matrix products are done in hardware, and so pay."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and bool(bf16_units())


# Instructions that multiply bfloat16 numbers, as /proc/cpuinfo names them; the first that is there is the one used.
BF16_UNITS = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "bf16": "Arm BF16"}


def bf16_units() -> str | None:
    """What this processor multiplies bfloat16 numbers with; None where it has to convert them, which does not pay."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", _cpu_info(), re.MULTILINE)
    words = set(found[1].split()) if found else set()
    return next((name for flag, name in BF16_UNITS.items() if flag in words), None)


@functools.cache
def _cpu_info() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.is_file() else ""


def environment(placement: Placement) -> dict[str, Any]:
    """What the manifest says of the machine."""
    import torch

    if placement.device.startswith("cuda"):
        machine = torch.cuda.get_device_name(placement.device)
    else:
        names = [line.split(":", 1)[1].strip() for line in _cpu_info().splitlines() if line.startswith("model name")]
        units = f" with {bf16_units()}" if bf16_units() else ""
        machine = f"{names[0] if names else platform.processor() or platform.machine()}{units}, {os.cpu_count()} cores"
    return {
        "machine": machine,
        "device": placement.device,
        "precision": placement.precision,
        "compile": placement.compile,
        "threads": placement.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def commit(where: Path) -> str:
    """The commit of the code, with `-dirty` where it has been changed since; "unknown" outside a repository."""

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(where), *words], capture_output=True, text=True, check=False)
        except OSError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    head = git("rev-parse", "--short=12", "HEAD")
    if head is None:
        return "unknown"
    return head + ("-dirty" if git("status", "--porcelain", "--", "runner") else "")
