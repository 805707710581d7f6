"""One writer per environment: two runs cannot interleave.

`local` is locked by a file beside its region's state, which the kernel frees when the owner
dies. An environment in AWS is locked by an SSM parameter, which only one caller can create:
it holds between machines and needs no stack. Nobody can see whether a process on another
machine lives, so such a lock is never taken over; `runbook unlock` removes it.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from runbook import region
from runbook.aws import client
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, EnvironmentLocked
from runbook.guard import require_writable
from runbook.stacks.owner import Owner, this_process
from runbook.waiting import FAULTS, code

Tell = Callable[[str], None]


class Lock(Protocol):
    """Where the owner of one environment is kept."""

    def take(self, me: Owner) -> Owner | None:
        """Become the owner; gives the dead one it was taken over from.

        Raises EnvironmentLocked, naming the owner, when another one has it.
        """

    def free(self, owner: Owner) -> None:
        """Take it from that owner; somebody else's, who has come since, stays."""

    def owner(self) -> Owner | None:
        """Who has it, or had it and died."""


class FileLock:
    """For `local`: whoever has the open file locked; its content names them."""

    def __init__(self, path: Path, name: str) -> None:
        self._path, self._name = path, name
        self._descriptor: int | None = None

    def take(self, me: Owner) -> Owner | None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise locked(self._name, self.owner()) from error
        dead = self.owner()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, me.to_json().encode(), 0)
        self._descriptor = descriptor
        return dead

    def free(self, owner: Owner) -> None:
        if self._descriptor is None:
            # Only the kernel takes it from somebody who lives: then this raises EnvironmentLocked.
            self.take(owner)
        assert self._descriptor is not None
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def owner(self) -> Owner | None:
        try:
            return Owner.from_json(self._path.read_text(encoding="utf-8"))
        except OSError:
            return None


class ParameterLock:
    """For AWS: an SSM parameter that is created, never overwritten."""

    def __init__(self, ssm: Any, parameter: str, name: str) -> None:
        self._ssm, self._parameter, self._name = ssm, parameter, name

    def take(self, me: Owner) -> Owner | None:
        if self._create(me):
            return None
        # Two processes of one machine may both find a dead owner: one at a time looks again.
        with _one_of_this_machine():
            found = self.owner()
            if found is not None and found.is_alive is not False:
                raise locked(self._name, found)
            if found is not None:
                self.free(found)
            if not self._create(me):
                raise locked(self._name, self.owner())
            return found

    def free(self, owner: Owner) -> None:
        if self.owner() != owner:
            return
        try:
            self._ssm.delete_parameter(Name=self._parameter)
        except FAULTS as error:
            if code(error) != "ParameterNotFound":
                raise self._failed(error) from error

    def owner(self) -> Owner | None:
        try:
            value = self._ssm.get_parameter(Name=self._parameter)["Parameter"]["Value"]
        except FAULTS as error:
            if code(error) == "ParameterNotFound":
                return None
            raise self._failed(error) from error
        return Owner.from_json(value) or Owner.unreadable(value)

    def _create(self, me: Owner) -> bool:
        try:
            self._ssm.put_parameter(
                Name=self._parameter, Value=me.to_json(), Type="String", Overwrite=False
            )
        except FAULTS as error:
            if code(error) != "ParameterAlreadyExists":
                raise self._failed(error) from error
            # A create that was answered too late is repeated by the client: it may be ours.
            return self.owner() == me
        return True

    def _failed(self, error: Exception) -> AwsCallFailed:
        return AwsCallFailed(
            f"The lock of {self._name} cannot be used",
            str(error),
            f"allow ssm:GetParameter, PutParameter and DeleteParameter on {self._parameter}",
        )


def locked(name: str, owner: Owner | None) -> EnvironmentLocked:
    """The error for whoever comes second."""
    who = owner.describe() if owner else "somebody who left no name"
    return EnvironmentLocked(
        f"{name} is locked",
        who,
        "wait until that run has ended; if it is dead and did not free the lock, "
        f"look and remove it: runbook unlock {name}",
    )


def lock_of(environment: Environment) -> Lock:
    """The environment's lock, as yet nobody's.

    The lock is the first thing that a run writes: raises GuardRefused where it must not.
    """
    require_writable(environment)
    if environment.is_local:
        return FileLock(region.state_dir() / "deployment.lock", environment.name)
    return ParameterLock(client(environment, "ssm"), parameter(environment), environment.name)


def parameter(environment: Environment) -> str:
    """The lock's name in SSM."""
    return f"/{environment.project_code}/{environment.name}/deployment-lock"


#: What this process holds: a run locks, and so do the steps that it consists of.
_held: dict[str, tuple[Lock, Owner, int]] = {}
_guard = threading.RLock()


@contextmanager
def held(environment: Environment, *, what: str = "", tell: Tell | None = None) -> Iterator[None]:
    """Be the only writer of the environment; within one process it may be nested.

    `tell` is given a sentence when the lock was taken over from a dead run.
    Raises EnvironmentLocked at once when another process has it.
    """
    _enter(environment, what, tell)
    try:
        yield
    finally:
        _leave(environment.name)


def hold_until_exit(environment: Environment) -> None:
    """The same for a process that cannot say when it is done, such as plain `sceptre`."""
    with _guard:
        if environment.name not in _held:
            _enter(environment, "", None)
            atexit.register(_leave, environment.name)


def _enter(environment: Environment, what: str, tell: Tell | None) -> None:
    with _guard:
        if environment.name in _held:
            lock, me, depth = _held[environment.name]
        else:
            lock, me, depth = lock_of(environment), this_process(what), 0
            dead = lock.take(me)
            if dead is not None and tell is not None:
                tell(f"Took over the lock of {environment.name} from {dead.describe()}.")
        _held[environment.name] = (lock, me, depth + 1)


def _leave(name: str) -> None:
    with _guard:
        lock, me, depth = _held.pop(name)
        if depth > 1:
            _held[name] = (lock, me, depth - 1)
        else:
            lock.free(me)


@contextmanager
def _one_of_this_machine() -> Iterator[None]:
    path = Path(tempfile.gettempdir()) / f"runbook-takeover-{os.getuid()}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
