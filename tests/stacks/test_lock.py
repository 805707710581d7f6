"""One writer per environment: files locally, parameters in AWS, dead owners named."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.environment import Environment
from runbook.errors import AwsCallFailed, EnvironmentLocked
from runbook.stacks import lock
from runbook.stacks.lock import FileLock, ParameterLock, held
from runbook.stacks.owner import Owner, this_process


def refused(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "no"}}, "call")


class Parameters:
    """An SSM that holds parameters."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}
        self.error = ""

    def put_parameter(self, Name: str, Value: str, Type: str, Overwrite: bool) -> None:  # noqa: N803
        if self.error:
            raise refused(self.error)
        if Name in self.kept:
            raise refused("ParameterAlreadyExists")
        self.kept[Name] = Value

    def get_parameter(self, Name: str) -> Any:  # noqa: N803
        if Name not in self.kept:
            raise refused("ParameterNotFound")
        return {"Parameter": {"Value": self.kept[Name]}}

    def delete_parameter(self, Name: str) -> None:  # noqa: N803
        if self.kept.pop(Name, None) is None:
            raise refused("ParameterNotFound")


def dead() -> Owner:
    """A process of this machine that has ended."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        pid = process.pid
    return replace(this_process("a run"), pid=pid, started_at=1.0)


def elsewhere() -> Owner:
    return replace(this_process("a run"), machine="other", host="other")


def test_an_owner_is_alive_dead_or_out_of_sight() -> None:
    me = this_process("a run")
    assert me.is_alive is True
    assert me.is_me
    assert dead().is_alive is False
    reused = replace(me, started_at=me.started_at - 100)
    assert reused.is_alive is False, "its pid was given to another process"
    assert elsewhere().is_alive is None
    assert "it is dead" in dead().describe()
    assert f"process {os.getpid()} (a run)" in me.describe()
    assert Owner.from_json(me.to_json()) == me
    assert Owner.from_json("{}") is None
    assert Owner.from_json("nonsense") is None


def test_a_file_is_freed_by_the_kernel_and_names_who_died(tmp_path: Path) -> None:
    path = tmp_path / "x" / "lock"
    gone = dead()
    path.parent.mkdir()
    path.write_text(gone.to_json())
    one, other = FileLock(path, "local"), FileLock(path, "local")
    assert one.take(this_process("first")) == gone
    with pytest.raises(EnvironmentLocked, match=r"local is locked: .*\(first\).*it runs"):
        other.take(this_process("second"))
    with pytest.raises(EnvironmentLocked, match=r"\(first\).*it runs"):
        other.free(this_process("first"))
    one.free(this_process("first"))
    second = this_process("second")
    assert other.take(second) is None
    other.free(second)

    path.write_text(gone.to_json())
    one.free(gone)
    assert one.owner() is None, "unlocked by hand"


def test_a_parameter_is_made_once_and_taken_over_only_from_the_dead() -> None:
    ssm = Parameters()

    def make() -> ParameterLock:
        return ParameterLock(ssm, "/shop/dev/deployment-lock", "dev")

    assert make().take(this_process("first")) is None
    with pytest.raises(EnvironmentLocked, match=r"dev is locked.*\(first\)"):
        make().take(this_process("second"))
    make().free(elsewhere())
    assert ssm.kept, "somebody else's stays"
    first = make().owner()
    assert first is not None
    make().free(first)
    make().free(first)
    assert not ssm.kept

    gone = dead()
    ssm.kept["/shop/dev/deployment-lock"] = gone.to_json()
    assert make().take(this_process("second")) == gone

    ssm.kept["/shop/dev/deployment-lock"] = elsewhere().to_json()
    with pytest.raises(EnvironmentLocked, match=r"on another machine; .*runbook unlock dev"):
        make().take(this_process("third"))


def test_an_owner_who_cannot_be_read_may_live() -> None:
    ssm = Parameters()
    ssm.kept["/p"] = '{"user": "ann", "from": "a newer version"}'
    lock = ParameterLock(ssm, "/p", "dev")
    with pytest.raises(EnvironmentLocked, match=r"somebody@an unknown host.*a newer version"):
        lock.take(this_process("second"))
    found = lock.owner()
    assert found is not None
    assert found.is_alive is None
    lock.free(found)
    assert not ssm.kept, "by force"


def test_whose_lock_was_removed_by_force_leaves_the_next_owners(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssm = Parameters()
    monkeypatch.setattr(lock, "lock_of", lambda environment: ParameterLock(ssm, "/p", "dev"))
    with held(environment):
        ssm.kept["/p"] = elsewhere().to_json()
    assert ssm.kept["/p"] == elsewhere().to_json()


def test_plain_sceptre_holds_it_once_and_until_it_exits(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssm = Parameters()
    at_exit: list[tuple[Any, ...]] = []
    monkeypatch.setattr(lock, "lock_of", lambda environment: ParameterLock(ssm, "/p", "dev"))
    monkeypatch.setattr(lock.atexit, "register", lambda *call: at_exit.append(call))
    lock.hold_until_exit(environment)
    lock.hold_until_exit(environment)
    with held(environment):
        pass
    assert ssm.kept, "a step of it does not free it"
    ((leave, name),) = at_exit
    leave(name)
    assert not ssm.kept

    with held(environment):
        lock.hold_until_exit(environment)
    assert not ssm.kept, "a run frees it itself"
    assert len(at_exit) == 1


def test_a_create_whose_answer_was_lost_still_counts() -> None:
    ssm = Parameters()
    me = this_process("first")
    ssm.kept["/p"] = me.to_json()
    assert ParameterLock(ssm, "/p", "dev").take(me) is None


def test_rights_that_are_missing_are_named() -> None:
    ssm = Parameters()
    ssm.error = "AccessDeniedException"
    with pytest.raises(AwsCallFailed, match=r"allow ssm:GetParameter.* on /p"):
        ParameterLock(ssm, "/p", "dev").take(this_process())


def test_steps_of_one_run_share_its_lock(environment: Environment) -> None:
    told: list[str] = []
    with held(environment, tell=told.append):
        with held(environment):
            pass
        with pytest.raises(EnvironmentLocked):
            lock.lock_of(environment).take(this_process("second"))
    other, second = lock.lock_of(environment), this_process("second")
    assert other.take(second) is None
    other.free(second)
    assert told == []


def test_an_error_frees_the_lock(environment: Environment) -> None:
    with pytest.raises(RuntimeError), held(environment):
        raise RuntimeError
    with held(environment):
        pass
