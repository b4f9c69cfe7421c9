"""This machine: resolves the placement of a run on it, and describes it for the manifest."""

import functools
import os
import platform
import re
import subprocess
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from typing import Any

from runner.data.cache import cache_folder
from runner.errors import NoDevice, UserError
from runner.evidence import code
from runner.plan.placement import Placement, checked
from runner.training.ranks import local_processes

# What a person may have set that changes the numbers of a run: which instructions and which precision libraries use.
VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "TORCHINDUCTOR_VEC_ISA_OK",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


def resolve(wishes: dict[str, Any]) -> Placement:
    """A complete placement from the settings that a profile and the command line give; the others are chosen for this
    machine.

    Raises `NoDevice` for a device that this machine lacks, and another `UserError` for an unknown or invalid setting,
    and where the environment lets OpenMP start fewer threads than a run asks for.
    """
    checked(wishes)
    device = _device(wishes.get("device"))
    precision = wishes.get("precision") or ("bf16" if _good_at_bf16(device) else "float32")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = wishes.get("jobs", 1)
    shared = jobs * local_processes()[1]
    resolved = {
        "device": device,
        "precision": precision,
        "compile": wishes.get("compile", True) and _can_compile(device),
        "threads": wishes.get("threads", max(1, cores // shared) if device == "cpu" else 1),
        "jobs": jobs,
    }
    placement = Placement(**wishes | resolved)
    if device == "cpu":
        _check_openmp(placement.threads)
    return placement


def _check_openmp(threads: int) -> None:
    """PyTorch counts on as many threads as it set: with fewer, products of bfloat16 come out wrong."""
    if os.environ.get("OMP_DYNAMIC", "").strip().lower() in ("true", "1") and threads > 1:
        raise UserError("OMP_DYNAMIC lets OpenMP choose how many threads work, which changes numbers: unset it")
    limit = os.environ.get("OMP_THREAD_LIMIT", "").strip()
    if limit.isdigit() and int(limit) < threads:
        raise UserError(
            f"OMP_THREAD_LIMIT={limit} is below the {threads} threads of a run: unset it, or lower --threads"
        )


def _device(wish: str | None) -> str:
    import torch

    available = ["cpu"]
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    elif torch.backends.mps.is_available():
        available.insert(0, "mps")
    if wish is None:
        return available[0]
    kind, _, index = wish.partition(":")
    if kind not in available or (
        index and not (kind == "cuda" and index.isdigit() and int(index) < torch.cuda.device_count())
    ):
        raise NoDevice(f"device {wish!r} is not available: this machine has {', '.join(available)}")
    return wish


def _can_compile(device: str) -> bool:
    import torch

    from runner.training.engine import can_compile

    return can_compile(torch.device(device))


def _good_at_bf16(device: str) -> bool:
    """Whether the device has hardware for bfloat16 matrix products, which makes them faster."""
    import torch

    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and bool(bf16_units())


# Instructions that multiply bfloat16 numbers, by their flag in /proc/cpuinfo; the first that a CPU has is used.
BF16_UNITS = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "bf16": "Arm BF16"}


def bf16_units() -> str | None:
    """The instructions with which this CPU multiplies bfloat16 numbers, such as "AMX"; None where it has none, which
    makes bfloat16 slower than float32."""
    words = set(_cpu_flags().split())
    return next((name for flag, name in BF16_UNITS.items() if flag in words), None)


def _cpu_flags() -> str:
    """The instructions of this CPU as /proc/cpuinfo lists them; empty where it does not."""
    found = re.search(r"^(?:flags|Features)\s*:(.*)$", _cpu_info(), re.MULTILINE)
    return found[1] if found else ""


@functools.cache
def _cpu_info() -> str:
    path = Path("/proc/cpuinfo")
    return path.read_text() if path.is_file() else ""


def environment(placement: Placement) -> dict[str, Any]:
    """The entry "environment" of a manifest: machine, device, precision, versions, and those of `VARIABLES` that are
    set."""
    import torch

    variables = {name: os.environ[name] for name in VARIABLES if os.environ.get(name)}
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
        "compile": placement.compile and _can_compile(placement.device),
        **({"cold": True} if placement.cold else {}),
        "threads": placement.threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **({"variables": variables} if variables else {}),
    }


def keep_kernels() -> None:
    """Let Inductor keep what it compiles beside the data, for later sweeps, in a folder of this processor, compiler and
    torch: by itself it would take what another processor or compiler has left there."""
    if "TORCHINDUCTOR_CACHE_DIR" in os.environ:
        return
    compiler = os.environ.get("CXX", "g++")
    try:
        said = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False).stdout
    except OSError:  # there is none
        said = ""
    processor = _cpu_flags() or platform.processor() or platform.machine()
    kind = sha256("\n".join((processor, said, metadata.version("torch"))).encode()).hexdigest()[:12]
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str((cache_folder() / "inductor" / kind).resolve())


def commit(where: Path) -> str:
    """The Git commit of the code in a folder, 12 hexadecimal digits, with `-dirty` for uncommitted changes; "unknown"
    outside a repository."""

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


@functools.cache
def loaded_commit() -> str:
    """The commit of this package, asked once: what is edited later does not run in this process."""
    return commit(code.ROOT)
