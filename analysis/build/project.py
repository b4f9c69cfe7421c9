"""Where things are. Every path of the package comes from here, so a test can build a whole house in a folder."""

from dataclasses import dataclass
from pathlib import Path


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
        """The claims that can be checked."""
        return self.root / "analysis" / "ledger.toml"

    @property
    def references(self) -> Path:
        """The bibliography of the posts, as BibTeX."""
        return self.root / "analysis" / "references.bib"

    @property
    def posts(self) -> Path:
        """The prose."""
        return self.root / "posts"

    @property
    def results(self) -> Path:
        """What the notebooks wrote, a folder each."""
        return self.root / "build" / "analysis"

    @property
    def published(self) -> Path:
        """What the same notebooks make of the published logs, to compare with."""
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
    def benchmarks(self) -> Path:
        """What the benchmarks wrote last, a parquet file each."""
        return self.root / "benchmarks" / "results"

    def notebook_names(self) -> list[str]:
        """Every notebook, by the stem of its file."""
        return sorted(path.stem for path in self.notebooks.glob("*.py"))

    def shown(self, path: Path) -> str:
        """`path` as a message shows it: from the checkout's root where it lies inside."""
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else str(path)


def here() -> Project:
    """The checkout that this package belongs to, or the current folder for an installed copy."""
    root = Path(__file__).resolve().parents[2]
    return Project(root if (root / "mkdocs.yml").is_file() else Path.cwd())
