"""Executes notebooks, and only those whose inputs have changed.

What a notebook depends on is hashed by content, part by part: its source, the modules it imports, its parameters, the
logs it reads, the lock file. The parts are kept beside the results, so that the driver can say why it executes.

A notebook is executed once for each profile that all its experiments have, into `build/analysis/<notebook>/<profile>/`.
Where a profile has too little evidence yet, it says so (`arms.Incomplete`), and the profile is left out of the pages.
"""

import contextlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.build import evidence, notebook
from analysis.build.project import Project
from runner.errors import UserError
from runner.files import sha256

LOCK = "requirements.lock"
RECORD = "record.json"
INCOMPLETE = "Incomplete"  # analysis.study.arms.Incomplete, as papermill names what a cell raised
Progress = Callable[[int, int], None]


class NotebookFailed(Exception):
    """A cell raised. The message names the notebook, the cell, its source and the exception."""


class _Lacking(Exception):
    """The notebook found too little evidence; the message says what is missing."""


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
    label: str = ""  # how messages call it; with its profile where there are several

    @property
    def key(self) -> str:
        """One hash for all the parts."""
        import hashlib

        return hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What became of a notebook: executed for `reason`, or left alone where it is empty. `lacking` says what evidence is
    missing where it gave no results."""

    name: str
    reason: str
    seconds: float = 0.0
    lacking: str = ""

    def line(self) -> str:
        """For the terminal."""
        if self.lacking:
            return f"{self.name}: too little evidence yet ({self.lacking})"
        return f"{self.name}: {f'executed in {self.seconds:.1f} s' if self.reason else 'unchanged'}"


def plan(
    project: Project,
    name: str,
    logs: Path,
    profile: str | None = None,
    output: Path | None = None,
    given: dict[str, Any] | None = None,
) -> Plan:
    """What the notebook `name` depends on in one profile, the most telling one unless it is named."""
    return plans(project, name, logs, profile, output, given)[0]


def plans(
    project: Project,
    name: str,
    logs: Path,
    profile: str | None = None,
    output: Path | None = None,
    given: dict[str, Any] | None = None,
) -> list[Plan]:
    """What the notebook `name` depends on, in each profile that there is or in the one that is named. Needs neither
    papermill nor the evidence's contents in memory."""
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
    chosen = evidence.choose_profiles(logs, experiments, profile, project.shown(logs))
    parts = {
        "notebook": sha256(source),
        "modules": {
            project.shown(path): sha256(path)
            for path in (*notebook.imports(source, project.root), *_plans(project, experiments))
        },
    }
    folder = (output or project.results) / name
    return [
        Plan(
            name,
            source,
            folder / one,
            logs,
            one,
            experiments,
            parts | _inputs(project, values, logs, experiments, one),
            name if len(chosen) == 1 else f"{name}, {one}",
        )
        for one in chosen
    ]


def replications(project: Project, name: str) -> dict[str, list[Plan]]:
    """Kind of machine → the plans of a notebook from the logs of that kind, in each profile of which it has runs of all
    that the notebook reads."""
    source = project.notebooks / f"{name}.py"
    names = notebook.reads(notebook.parameters(source.read_text(encoding="utf-8"), project.shown(source)), name)
    found = {}
    for kind in evidence.kinds(project.replications):
        root, output = project.replications / kind, project.replicated / kind
        plans = [plan(project, name, root, profile, output) for profile in evidence.common_profiles(root, names)]
        if plans:
            found[kind] = [replace(one, label=f"{name}, {one.profile}, {kind}") for one in plans]
    return found


def as_before(project: Project, name: str) -> list[Plan]:
    """From the logs and in the profiles of the last execution; from the published ones at first."""
    kept = [record(project.results / name / profile) for profile in profiles(project.results / name)]
    if not any(kept):
        return plans(project, name, project.logs)
    return [plan(project, name, project.root / k["logs"], k["profile"]) for k in kept if k]


def profiles(folder: Path) -> list[str]:
    """The profiles in which the notebook of this folder has results, the most telling first."""
    there = folder.iterdir() if folder.is_dir() else ()
    return evidence.preferred(path.name for path in there if path.name[0] != "." and record(path))


def settle(project: Project, executed: list[Plan]) -> None:
    """Remove the results of profiles that were not asked for, so that pages show what the last execution was about. A
    notebook that found enough evidence in no profile is a fault."""
    for name in dict.fromkeys(plan.name for plan in executed):
        mine = [plan for plan in executed if plan.name == name]
        if not any(record(plan.output) for plan in mine):
            said = "; ".join(f"profile {p.profile}: {_attempt(p.output).get('lacking', 'no results')}" for p in mine)
            raise NotebookFailed(f"{project.shown(mine[0].source)}: too little evidence ({said})")
        keep = {plan.output for plan in mine}
        for folder in {plan.output.parent for plan in mine}:
            for path in folder.iterdir():
                if path not in keep and path.name[0] != ".":  # another process may be at work in its own folder
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _inputs(project: Project, values: dict[str, Any], logs: Path, experiments: list[str], profile: str) -> dict[str, Any]:
    """The parts that depend on the profile, and the lock file."""
    lock = project.root / LOCK
    return {
        # Where the evidence lies and where the results go decide nothing: the evidence is hashed itself.
        "parameters": {k: v for k, v in values.items() if k not in ("logs", "output")} | {"profile": profile},
        "logs": {
            f"{e}/{profile}/{run}": digest
            for e in experiments
            for run, digest in evidence.fingerprint(logs, e, profile).items()
        },
        "lock": sha256(lock) if lock.is_file() else None,
    }


def record(folder: Path) -> dict[str, Any] | None:
    """What is kept of the last execution, if its results are there."""
    kept = _attempt(folder) if (folder / "results.json").is_file() else {}
    return kept or None


def _attempt(folder: Path) -> dict[str, Any]:
    """What is kept of the last execution, also if it found too little evidence; empty where there was none."""
    try:
        return json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


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


def due(plan: Plan, force: bool = False) -> str:
    """Why the plan must be executed; empty where its results, or the lack of evidence, are still those of its inputs."""
    kept = _attempt(plan.output)
    there = kept and (kept.get("lacking") or (plan.output / "results.json").is_file())
    return reason(plan, kept if there else None, force)


def execute(plan: Plan, project: Project, force: bool = False, progress: Progress | None = None) -> Outcome:
    """Bring the results of one notebook in one profile up to date. A failure leaves the earlier results as they were."""
    label, kept = plan.label or plan.name, _attempt(plan.output)
    why = due(plan, force)
    if not why:
        if kept.get("logs") != project.shown(plan.logs):  # the same evidence at another place
            _write_record(plan, project, plan.output, kept.get("lacking", ""))
        return Outcome(label, "", lacking=kept.get("lacking", ""))
    began, lacking = time.monotonic(), ""
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{plan.profile}-", dir=plan.output.parent))
    try:
        try:
            _run(plan, project, scratch, progress)
        except _Lacking as missing:
            lacking = str(missing)
            (scratch / "results.json").unlink(missing_ok=True)
        if not lacking and not (scratch / "results.json").is_file():
            raise UserError(f"{project.shown(plan.source)}: wrote no results; its last cell should call results.save()")
        _write_record(plan, project, scratch, lacking)
        scratch.chmod(0o755)
        _swap(scratch, plan.output)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Outcome(label, why, time.monotonic() - began, lacking)


def stale(project: Project, folder: Path) -> str:
    """Why the results in a folder `<notebook>/<profile>` no longer follow from what is there; empty where they do."""
    kept = record(folder)
    if kept is None:
        return "not executed yet"
    logs = project.root / kept["logs"]
    return reason(plan(project, folder.parent.name, logs, kept["profile"], folder.parents[1]), kept)


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
            if error.ename == INCOMPLETE:
                raise _Lacking(error.evalue) from None
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


def _write_record(plan: Plan, project: Project, folder: Path, lacking: str = "") -> None:
    kept = ({"lacking": lacking} if lacking else {}) | {
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
