"""Builds the site from the woven pages with MkDocs, and serves it with live reload."""

import datetime
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from analysis.build.project import Project
from runner.errors import UserError

STAMP = "site.json"


def build(project: Project, newest: datetime.date | None) -> bool:
    """Build the site, unless its sources are those of the last build; returns whether it was built.

    The old site stays until the new one is complete. Dates in the site are that of the newest post, so that the same
    sources give the same bytes. Raises a `UserError` with the messages of MkDocs.
    """
    stamp = project.root / "build" / STAMP
    wanted = fingerprint(project)
    if (project.site / "index.html").is_file() and _read(stamp) == wanted:
        return False
    fresh = project.root / "build" / "site"
    # Not --quiet: --strict counts only warnings that are printed.
    _run(project, ["build", "--strict", "--clean", "--site-dir", str(fresh)], newest)
    stamp.unlink(missing_ok=True)
    _replace(fresh, project.site)
    stamp.write_text(json.dumps(wanted) + "\n", encoding="utf-8")
    return True


def serve(project: Project, port: int, reweave: Callable[[], None], newest: datetime.date | None) -> None:
    """Serve the site on the loopback address until Ctrl-C. Pages reload when the theme or a woven page changes;
    `reweave` is called when a post, a notebook or the ledger changes."""
    from watchdog.events import FileSystemEvent, FileSystemEventHandler
    from watchdog.observers import Observer

    class Rewoven(FileSystemEventHandler):
        """Calls `reweave` once no event has come for a moment, as an editor's save is several events."""

        def __init__(self) -> None:
            self.timer: threading.Timer | None = None
            self.busy = threading.Lock()

        def on_any_event(self, event: FileSystemEvent) -> None:
            hidden = "/." in str(event.src_path).removeprefix(str(project.root))
            if event.is_directory or event.event_type in ("opened", "closed_no_write") or hidden:
                return
            if self.timer:
                self.timer.cancel()
            self.timer = threading.Timer(0.2, self.call)
            self.timer.daemon = True
            self.timer.start()

        def call(self) -> None:
            """Call `reweave`, but never twice at a time, as it takes longer than the moment."""
            with self.busy:
                reweave()

    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            free.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port}: {error.strerror}; name another one with --port") from None
    observer = Observer()
    rewoven = Rewoven()
    for folder in (project.posts, project.notebooks, project.ledger.parent):
        observer.schedule(rewoven, str(folder), recursive=folder == project.posts)
    observer.start()
    command = [sys.executable, "-m", "mkdocs", "serve", "--dev-addr", f"127.0.0.1:{port}", "--livereload"]
    server = subprocess.Popen([*command, "--watch-theme"], cwd=project.root, env=_environment(newest))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the server ends with this process
    try:
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        server.terminate()
        server.wait()
        observer.stop()
        observer.join()


def fingerprint(project: Project) -> str:
    """One hash of the woven pages, the configuration, the theme, the lock file and SITE_URL."""
    digest = hashlib.sha256(os.environ.get("SITE_URL", "").encode())
    files = [project.root / "mkdocs.yml", project.root / "requirements.lock"]
    for folder in (project.docs, project.root / "theme"):
        files += sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{project.shown(path)}\n{hashlib.sha256(content).hexdigest()}\n".encode())
    return digest.hexdigest()


def title(project: Project) -> tuple[str, str]:
    """The site's name and tagline, from its configuration."""
    config = (project.root / "mkdocs.yml").read_text(encoding="utf-8")
    found = [re.search(rf"^{key}:\s*(.+?)\s*$", config, re.M) for key in ("site_name", "site_description")]
    name, tagline = (match[1].strip("\"'") if match else "" for match in found)
    return name, tagline


def _run(project: Project, words: list[str], newest: datetime.date | None) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *words],
        cwd=project.root,
        env=_environment(newest),
        capture_output=True,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C is for the command that builds the site: it ends when that says so
    )
    if done.returncode:
        lines = (done.stderr + done.stdout).splitlines()
        errors = [line for line in lines if line.startswith(("WARN", "ERR", "Ab"))] or lines
        raise UserError("the site does not build:\n" + "\n".join(f"  {line}" for line in errors[-12:]))


def _environment(newest: datetime.date | None) -> dict[str, str]:
    day = newest or datetime.date(2025, 1, 1)
    moment = datetime.datetime(day.year, day.month, day.day, tzinfo=datetime.UTC)
    return {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(int(moment.timestamp())),
        "TZ": "UTC",
        "DISABLE_MKDOCS_2_WARNING": "true",
        "NO_MKDOCS_2_WARNING": "true",
        "PYTHONHASHSEED": "0",
    }


def _replace(fresh: Path, site: Path) -> None:
    """Replace the content of `site` by that of `fresh`; hidden files, such as .gitignore, stay."""
    site.mkdir(parents=True, exist_ok=True)
    for path in site.iterdir():
        if not path.name.startswith("."):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in list(fresh.iterdir()):
        shutil.move(str(path), str(site / path.name))
    fresh.rmdir()


def _read(stamp: Path) -> str | None:
    try:
        return json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
