import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runner import lock
from runner.errors import Held

HOLD = """
import sys, time
from pathlib import Path
from runner import lock
with lock.hold(Path(sys.argv[1])):
    print(1, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the folder."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "1\n"
        yield process
        process.kill()


def test_the_second_is_told_who_holds_it_and_since_when(tmp_path: Path, holder):
    with pytest.raises(Held, match=rf"is held by process {holder.pid} on \S+ since 20\d\d-"), lock.hold(tmp_path):
        pass
    assert lock.holder(tmp_path).pid == holder.pid


def test_a_dead_process_holds_nothing(tmp_path: Path, holder):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert lock.holder(tmp_path) is None
    with lock.hold(tmp_path):
        assert f"process {os.getpid()}" in (tmp_path / "lock").read_text().replace('"pid": ', "process ")


def test_nobody_holds_a_folder_that_is_new_or_was_let_go(tmp_path: Path):
    assert lock.holder(tmp_path / "new") is None
    with lock.hold(tmp_path):
        pass
    assert lock.holder(tmp_path) is None
