"""The kernel that notebooks run in: this very interpreter, and nothing of it left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

import psutil
from jupyter_client.asynchronous.client import AsyncKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager


class OwnKernelManager(AsyncKernelManager):
    """Starts ipykernel on `sys.executable`, whatever kernels are installed, and ends its family.

    Kernels are sessions of their own, so neither a terminal's Ctrl-C nor their own end reaches
    the processes they started (load drivers): these are ended here.
    """

    #: Process ids of the kernels now running, the latest last.
    running: list[int] = []  # noqa: RUF012  (shared by all managers on purpose)
    #: Set once the run is to stop: a kernel that is about to start must not outlive that.
    stopping = threading.Event()

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("client_class", f"{__name__}.{OwnKernelClient.__name__}")
        # Otherwise any user of the machine could listen in on the kernel's loopback ports.
        super().__init__(transport_encryption="auto", **settings)

    @property
    def kernel_spec(self) -> KernelSpec:
        """This interpreter's ipykernel."""
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(
            argv=command,
            display_name="Python",
            language="python",
            metadata={"supported_encryption": ["curve"]},
        )

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        refuse_when_stopping()
        await super()._async_launch_kernel(kernel_cmd, **kw)
        if (pid := kernel_pid(self)) is not None:
            self.running.append(pid)
        if self.stopping.is_set():
            kill()
        refuse_when_stopping()

    async def shutdown_kernel(  # type: ignore[override]
        self, now: bool = False, restart: bool = False
    ) -> None:
        """End the kernel, then what it had started."""
        pid = kernel_pid(self)
        family = descendants(pid) if pid is not None else []
        try:
            await super()._async_shutdown_kernel(now=now, restart=restart)
        finally:
            end(family)
            if pid in self.running:
                self.running.remove(pid)


class OwnKernelClient(AsyncKernelClient):
    """Sends no cell once the run is to stop: a kernel at its start, or between two cells, does
    not hear the interrupt."""

    def execute(self, *args: Any, **kw: Any) -> str:
        """Send a cell; RuntimeError when the run is being stopped."""
        refuse_when_stopping()
        message_id: str = super().execute(*args, **kw)
        return message_id


def refuse_when_stopping() -> None:
    """RuntimeError when the run is being stopped."""
    if OwnKernelManager.stopping.is_set():
        raise RuntimeError("the run is being stopped")


def kernel_pid(manager: AsyncKernelManager) -> int | None:
    """The kernel's process id, None before its start and after its end."""
    return getattr(manager.provisioner, "pid", None)


def allow() -> None:
    """Let kernels start again, after an `interrupt` that ended the ones before."""
    OwnKernelManager.stopping.clear()


def interrupt() -> None:
    """Ask the running kernels to stop their cell: its `finally` blocks still run.

    A kernel that has not started yet does not start any more, until `allow`.
    """
    OwnKernelManager.stopping.set()
    for pid in list(OwnKernelManager.running):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)


def kill() -> None:
    """End the running kernels and everything they started, now."""
    for pid in list(OwnKernelManager.running):
        with contextlib.suppress(psutil.NoSuchProcess):
            kernel = psutil.Process(pid)
            # It starts nothing more while its children are looked up.
            kernel.suspend()
            end([kernel, *descendants(pid)], grace_s=0.0)
    OwnKernelManager.running.clear()


def descendants(pid: int) -> list[psutil.Process]:
    """Everything a process started, directly or not, that still runs."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def end(processes: Sequence[psutil.Process], grace_s: float = 5.0) -> None:
    """SIGTERM, then after `grace_s` seconds SIGKILL."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate() if grace_s else process.kill()
    _, alive = psutil.wait_procs(processes, timeout=grace_s or 5.0)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5.0)
