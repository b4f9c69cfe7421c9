"""Which evidence lies under a root, by name and by content.

Reading the numbers is `runner.evidence.log`'s work. This module does without it, because it answers what must be quick: has
anything changed? Importing pyarrow alone would take longer.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.evidence.baselines import NAME as BASELINES
from runner.files import sha256

DOWNLOADS = (
    "manifest.json",
    "metrics.parquet",
    "timing.parquet",
    "probes.parquet",
    "samples.txt",
)  # as runner.evidence.log.EVIDENCE
ENDED = ("finished", "diverged")
DECISIVE = ("manifest.json", "metrics.parquet")  # timing differs between two runs of one spec and decides nothing
PREFERRED = ("paper", "laptop", "smoke")


def experiments(root: Path) -> list[str]:
    """The experiments that left evidence under `root`."""
    return _folders(root)


def kinds(root: Path) -> list[str]:
    """The kinds of machine of which there are replications under `root`."""
    return _folders(root)


def profiles(root: Path, experiment: str) -> list[str]:
    """The profiles of an experiment with at least one run, the most telling first."""
    return preferred(name for name in _folders(root / experiment) if runs(root, experiment, name))


def runs(root: Path, experiment: str, profile: str) -> list[Path]:
    """The folders of the ended runs, in natural order: r2 before r10."""
    folder = root / experiment / profile
    ended = (
        folder / name
        for name in _folders(folder)
        if (folder / name / "manifest.json").is_file() and manifest(folder / name).get("status") in ENDED
    )
    return sorted(ended, key=lambda path: _natural(path.name))


def manifest(run: Path) -> dict[str, Any]:
    """What the run says of itself."""
    try:
        return json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{run / 'manifest.json'} cannot be read: {error}") from None


def fingerprint(root: Path, experiment: str, profile: str) -> dict[str, str]:
    """Run name → hash of what the run found; and that of the baselines beside the runs, by the name of their file."""
    counted = root / experiment / profile / BASELINES
    return {
        run.name: "-".join(sha256(run / name)[:16] for name in DECISIVE if (run / name).is_file())
        for run in runs(root, experiment, profile)
    } | ({BASELINES: sha256(counted)[:16]} if counted.is_file() else {})


def common_profiles(root: Path, names: list[str]) -> list[str]:
    """The profiles of which every experiment of `names` has runs, the most telling first."""
    return [p for p in profiles(root, names[0]) if all(runs(root, n, p) for n in names)] if names else []


def choose_profiles(root: Path, names: list[str], wanted: str | None, shown: str) -> list[str]:
    """`wanted` alone, or every profile that the experiments have in common. Without experiments one is as good as
    another."""
    if not names:
        return [wanted or PREFERRED[1]]
    common = common_profiles(root, names)
    if wanted is None and common:
        return common
    if wanted is not None and wanted in common:
        return [wanted]
    about = f"profile {wanted!r} of {' and '.join(names)}" if wanted else " and ".join(names)
    there = f"; there are: {', '.join(common)}" if common else ""
    raise UserError(f"no logs of {about} under {shown}{there}")


def preferred(names: Iterable[str]) -> list[str]:
    """Profiles in order, the most telling first."""
    return sorted(names, key=lambda p: (PREFERRED.index(p) if p in PREFERRED else len(PREFERRED), p))


def _folders(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir() if p.is_dir() and p.name[0] != ".") if path.is_dir() else []


def _natural(name: str) -> list[tuple[int, float, str]]:
    """Sort key in which digits count as numbers."""
    parts, word = [], ""
    for char in [*name, ""]:
        if word and (not char or char.isdigit() != word[-1].isdigit()):
            parts.append((0, float(word), "") if word.isdigit() else (1, 0.0, word))
            word = ""
        word += char
    return parts
