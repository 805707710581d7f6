"""A process, its descendants, and what they use."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

_CPUCLOCK_SCHED = 2
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def process_cpu_s(pid: int) -> float | None:
    """CPU seconds a process has used, all its threads together; None when it is gone.

    The clock id of another process is defined by Linux as (~pid << 3) | CPUCLOCK_SCHED
    (clock_getcpuclockid(3)): nanoseconds, for one system call.
    """
    try:
        return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
    except (OSError, AttributeError, OverflowError):
        return None


def process_tree(pid: int) -> list[int]:
    """The process and its descendants, as far as they are alive.

    Linux names a thread's children in /proc; searching all processes of the machine for them,
    as is done elsewhere, would cost a hundred times more.
    """
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return [pid] if os.path.isdir("/proc/self/task") else _search_tree(pid)
    found = [pid]
    for thread in threads:
        try:
            children = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
        except OSError:
            continue
        for child in children:
            found += process_tree(int(child))
    return found


def resident_bytes(pid: int) -> int:
    """Resident memory of one process, 0 when it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        pass
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _search_tree(pid: int) -> list[int]:
    try:
        children = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return [pid]
    return [pid, *(child.pid for child in children)]
