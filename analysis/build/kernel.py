"""Kernels of notebooks, forked from a process that has imported libraries beforehand.

A kernel that starts by itself imports for longer than most notebooks compute. Installed libraries alone are imported
beforehand, never modules of this project: those may be edited between two executions by one process.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from multiprocessing import forkserver
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from weakref import WeakSet

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from traitlets import default

HOME = str(Path(__file__).resolve().parents[2])
LIBRARIES = (
    "ipykernel.debugger",
    "ipykernel.kernelapp",
    "matplotlib.pyplot",
    "pandas",
    "psutil",
    "pyarrow.parquet",
    "scipy.stats",
    "torch._dynamo",
)
# What a process reads once, when it starts: the server's counts for all kernels. As many of these run as there are
# cores, and one thread adds in one order.
FIXED = {
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # no warning of the debugger, which no kernel uses
}

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(LIBRARIES))
_starting = threading.Lock()
_running: "WeakSet[Forked]" = WeakSet()


class Forked:
    """A forked process with those methods of `subprocess.Popen` that a provisioner calls."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess):
        self.process = process
        with _starting, _without_main():
            with _environment(FIXED):
                forkserver.ensure_running()
            process.start()
            _running.add(self)

    @property
    def pid(self) -> int | None:
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        if self.pid and self.process.is_alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Provisioner(LocalProvisioner):
    """Starts a kernel on this machine by a fork instead of a command."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        self.cwd = kwargs["cwd"]
        self.process = Forked(_context.Process(target=_serve, args=(arguments, kwargs["env"], self.cwd)))
        self.pid = self.process.pid
        return self.connection_info


class Manager(AsyncKernelManager):
    """Manages a forked kernel, for `nbclient`. They talk through sockets of the file system, since kernels that start
    at the same time may choose the same port."""

    @default("transport")
    def _transport(self) -> str:
        return "ipc"

    @default("connection_file")
    def _connection_file(self) -> str:
        return str(Path(tempfile.gettempdir(), f"kernel-{uuid.uuid4().hex[:12]}.json"))

    async def _async_pre_start_kernel(self, **kwargs: Any) -> Any:
        self.kernel_id = self.kernel_id or str(uuid.uuid4())
        self.provisioner = self.provisioner or Provisioner(
            kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self
        )
        return await super()._async_pre_start_kernel(**kwargs)


def kill() -> None:
    """Kill all kernels of this process; who waits for one gets an error."""
    with _starting:
        kernels = list(_running)
    for kernel in kernels:
        kernel.kill()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Within the block, a process that starts has these variables. `os.environ` stays as it is: another thread may be
    copying it, or giving it to a process that is no kernel."""
    for name, value in variables.items():
        os.putenv(name, value)
    try:
        yield
    finally:
        for name in variables:
            if name in os.environ:
                os.putenv(name, os.environ[name])
            else:
                os.unsetenv(name)


@contextlib.contextmanager
def _without_main() -> Iterator[None]:
    """Within the block, a process that starts does not run this program's main module first, as multiprocessing has it
    do: a kernel needs nothing of it, and would import the project's modules for as long as a notebook computes."""
    main = sys.modules["__main__"].__dict__
    kept = {name: main.pop(name) for name in ("__file__", "__spec__") if name in main}
    main["__spec__"] = None
    try:
        yield
    finally:
        main.update(kept)


def _serve(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    """Be a kernel that can import this project and draw without a display, in a process group of its own: Ctrl-C is
    for the process that executes the notebook."""
    from ipykernel.kernelapp import IPKernelApp

    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment, **FIXED, MPLBACKEND="Agg")
    sys.path.insert(0, HOME)
    threading.Thread(target=_die_with, args=(multiprocessing.parent_process(),), daemon=True).start()
    IPKernelApp.launch_instance(arguments)


def _die_with(parent: Any) -> None:
    """End this process as soon as its parent has ended, which may have been killed."""
    parent.join()
    os._exit(1)
