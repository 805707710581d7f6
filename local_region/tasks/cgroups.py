"""CFS quotas by cgroup, version 2 or 1: what Fargate's agent uses, with the same 100 ms period."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import psutil

PERIOD_US = 100_000
_NAME = "local-region"
_OWNED = re.compile(rf"^{_NAME}-(\d+)-(\d+)$")


@dataclass(frozen=True)
class Mount:
    """One cgroup mount. `controllers` is empty for version 2."""

    version: int
    path: Path
    controllers: frozenset[str]


class Hierarchy(Protocol):
    """Where the region's groups are, and how a group is limited and read."""

    @property
    def roots(self) -> tuple[Path, ...]: ...

    def limit(self, group: str, cores: float) -> None: ...

    def procs(self, group: str) -> tuple[str, ...]: ...

    def read(self, group: str) -> dict[str, int]: ...


class CgroupV1:
    """`cpu` holds the quota, `cpuacct` the account; they may be one mount or two."""

    def __init__(self, cpu: Path, cpuacct: Path) -> None:
        self._cpu, self._cpuacct = cpu, cpuacct

    @property
    def roots(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys((self._cpu, self._cpuacct)))

    def limit(self, group: str, cores: float) -> None:
        (self._cpu / group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
        (self._cpu / group / "cpu.cfs_quota_us").write_text(str(round(cores * PERIOD_US)))

    def procs(self, group: str) -> tuple[str, ...]:
        return tuple(str(root / group / "cgroup.procs") for root in self.roots)

    def read(self, group: str) -> dict[str, int]:
        """usage_usec, nr_periods, nr_throttled, throttled_usec, as version 2 names them."""
        stat = parse_stat((self._cpu / group / "cpu.stat").read_text())
        usage_ns = int((self._cpuacct / group / "cpuacct.usage").read_text())
        return {
            "usage_usec": usage_ns // 1000,
            "nr_periods": stat["nr_periods"],
            "nr_throttled": stat["nr_throttled"],
            "throttled_usec": stat["throttled_time"] // 1000,
        }


class CgroupV2:
    """One tree; `cpu` must be handed down by the parent group."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def roots(self) -> tuple[Path, ...]:
        return (self._root,)

    def limit(self, group: str, cores: float) -> None:
        (self._root / group / "cpu.max").write_text(f"{round(cores * PERIOD_US)} {PERIOD_US}")

    def procs(self, group: str) -> tuple[str, ...]:
        return (str(self._root / group / "cgroup.procs"),)

    def read(self, group: str) -> dict[str, int]:
        return parse_stat((self._root / group / "cpu.stat").read_text())


def parse_stat(text: str) -> dict[str, int]:
    """`name value` lines of a cpu.stat file."""
    fields = (line.split() for line in text.splitlines())
    return {field[0]: int(field[1]) for field in fields if len(field) == 2}


def parse_mounts(mountinfo: str) -> list[Mount]:
    """The cgroup mounts of a /proc/self/mountinfo (proc(5))."""
    mounts = []
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        path = Path(left.split()[4])
        if kind == "cgroup2":
            mounts.append(Mount(2, path, frozenset()))
        elif kind == "cgroup":
            mounts.append(Mount(1, path, frozenset(options.split(","))))
    return mounts


def parse_memberships(cgroup: str) -> dict[str, str]:
    """Controller -> the path of our own group below its mount; "" is version 2 (cgroups(7))."""
    memberships = {}
    for line in cgroup.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            memberships[controller] = path
    return memberships


def parents_v1(mounts: list[Mount], memberships: dict[str, str]) -> Iterator[tuple[Path, Path]]:
    """Where a group could be made under version 1: (cpu, cpuacct), our own group first."""
    found: dict[str, Path] = {}
    for mount in mounts:
        for controller in ("cpu", "cpuacct"):
            if mount.version == 1 and controller in mount.controllers:
                found[controller] = mount.path
    if len(found) == 2:
        for below in dict.fromkeys((True, False)):
            cpu, cpuacct = (
                found[name] / memberships.get(name, "/").lstrip("/") if below else found[name]
                for name in ("cpu", "cpuacct")
            )
            yield cpu, cpuacct


def parents_v2(mounts: list[Mount], memberships: dict[str, str]) -> Iterator[Path]:
    """Where a group could be made under version 2: beside us (a group with processes hands no
    controllers down), below us, at the root."""
    for mount in mounts:
        if mount.version == 2:
            own = mount.path / memberships.get("", "/").lstrip("/")
            yield from dict.fromkeys((own.parent if own != mount.path else own, own, mount.path))


def make_hierarchy(version: int) -> Hierarchy | None:
    """Make this process's own parent group where the machine allows; None when it does not.

    What earlier regions left there is removed first. The new group is tried out for real: a
    child is put into it and must be held to its quota.
    """
    try:
        mounts = parse_mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8"))
        memberships = parse_memberships(Path("/proc/self/cgroup").read_text(encoding="utf-8"))
    except OSError:
        return None
    name = f"{_NAME}-{os.getpid()}-{round(psutil.Process().create_time())}"
    candidates = (
        parents_v1(mounts, memberships) if version == 1 else parents_v2(mounts, memberships)
    )
    for parents in candidates:
        bases = parents if isinstance(parents, tuple) else (parents,)
        for base in dict.fromkeys(bases):
            remove_stale(base)
        roots = tuple(base / name for base in bases)
        hierarchy: Hierarchy = CgroupV1(*roots) if len(roots) == 2 else CgroupV2(roots[0])
        try:
            for root in hierarchy.roots:
                root.mkdir(exist_ok=True)
            if version == 2:
                (roots[0] / "cgroup.subtree_control").write_text("+cpu")
            if holds_a_process(hierarchy):
                return hierarchy
        except OSError:
            pass
        for root in hierarchy.roots:
            remove_group(root)
    return None


def holds_a_process(hierarchy: Hierarchy, cores: float = 0.2, trial_s: float = 0.25) -> bool:
    """Whether a busy child in a group of `cores` is really throttled there. Raises OSError."""
    for root in hierarchy.roots:
        (root / "trial").mkdir(exist_ok=True)
    try:
        hierarchy.limit("trial", cores)
        child = psutil.Popen(["sh", "-c", "while :; do :; done"], start_new_session=True)
        try:
            for path in hierarchy.procs("trial"):
                Path(path).write_text(str(child.pid), encoding="ascii")
            time.sleep(trial_s)
            return hierarchy.read("trial")["nr_throttled"] > 0
        finally:
            child.kill()
            child.wait()
    finally:
        for root in hierarchy.roots:
            remove_group(root / "trial")


def remove_stale(base: Path) -> None:
    """Remove the groups of regions that are no more; what still runs in them is theirs: ended."""
    try:
        found = [entry for entry in base.iterdir() if _OWNED.match(entry.name)]
    except OSError:
        return
    for group in found:
        match = _OWNED.match(group.name)
        assert match is not None
        if not _is_alive(int(match[1]), int(match[2])):
            for process in group.glob("**/cgroup.procs"):
                _kill_members(process)
            for directory in sorted(group.glob("*/"), reverse=True):
                remove_group(directory)
            remove_group(group)


def remove_group(directory: Path, attempts: int = 20) -> bool:
    """Remove an empty group; its last process may still be on its way out."""
    for _ in range(attempts):
        try:
            directory.rmdir()
            return True
        except FileNotFoundError:
            return True
        except OSError:
            time.sleep(0.01)
    return False


def _is_alive(pid: int, started_at: int) -> bool:
    try:
        return bool(abs(psutil.Process(pid).create_time() - started_at) < 2.0)
    except psutil.Error:
        return False


def _kill_members(procs: Path) -> None:
    with contextlib.suppress(OSError, ValueError):
        for pid in procs.read_text(encoding="ascii").split():
            os.kill(int(pid), signal.SIGKILL)
