"""Executes the notebooks whose inputs have changed.

The inputs are hashed by content, part by part: the notebook's source, the modules that it imports, its parameters, the
logs that it reads, and the lock file. The hashes are stored beside the results, so that the reason for an execution can
be shown.

A notebook is executed once for each profile that all its experiments have, into `build/analysis/<notebook>/<profile>/`.
Where it finds too little evidence in a profile, it raises `arms.Incomplete`, and the profile is left out of the pages.
"""

import json
import logging
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.build import evidence, notebook
from analysis.build.project import Project, read
from runner.errors import UserError
from runner.files import sha256

LOCK = "requirements.lock"
RECORD = "record.json"
MOST = 8  # kernels at a time: each takes some hundred MB
INCOMPLETE = "Incomplete"  # analysis.study.arms.Incomplete, as papermill names what a cell raised


class NotebookFailed(Exception):
    """A cell of a notebook has raised. The message has the notebook, the cell, its source and the exception."""


class _Lacking(Exception):
    """A notebook found too little evidence; the message says what is missing."""


@dataclass(frozen=True)
class Plan:
    """One execution of a notebook: its profile, where it reads and writes, and the hashes of its inputs (`parts`)."""

    name: str
    source: Path
    output: Path
    logs: Path
    profile: str
    experiments: list[str]
    parts: dict[str, Any]
    label: str = ""  # its name in messages, with the profile where there are several

    @property
    def key(self) -> str:
        """One hash of all parts, in hexadecimal."""
        import hashlib

        return hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """The outcome of `execute`.

    reason   why the notebook was executed; empty where it was not
    seconds  how long that took
    lacking  which evidence is missing, where there are no results for that reason
    """

    name: str
    reason: str
    seconds: float = 0.0
    lacking: str = ""

    def line(self) -> str:
        """The outcome in one line, for the terminal."""
        if self.lacking:
            return f"{self.name}: too little evidence yet ({self.lacking})"
        return f"{self.name}: {f'executed in {self.seconds:.1f} s' if self.reason else 'unchanged'}"


def parameters(project: Project, name: str) -> dict[str, Any]:
    """The parameters of the notebook `name` with their defaults; a `UserError` for an unknown notebook."""
    source = project.notebooks / f"{name}.py"
    if not source.is_file():
        raise UserError(f"unknown notebook {name!r}; known: {', '.join(project.notebook_names()) or 'none'}")
    return notebook.parameters(read(source, project.shown(source)), project.shown(source))


def plan(
    project: Project,
    name: str,
    logs: Path,
    profile: str | None = None,
    output: Path | None = None,
) -> Plan:
    """The plan of the notebook `name` for one profile: `profile`, or else the largest that there is."""
    return plans(project, name, logs, profile, output)[0]


def plans(
    project: Project,
    name: str,
    logs: Path,
    profile: str | None = None,
    output: Path | None = None,
) -> list[Plan]:
    """The plans of the notebook `name`: one for `profile`, or else one for each profile of the evidence under `logs`.

    `output` is the folder of all results (the project's if None). Raises a `UserError` for an unknown notebook or
    profile. It neither imports papermill nor reads the logs.
    """
    source, known = project.notebooks / f"{name}.py", parameters(project, name)
    where = project.shown(source)
    for needed in ("logs", "profile", "output"):
        if needed not in known:
            raise UserError(f"{where}: the parameters cell must set {needed}")
    experiments, text = notebook.reads(known, name), source.read_text(encoding="utf-8")
    for other in notebook.undeclared(text, known, name):
        raise UserError(f"{where}: reads {other}, which `experiments` in its parameters cell does not list")
    chosen = evidence.choose_profiles(logs, experiments, profile, project.shown(logs))
    modules = *notebook.imports(source, project.root), *_plans(project, [*experiments, *notebook.planned(text)])
    parts = {"notebook": sha256(source), "modules": {project.shown(path): sha256(path) for path in modules}}
    folder = (output or project.results) / name
    return [
        Plan(
            name,
            source,
            folder / one,
            logs,
            one,
            experiments,
            parts | _inputs(project, known, logs, experiments, one),
            name if len(chosen) == 1 else f"{name}, {one}",
        )
        for one in chosen
    ]


def replications(project: Project, name: str, profiles: Collection[str]) -> dict[str, list[Plan]]:
    """Kind of machine → the plans of a notebook from the logs of that kind, in each of the `profiles` of which it has
    runs of all that the notebook reads: beside results of another size they tell nothing."""
    names, found = notebook.reads(parameters(project, name), name), {}
    for kind in evidence.kinds(project.replications):
        root, output = project.replications / kind, project.replicated / kind
        common = [profile for profile in evidence.common_profiles(root, names) if profile in profiles]
        plans = [plan(project, name, root, profile, output) for profile in common]
        if plans:
            found[kind] = [replace(one, label=f"{name}, {one.profile}, {kind}") for one in plans]
    return found


def replicated(project: Project, plans: Iterable[Plan]) -> list[Plan]:
    """The plans from machines of other kinds that stand beside these."""
    shown: dict[str, set[str]] = {}
    for plan in plans:
        shown.setdefault(plan.name, set()).add(plan.profile)
    there = (replications(project, name, profiles).values() for name, profiles in shown.items())
    return [plan for by_kind in there for plans in by_kind for plan in plans]


def as_before(project: Project, name: str) -> list[Plan]:
    """The plans of a notebook with the logs and profiles of its last execution; with the published logs if there was
    none."""
    kept = [record(project.results / name / profile) for profile in profiles(project.results / name)]
    if not any(kept):
        return plans(project, name, project.logs)
    return [plan(project, name, project.root / k["logs"], k["profile"]) for k in kept if k]


def profiles(folder: Path) -> list[str]:
    """The profiles in which the notebook of this folder has results, the largest first."""
    paths = folder.iterdir() if folder.is_dir() else ()
    return evidence.preferred(path.name for path in paths if path.name[0] != "." and record(path))


def settle(project: Project, executed: list[Plan]) -> None:
    """Remove the results of profiles that are not among the executed plans, so that pages show the last execution only.

    Raises `NotebookFailed` where a notebook found too little evidence in every profile.
    """
    for name in dict.fromkeys(plan.name for plan in executed):
        own = [plan for plan in executed if plan.name == name]
        if not any(record(plan.output) for plan in own):
            missing = "; ".join(f"profile {p.profile}: {_attempt(p.output).get('lacking', 'no results')}" for p in own)
            raise NotebookFailed(f"{project.shown(own[0].source)}: too little evidence ({missing})")
        keep = {plan.output for plan in own}
        for folder in {plan.output.parent for plan in own}:
            for path in folder.iterdir():
                if path not in keep and path.name[0] != ".":  # a hidden folder may be in use by another process
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def _inputs(
    project: Project, values: dict[str, Any], logs: Path, experiments: list[str], profile: str
) -> dict[str, Any]:
    """The parts that depend on the profile, and the lock file."""
    lock = project.root / LOCK
    read = [(e, profile) for e in experiments]
    if values.get("everything"):
        read = [(e, one) for e in evidence.experiments(logs) for one in evidence.profiles(logs, e)]
    return {
        # No result depends on the places of logs and output: the evidence is hashed by content.
        "parameters": {k: v for k, v in values.items() if k not in ("logs", "output")} | {"profile": profile},
        "logs": {
            f"{e}/{one}/{run}": digest for e, one in read for run, digest in evidence.fingerprint(logs, e, one).items()
        },
        "lock": sha256(lock) if lock.is_file() else None,
    }


def record(folder: Path) -> dict[str, Any] | None:
    """The record of the last execution in this folder; None where it has no results."""
    kept = _attempt(folder) if (folder / "results.json").is_file() else {}
    return kept or None


def _attempt(folder: Path) -> dict[str, Any]:
    """The record of the last execution in this folder, with results or without; empty where there was none."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"logs", "profile", "parts"} <= found.keys() else {}


def reason(plan: Plan, kept: dict[str, Any] | None, force: bool = False) -> str:
    """Why the notebook must be executed, in a few words; empty where nothing has changed."""
    if kept is None:
        return "first time"
    old, new = kept.get("parts", {}), plan.parts
    reasons = []
    if old.get("notebook") != new["notebook"]:
        reasons.append("notebook changed")
    modules = _changed(old, new, "modules")
    reasons += [f"{path} changed" for path in modules[:3]]
    if modules[3:]:
        reasons.append(f"{len(modules) - 3} more changed")
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
    """Why the plan must be executed; empty where its last outcome, results or too little evidence, is up to date."""
    kept = _attempt(plan.output)
    complete = kept and (kept.get("lacking") or (plan.output / "results.json").is_file())
    return reason(plan, kept if complete else None, force)


def execute_all(
    plans: list[Plan],
    project: Project,
    force: bool = False,
    started: Callable[[Plan, str], None] = lambda plan, why: None,
    ended: Callable[[Outcome], None] = lambda outcome: None,
) -> None:
    """Bring the results of several plans up to date, as many at a time as there are cores. Where one fails, no other is
    started, and the error is raised when those that run have ended.

    `started` is called with each plan that is due and the reason, by the thread that executes it; `ended` with each
    outcome, in the order in which they end.
    """
    from concurrent.futures import ThreadPoolExecutor, as_completed

    stop, errors = threading.Event(), []

    def job(plan: Plan) -> Outcome | None:
        if stop.is_set():
            return None
        if why := due(plan, force):
            started(plan, why)
        return execute(plan, project, force)

    with ThreadPoolExecutor(min(MOST, os.cpu_count() or 1)) as pool:
        try:
            for future in as_completed([pool.submit(job, plan) for plan in plans]):
                if error := future.exception():
                    stop.set()
                    errors.append(error)
                elif outcome := future.result():
                    ended(outcome)
        except BaseException:
            stop.set()
            _kill_kernels()
            raise
    if errors:
        raise errors[0]


def _kill_kernels() -> None:
    from analysis.build import kernel

    logging.getLogger("papermill").setLevel(logging.CRITICAL)  # it would say of each that it died
    kernel.kill()


def execute(plan: Plan, project: Project, force: bool = False) -> Outcome:
    """Bring the results of one plan up to date. Raises `NotebookFailed` where a cell raises; the earlier results then
    stay."""
    label, kept = plan.label or plan.name, _attempt(plan.output)
    why = due(plan, force)
    if not why:
        if kept.get("logs") != project.shown(plan.logs):  # the same evidence in another folder
            write_record(plan, project, plan.output, kept.get("lacking", ""))
        return Outcome(label, "", lacking=kept.get("lacking", ""))
    began, lacking = time.monotonic(), ""
    plan.output.parent.mkdir(parents=True, exist_ok=True)
    restored = None if force else _kept(plan, project)
    scratch = Path(tempfile.mkdtemp(prefix=f".{plan.profile}-", dir=plan.output.parent))
    try:
        try:
            if restored:
                shutil.copytree(restored, scratch, dirs_exist_ok=True)
            else:
                _run(plan, project, scratch)
        except _Lacking as missing:
            lacking = str(missing)
            (scratch / "results.json").unlink(missing_ok=True)
        if not lacking and not (scratch / "results.json").is_file():
            raise UserError(f"{project.shown(plan.source)}: wrote no results; its last cell should call results.save()")
        write_record(plan, project, scratch, lacking)
        scratch.chmod(0o755)
        _swap(scratch, plan.output)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Outcome(label, "" if restored else why, time.monotonic() - began, lacking)


def _kept(plan: Plan, project: Project) -> Path | None:
    """The folder of published results that are kept for comparisons, where they are of the same inputs."""
    folder = project.published / plan.name / plan.profile
    kept = record(folder)
    return folder if folder != plan.output and kept and kept["key"] == plan.key else None


def stale(project: Project, folder: Path) -> str:
    """Why the results in a folder `<notebook>/<profile>` are out of date; empty where they are up to date."""
    kept = record(folder)
    if kept is None:
        return "not executed yet"
    logs = project.root / kept["logs"]
    return reason(plan(project, folder.parent.name, logs, kept["profile"], folder.parents[1]), kept)


def _run(plan: Plan, project: Project, scratch: Path) -> None:
    import jupytext
    import papermill
    from papermill.exceptions import PapermillExecutionError

    from analysis.build import kernel

    document = jupytext.read(plan.source, fmt="py:percent")
    document.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    draft = scratch / "draft.ipynb"
    jupytext.write(document, draft, fmt="ipynb")
    values = {"logs": str(plan.logs), "profile": plan.profile, "output": str(scratch)}
    values |= {k: v for k, v in plan.parts["parameters"].items() if k not in values}
    try:
        papermill.execute_notebook(
            str(draft),
            str(scratch / "executed.ipynb"),
            parameters=values,
            kernel_name="python3",
            kernel_manager_class=kernel.Manager,
            resources={"metadata": {"path": str(project.root)}},  # where the kernel works
            progress_bar=False,
            log_output=False,
            request_save_on_cell_execute=False,  # it would write the whole notebook twice for each cell
            autosave_cell_every=0,
            extra_arguments=["--IPKernelApp.log_level=50"],  # no messages of the kernel about itself
        )
    except PapermillExecutionError as error:
        if error.ename == INCOMPLETE:
            raise _Lacking(error.evalue) from None
        raise NotebookFailed(_explain(plan, project, error)) from None
    draft.unlink()


def _explain(plan: Plan, project: Project, error: Any) -> str:
    """The error message for a cell that raised: file and line, exception, source."""
    from re import match, sub

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
    arrow = next((row.strip() for row in "\n".join(frames).splitlines() if match(r"\s*-+>", row)), "")
    number = error.exec_count - 1 if error.exec_count and error.exec_count > 1 else 1  # papermill adds a cell
    source = "\n".join(f"    {row}" for row in text.splitlines())
    where = f"\n  at {arrow}" if arrow else ""
    return f"{place}: code cell {number} failed: {error.ename}: {error.evalue}\n{source}{where}"


def write_record(plan: Plan, project: Project, folder: Path, lacking: str = "") -> None:
    """Say in a folder of results what they were made from; `lacking` is why a notebook gave none."""
    kept = ({"lacking": lacking} if lacking else {}) | {
        "key": plan.key,
        "parts": plan.parts,
        "logs": project.shown(plan.logs),
        "profile": plan.profile,
        "experiments": plan.experiments,
    }
    (folder / RECORD).write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def _swap(new: Path, place: Path) -> None:
    """Replace the folder `place` by the folder `new`."""
    old = place.with_name(f".{place.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _plans(project: Project, experiments: list[str]) -> list[Path]:
    """The TOML files of experiments, on which results depend where a notebook reads planned runs only."""
    folder = project.root / "runner" / "experiments"
    return [path for name in experiments for path in folder.rglob(f"{name}.toml")]


def _changed(old: dict[str, Any], new: dict[str, Any], part: str) -> list[str]:
    was, now = old.get(part, {}), new[part]
    return [name for name in sorted(was.keys() | now.keys()) if was.get(name) != now.get(name)]
