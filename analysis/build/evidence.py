"""Lists the evidence under a root, and fingerprints it.

Reading the numbers is left to `runner.evidence.log`. This module does not import it, because it has to find out quickly
whether anything has changed, and importing pyarrow alone would take longer.
"""

import json
import stat
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from analysis.study import text
from runner.errors import UserError
from runner.evidence.baselines import NAME as BASELINES
from runner.evidence.status import ENDED
from runner.files import sha256

DECISIVE = ("manifest.json", "metrics.parquet")  # the first has the checksums of all others
PLANS = Path(__file__).parents[2] / "runner" / "experiments"  # as in `runner.plan.experiment`, which imports more
PREFERRED = ("paper", "laptop", "smoke")


def experiments(root: Path) -> list[str]:
    """The experiments of the runner with a folder under `root`: runs of other files, and of none, are in no figure."""
    planned = {path.stem for path in PLANS.rglob("*.toml")}
    return [name for name in _folders(root) if name in planned]


def kinds(root: Path) -> list[str]:
    """The kinds of machine of which there are replications under `root`."""
    return _folders(root)


def profiles(root: Path, experiment: str) -> list[str]:
    """The profiles of an experiment with at least one ended run, the largest first."""
    folder = root / experiment
    return preferred(name for name in _folders(folder) if any(_has_ended(run) for run in _paths(folder / name)))


def runs(root: Path, experiment: str, profile: str) -> list[Path]:
    """The folders of the ended runs, in natural order: r2 before r10."""
    ended = [run for run in _paths(root / experiment / profile) if _has_ended(run)]
    return sorted(ended, key=lambda path: text.natural(path.name))


def manifest(run: Path) -> dict[str, Any]:
    """The manifest of a run's folder; a `UserError` where it cannot be read."""
    try:
        found = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{run / 'manifest.json'} cannot be read ({error}): restore it, or train the run again"
        ) from None
    if not isinstance(found, dict):
        raise UserError(f"{run / 'manifest.json'} holds no object: restore it, or train the run again")
    return found


def fingerprint(root: Path, experiment: str, profile: str) -> dict[str, str]:
    """The hashes of a profile's evidence: of each run by its name, and of the file of baselines by that file's name."""
    counted = root / experiment / profile / BASELINES
    return {
        run.name: "-".join(filter(None, (_digest(run / name) for name in DECISIVE)))
        for run in runs(root, experiment, profile)
    } | ({BASELINES: found} if (found := _digest(counted)) else {})


def common_profiles(root: Path, names: list[str]) -> list[str]:
    """The profiles in which every experiment of `names` has ended runs, the largest first."""
    return [p for p in profiles(root, names[0]) if all(runs(root, n, p) for n in names)] if names else []


def choose_profiles(root: Path, names: list[str], wanted: str | None, shown: str) -> list[str]:
    """The profile `wanted`, or, if it is None, all profiles that the experiments have in common. Without experiments,
    one profile: `wanted` or laptop.

    Raises a `UserError` where there is no such evidence; it calls the root `shown`.
    """
    if not names:
        return [wanted or PREFERRED[1]]
    common = common_profiles(root, names)
    if wanted is None and common:
        return common
    if wanted is not None and wanted in common:
        return [wanted]
    about = f"profile {wanted!r} of {' and '.join(names)}" if wanted else " and ".join(names)
    available = f"; there are: {', '.join(common)}" if common else ""
    from runner.plan import experiment

    for name in names:
        experiment.load(name)  # an unknown one is said
    raise UserError(
        f"no logs of {about} under {shown}{available}; `runner sweep` makes them in runs, and `runner publish` takes "
        "them into logs"
    )


def preferred(names: Iterable[str]) -> list[str]:
    """The profiles in the order paper, laptop, smoke, then any others by name."""
    return sorted(names, key=lambda p: (PREFERRED.index(p) if p in PREFERRED else len(PREFERRED), p))


def _has_ended(run: Path) -> bool:
    seen = _seen(run / "manifest.json")
    return seen is not None and _status(run, seen) in ENDED


def _seen(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file does; None where there is none. Files that stay are then read once, not once for each
    notebook and page."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if stat.S_ISREG(found.st_mode) else None


def _digest(path: Path) -> str | None:
    """The start of a file's hash; None where there is none."""
    seen = _seen(path)
    return _sha256(path, seen)[:16] if seen else None


@cache
def _status(run: Path, seen: tuple[int, int, int]) -> str | None:
    return manifest(run).get("status")


@cache
def _sha256(path: Path, seen: tuple[int, int, int]) -> str:
    return sha256(path)


def _paths(folder: Path) -> list[Path]:
    return [folder / name for name in _folders(folder)]


def _folders(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir() if p.is_dir() and p.name[0] != ".") if path.is_dir() else []
