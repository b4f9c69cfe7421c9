import subprocess
import sys


def test_what_is_read_can_be_looked_at_without_torch():
    code = "import sys, runner.data.dataset; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
