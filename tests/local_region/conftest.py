"""A region as a process, started once for all end-to-end tests that only talk to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from botocore.exceptions import ClientError

PROJECT = Path(__file__).resolve().parents[2]
PERIOD_S = 1


def _wait_for(what: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """The first true answer of `what`."""
    deadline_s = time.monotonic() + timeout_s
    while not (answer := what()):
        assert time.monotonic() < deadline_s, f"waited {timeout_s} s in vain"
        time.sleep(0.05)
    return answer


class Region:
    """A region process in a directory of its own, with a period of one second."""

    period_s = PERIOD_S
    wait_for = staticmethod(_wait_for)

    def __init__(self, directory: Path, port: int = 0, *options: str) -> None:
        self.directory = directory
        directory.mkdir(exist_ok=True)
        self.log = directory / "region.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "local_region", "--dir", str(directory),
                 "--port", str(port), "--period-s", str(PERIOD_S), *options],
                cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
                # What points a user's own tools at some endpoint must not lead the region astray.
                env={**os.environ, "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "SERVICES": "s3"},
            )  # fmt: skip

    def ready(self) -> dict[str, Any]:
        """The state file's content once it is there."""

        def state() -> dict[str, Any] | None:
            assert self.process.poll() is None, self.log.read_text()
            # A new region removes the file of one that was killed.
            with contextlib.suppress(FileNotFoundError):
                found: dict[str, Any] = json.loads((self.directory / "state.json").read_text())
                return found
            return None

        self.state: dict[str, Any] = _wait_for(state)
        return self.state

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            region_name=self.state["region"],
            endpoint_url=self.state["endpoint_url"],
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.state['endpoint_url']}/_region/status") as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def family(self) -> list[psutil.Process]:
        """The daemon and everything it started."""
        process = psutil.Process(self.process.pid)
        return [process, *process.children(recursive=True)]

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    def launch(self, name: str, resources: dict[str, Any], **outputs: Any) -> dict[str, Any]:
        """Create a stack and wait for its end; the stack, with `outputs` as a mapping."""
        cloudformation = self.client("cloudformation")
        body = {"Resources": resources, "Outputs": {k: {"Value": v} for k, v in outputs.items()}}
        cloudformation.create_stack(StackName=name, TemplateBody=json.dumps(body))

        def ended() -> dict[str, Any] | None:
            stack: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

        stack: dict[str, Any] = _wait_for(ended)
        stack["outputs"] = {o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", [])}
        return stack

    def remove(self, name: str) -> None:
        """Delete a stack and wait until it is gone."""
        cloudformation = self.client("cloudformation")
        cloudformation.delete_stack(StackName=name)

        def gone() -> bool:
            try:
                stack = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            except ClientError:
                return True
            assert stack["StackStatus"] != "DELETE_FAILED", stack
            return False

        _wait_for(gone)

    def failures(self, name: str) -> dict[str, str]:
        """Why resources of a stack failed, by logical id."""
        events = self.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
        return {
            e["LogicalResourceId"]: e.get("ResourceStatusReason", "")
            for e in events
            if e["ResourceStatus"].endswith("_FAILED")
        }


@pytest.fixture(scope="session")
def shared_region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """One region for every test that leaves it as it was."""
    made = Region(tmp_path_factory.mktemp("region"))
    try:
        made.ready()
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            made.stop()


@pytest.fixture
def start_region(tmp_path: Path) -> Iterator[Callable[..., Region]]:
    """`start_region(directory=..., port=0)`: a region of one's own; it never outlives the test."""
    started: list[Region] = []

    def start(directory: Path | None = None, port: int = 0, *options: str) -> Region:
        started.append(Region(directory or tmp_path, port, *options))
        return started[-1]

    yield start
    for made in started:
        if made.process.poll() is None:
            made.stop()
