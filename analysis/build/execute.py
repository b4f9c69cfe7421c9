"""Executes notebooks, and only those whose inputs have changed.

What a notebook depends on is hashed by content, part by part: its source, the modules it imports, its parameters, the
logs it reads, the lock file. The parts are kept beside the results, so that the driver can say why it executes.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.build import evidence, notebook
from analysis.build.project import Project
from runner.errors import UserError
from runner.files import sha256

LOCK = "requirements.lock"
RECORD = "record.json"
Progress = Callable[[int, int], None]


class NotebookFailed(Exception):
    """A cell raised. The message names the notebook, the cell, its source and the exception."""


@dataclass(frozen=True)
class Plan:
    """What one execution would depend on."""

    name: str
    source: Path
    output: Path
    logs: Path
    profile: str
    experiments: list[str]
    parts: dict[str, Any]

    @property
    def key(self) -> str:
        """One hash for all the parts."""
        import hashlib

        return hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of a notebook: executed for `reason`, or left alone where it is empty."""

    name: str
    reason: str
    seconds: float = 0.0

    def line(self) -> str:
        """For the terminal."""
        return f"{self.name}: {f'executed in {self.seconds:.1f} s' if self.reason else 'unchanged'}"


def plan(
    project: Project,
    name: str,
    logs: Path,
    profile: str | None = None,
    output: Path | None = None,
    given: dict[str, Any] | None = None,
) -> Plan:
    """Read what the notebook `name` depends on. Needs neither papermill nor the evidence's contents in memory."""
    source = project.notebooks / f"{name}.py"
    if not source.is_file():
        raise UserError(f"unknown notebook {name!r}; known: {', '.join(project.notebook_names()) or 'none'}")
    where = project.shown(source)
    known = notebook.parameters(source.read_text(encoding="utf-8"), where)
    for needed in ("logs", "profile", "output"):
        if needed not in known:
            raise UserError(f"{where}: the parameters cell must set {needed}")
    given = given or {}
    notebook.check_parameters(given, known, where)
    values = {**known, **given}
    experiments = notebook.reads(values, name)
    profile = evidence.choose_profile(logs, experiments, profile, project.shown(logs))
    lock = project.root / LOCK
    parts = {
        "notebook": sha256(source),
        "modules": {
            project.shown(path): sha256(path)
            for path in (*notebook.imports(source, project.root), *_plans(project, experiments))
        },
        # Where the evidence lies and where the results go decide nothing: the evidence is hashed itself.
        "parameters": {k: v for k, v in values.items() if k not in ("logs", "output")} | {"profile": profile},
        "logs": {
            f"{e}/{profile}/{run}": digest
            for e in experiments
            for run, digest in evidence.fingerprint(logs, e, profile).items()
        },
        "lock": sha256(lock) if lock.is_file() else None,
    }
    return Plan(name, source, (output or project.results) / name, logs, profile, experiments, parts)


def record(folder: Path) -> dict[str, Any] | None:
    """What is kept of the last execution, if its results are there."""
    try:
        kept = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if (folder / "results.json").is_file() else None


def reason(plan: Plan, kept: dict[str, Any] | None, force: bool = False) -> str:
    """Why the notebook must be executed, in a few words; empty where nothing has changed."""
    if kept is None:
        return "first time"
    old, new = kept.get("parts", {}), plan.parts
    reasons = []
    if old.get("notebook") != new["notebook"]:
        reasons.append("notebook changed")
    reasons += [f"{path} changed" for path in _changed(old, new, "modules")]
    reasons += [
        f"parameter {name}: {old.get('parameters', {}).get(name)} → {new['parameters'].get(name)}"
        for name in _changed(old, new, "parameters")
    ]
    runs = _changed(old, new, "logs")
    if runs and not any(text.startswith("parameter profile") for text in reasons):
        names = [run.rsplit("/", 1)[-1] for run in runs]
        reasons.append(f"logs changed: {', '.join(names[:3])}{f' and {len(names) - 3} more' if names[3:] else ''}")
    if old.get("lock") != new["lock"]:
        reasons.append("lock file changed")
    if not reasons and kept.get("key") != plan.key:
        reasons.append("inputs changed")
    return "; ".join(reasons) or ("forced" if force else "")


def execute(plan: Plan, project: Project, force: bool = False, progress: Progress | None = None) -> Outcome:
    """Bring the results of one notebook up to date. A failure leaves the earlier results as they were."""
    kept = record(plan.output)
    why = reason(plan, kept, force)
    if not why:
        if kept and kept.get("logs") != project.shown(plan.logs):
            _write_record(plan, project, plan.output)  # the same evidence at another place
        return Outcome(plan.name, "")
    began = time.monotonic()
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{plan.name}-", dir=plan.output.parent))
    try:
        _run(plan, project, scratch, progress)
        if not (scratch / "results.json").is_file():
            raise UserError(f"{project.shown(plan.source)}: wrote no results; its last cell should call results.save()")
        _write_record(plan, project, scratch)
        scratch.chmod(0o755)
        _swap(scratch, plan.output)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Outcome(plan.name, why, time.monotonic() - began)


def stale(project: Project, folder: Path) -> str:
    """Why results no longer follow from what is there; empty where they do."""
    kept = record(folder)
    if kept is None:
        return "not executed yet"
    logs = project.root / kept["logs"]
    return reason(plan(project, folder.name, logs, kept["profile"], folder.parent), kept)


def _run(plan: Plan, project: Project, scratch: Path, progress: Progress | None) -> None:
    import jupytext
    import papermill
    from papermill.exceptions import PapermillExecutionError

    document = jupytext.read(plan.source, fmt="py:percent")
    document.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    draft = scratch / "draft.ipynb"
    jupytext.write(document, draft, fmt="ipynb")
    values = {"logs": str(plan.logs), "profile": plan.profile, "output": str(scratch)}
    values |= {k: v for k, v in plan.parts["parameters"].items() if k not in values}
    with _environment(), _engine(progress) as engine:
        try:
            papermill.execute_notebook(
                str(draft),
                str(scratch / "executed.ipynb"),
                parameters=values,
                engine_name=engine,
                kernel_name="python3",
                cwd=str(project.root),
                progress_bar=False,
                log_output=False,
                extra_arguments=["--IPKernelApp.log_level=50"],
            )  # no remarks about the kernel's own affairs
        except PapermillExecutionError as error:
            raise NotebookFailed(_explain(plan, project, error)) from None
    draft.unlink()


def _explain(plan: Plan, project: Project, error: Any) -> str:
    """One readable message for a cell that raised."""
    from re import sub

    text = error.source.strip("\n")
    line = next(
        (
            cell.line
            for cell in notebook.cells(plan.source.read_text(encoding="utf-8"))
            if cell.text.strip() == text.strip()
        ),
        None,
    )
    place = project.shown(plan.source) + (f":{line}" if line else "")
    frames = [sub(r"\x1b\[[0-9;]*m", "", str(frame)) for frame in error.traceback]
    arrow = next((row.strip() for row in "\n".join(frames).splitlines() if row.lstrip().startswith("--")), "")
    number = error.exec_count - 1 if error.exec_count and error.exec_count > 1 else 1  # papermill adds a cell
    source = "\n".join(f"    {row}" for row in text.splitlines())
    where = f"\n  at {arrow}" if arrow else ""
    return f"{place}: code cell {number} failed: {error.ename}: {error.evalue}\n{source}{where}"


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """What the kernel needs to find this package and to draw without a screen."""
    home = str(Path(__file__).resolve().parents[2])
    wanted = {
        "PYTHONPATH": os.pathsep.join([home, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "MPLBACKEND": "Agg",
        "PYTHONHASHSEED": "0",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _engine(progress: Progress | None) -> Iterator[str | None]:
    """Papermill's own engine, which also tells `progress` of each finished cell."""
    if progress is None:
        yield None
        return
    from papermill.engines import NBClientEngine, papermill_engines

    class Watched(NBClientEngine):
        @classmethod
        def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
            finish, total, done = nb_man.cell_complete, len(nb_man.nb.cells), 0

            def complete(*args: Any, **kwargs: Any) -> None:
                nonlocal done
                done += 1
                progress(done, total)
                finish(*args, **kwargs)

            nb_man.cell_complete = complete
            return super().execute_managed_notebook(nb_man, kernel_name, **options)

    papermill_engines.register("watched", Watched)
    yield "watched"


def _write_record(plan: Plan, project: Project, folder: Path) -> None:
    kept = {
        "key": plan.key,
        "parts": plan.parts,
        "logs": project.shown(plan.logs),
        "profile": plan.profile,
        "experiments": plan.experiments,
    }
    (folder / RECORD).write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _swap(new: Path, place: Path) -> None:
    """Put a finished folder in the place of the old one."""
    old = place.with_name(f".{place.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _plans(project: Project, experiments: list[str]) -> list[Path]:
    """The files that say which runs an experiment has: a notebook may ask for the planned ones alone."""
    folder = project.root / "runner" / "experiments"
    return [path for name in experiments for path in folder.rglob(f"{name}.toml")]


def _changed(old: dict[str, Any], new: dict[str, Any], part: str) -> list[str]:
    was, now = old.get(part, {}), new[part]
    return [name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)]
