"""The project's folders. All paths of the package come from here, so that a test can use a project in another
folder."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from runner import lock
from runner.errors import Held, UserError


@dataclass(frozen=True)
class Project:
    """The folders of one checkout."""

    root: Path

    @property
    def notebooks(self) -> Path:
        """The notebooks, as percent scripts."""
        return self.root / "analysis" / "notebooks"

    @property
    def ledger(self) -> Path:
        """The file of claims."""
        return self.root / "analysis" / "ledger.toml"

    @property
    def references(self) -> Path:
        """The bibliography of the posts, as BibTeX."""
        return self.root / "analysis" / "references.bib"

    @property
    def posts(self) -> Path:
        """The posts, one folder for each."""
        return self.root / "posts"

    @property
    def results(self) -> Path:
        """The results of the notebooks, `<notebook>/<profile>/`."""
        return self.root / "build" / "analysis"

    @property
    def published(self) -> Path:
        """The results of the notebooks from the published logs, for comparisons."""
        return self.root / "build" / "published"

    @property
    def docs(self) -> Path:
        """The woven pages: plain Markdown for the site generator."""
        return self.root / "build" / "docs"

    @property
    def site(self) -> Path:
        """The finished site."""
        return self.root / "site"

    @property
    def logs(self) -> Path:
        """The published evidence."""
        return self.root / "logs"

    @property
    def replications(self) -> Path:
        """The same experiments from machines of other kinds, a folder each, laid out like the published evidence."""
        return self.root / "replications"

    @property
    def replicated(self) -> Path:
        """What the notebooks make of them, a folder for each kind of machine."""
        return self.root / "build" / "replications"

    @property
    def benchmarks(self) -> Path:
        """The results of the benchmarks, one parquet file for each."""
        return self.root / "benchmarks" / "results"

    def notebook_names(self) -> list[str]:
        """The names of all notebooks, which are the stems of their files."""
        return sorted(path.stem for path in self.notebooks.glob("*.py"))

    def shown(self, path: Path) -> str:
        """`path` for messages: relative to the root where it is inside."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)

    @contextmanager
    def alone(self, say: Callable[[str], None]) -> Iterator[None]:
        """Hold the folder `build` for the length of the block, as two commands must not write it at once. Waits for
        another process that does, after saying so."""
        folder, waiting = self.root / "build", False
        with ExitStack() as held:
            while True:
                try:
                    held.enter_context(lock.hold(folder))
                    break
                except Held:
                    if not waiting:
                        say(f"{folder} is held by {lock.holder(folder) or lock.Holder()}: waits for it")
                    waiting = True
                    time.sleep(0.5)
            yield


def read(path: Path, where: str) -> str:
    """The text of a file. Raises a `UserError` with the line where it is not UTF-8; `where` is its name there."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(f"{where}:{line}: no UTF-8 text: save it as UTF-8") from None


def current() -> Project:
    """The checkout of this package; for an installed package, the project in the working directory."""
    root = Path(__file__).resolve().parents[2]
    return Project(root if (root / "mkdocs.yml").is_file() else Path.cwd())
