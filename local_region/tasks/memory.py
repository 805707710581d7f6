"""How much memory a task uses, as its cgroup would account it on Fargate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from local_region.tasks.process_tree import process_tree, resident_bytes


@dataclass(frozen=True)
class ProcessMemory:
    """A process's resident memory, in bytes: what is its own and what it shares with others."""

    private: int
    shared: int


def task_bytes(pid: int) -> int | None:
    """Memory of a task's process tree; None when it is gone.

    Pages its processes share count once, as they do in one cgroup; that other tasks on this
    machine map the same libraries does not make a task smaller.
    """
    processes = [_memory(process) for process in process_tree(pid)]
    total = sum(p.private for p in processes) + max((p.shared for p in processes), default=0)
    return total or None


def rss_bytes(pid: int) -> int:
    """Resident memory of the tree, shared pages counted by everyone: cheap, never too low."""
    return sum(resident_bytes(process) for process in process_tree(pid))


def parse_rollup(text: str) -> ProcessMemory:
    """A /proc/PID/smaps_rollup (proc(5))."""
    private = shared = 0
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        if name in ("Private_Clean", "Private_Dirty"):
            private += int(rest.split()[0]) * 1024
        elif name in ("Shared_Clean", "Shared_Dirty"):
            shared += int(rest.split()[0]) * 1024
    return ProcessMemory(private, shared)


def _memory(pid: int) -> ProcessMemory:
    try:
        return parse_rollup(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))
    except OSError:
        return ProcessMemory(resident_bytes(pid), 0)
