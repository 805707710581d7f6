"""The Dockerfile, built and run for real: small, pinned, read-only, nobody's, polite at the end."""

from __future__ import annotations

import json
import re
import shutil
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(600)]
NAME = "runbook-image-scenario"
#: As unpacked on a host and as sent: the image is 151 MB and 48 MB (docs/image.md).
MOST_MB, MOST_SENT_MB = 200, 70


def get(url: str, data: dict[str, str] | None = None) -> tuple[int, bytes]:
    body = None if data is None else json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.fixture
def service(machine: Any, built: dict[str, Any]) -> Iterator[str]:
    """The image as a task of 0.25 vCPU on a read-only root; its address."""
    port = machine.free_port()
    machine.said(
        "podman", "run", "--detach", "--name", NAME, "--network", "host", "--no-healthcheck",
        "--read-only", "--read-only-tmpfs=false", "--cap-drop", "all",
        "--security-opt", "no-new-privileges", "--cpus", "0.25", "--memory", "512m",
        "--env", "HOST=127.0.0.1", "--env", f"PORT={port}", "--env", f"JWT_KEY={'k' * 40}",
        built["name"],
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 90
    while True:
        try:
            if get(f"{address}/ready")[0] == 200:
                break
        except OSError:
            pass
        assert time.monotonic() < deadline, machine.run("podman", "logs", NAME).stderr
        time.sleep(0.05)
    yield address
    machine.run("podman", "rm", "--force", "--volumes", NAME)


def test_a_base_without_a_digest_is_refused(machine: Any, base: str) -> None:
    build = ("podman", "build", "--format", "docker", "--target", "service", ".")
    nothing = machine.run(*build)
    assert nothing.returncode != 0
    tag = machine.run(*build, "--build-arg", f"BASE={base}")
    assert tag.returncode != 0
    assert "The base is not pinned" in tag.stdout + tag.stderr


def test_it_is_small_and_every_layers_size_is_told(built: dict[str, Any]) -> None:
    layers = built["layers"]
    for layer in layers:
        print(f"{layer['size_bytes'] / 1e6:.1f} MB, sent {layer['sent_bytes'] / 1e6:.1f} MB: "
              f"{layer['step']}")  # fmt: skip
    targets = [re.split(r"\s+", layer["step"].strip())[-1] for layer in layers]
    assert targets == ["/", "/opt/venv", "/srv/app", "/srv/data"]
    assert sum(layer["size_bytes"] for layer in layers) < MOST_MB * 1e6
    assert sum(layer["sent_bytes"] for layer in layers) < MOST_SENT_MB * 1e6


def test_it_holds_the_interpreter_the_libraries_the_app_and_no_tools(
    machine: Any, built: dict[str, Any]
) -> None:
    root = Path(machine.said("podman", "image", "mount", built["name"]))
    try:
        executables = {path.name for path in (root / "usr" / "bin").iterdir()}
        assert {re.sub(r"[\d.]+$", "", name) for name in executables} == {"python"}
        assert not (root / "bin").exists()
        assert not list(root.rglob("pip"))
        source = machine.project / "app"
        expected = {
            str(path.relative_to(source))
            for path in source.rglob("*")
            if path.is_file() and not path.name.startswith("requirements.")
        }
        inside = {
            str(path.relative_to(root / "srv" / "app"))
            for path in (root / "srv" / "app").rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }
        assert inside == expected
        assert (root / "etc" / "os-release").is_file()
        # Nothing may be compiled at the start of a task that cannot keep it.
        modules = list((root / "srv" / "app").rglob("*.py"))
        assert all(list(path.parent.glob(f"__pycache__/{path.stem}.*.pyc")) for path in modules)
    finally:
        machine.run("podman", "image", "unmount", built["name"])


def test_it_says_what_it_stands_on(machine: Any, built: dict[str, Any]) -> None:
    (config,) = json.loads(machine.said("podman", "image", "inspect", built["name"]))
    labels = config["Config"]["Labels"]
    assert labels["org.opencontainers.image.base.name"] == built["base"]
    assert "@sha256:" in built["base"]
    assert "org.opencontainers.image.revision" in labels
    assert config["Config"]["User"] == "10001:10001"
    assert list(config["Config"]["Volumes"]) == ["/srv/data"]


def health_check(machine: Any, built: dict[str, Any]) -> list[str]:
    """The command of the image's own health check."""
    (image,) = json.loads(machine.said("podman", "image", "inspect", built["name"]))
    kind, *command = image["Healthcheck"]["Test"]
    assert kind == "CMD", "there is no shell for it"
    return list(command)


def test_a_read_only_task_of_a_quarter_core_serves(
    machine: Any, built: dict[str, Any], service: str
) -> None:
    assert get(f"{service}/health")[0] == 200
    assert json.loads(get(f"{service}/products")[1])["count"] >= 1
    (state,) = json.loads(machine.said("podman", "inspect", NAME))
    assert state["HostConfig"]["NanoCpus"] == 250_000_000
    machine.said("podman", "exec", NAME, *health_check(machine, built))
    write = "open('/srv/app/x', 'w')"
    refused = machine.run("podman", "exec", NAME, "python", "-c", write)
    assert "Read-only file system" in refused.stderr
    machine.said("podman", "exec", NAME, "python", "-c", "open('/srv/data/x', 'w')")
    ids = "import os; print(os.getuid(), os.getgid())"
    assert machine.said("podman", "exec", NAME, "python", "-c", ids) == "10001 10001"
    assert machine.run("podman", "exec", NAME, "sh", "-c", "true").returncode != 0


def test_the_health_check_fails_when_nobody_answers(
    machine: Any, built: dict[str, Any], service: str
) -> None:
    check = health_check(machine, built)
    elsewhere = machine.run("podman", "exec", "--env", f"PORT={machine.free_port()}", NAME, *check)
    assert elsewhere.returncode == 1


def test_sigterm_lets_requests_in_flight_finish(machine: Any, service: str) -> None:
    answers: list[int] = []

    def sign_up(number: int) -> None:
        # Its password hash keeps a task of this size busy for some tenths of a second.
        person = {"email": f"a{number}@example.com", "password": "Correct-horse-7-battery"}
        answers.append(get(f"{service}/user/signup", person)[0])

    threads = [threading.Thread(target=sign_up, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    # By then all have reached it.
    deadline = time.monotonic() + 30
    while not answers:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(answers) < len(threads), "nothing was in flight any more"
    machine.said("podman", "kill", "--signal", "TERM", NAME)
    for thread in threads:
        thread.join()
    assert answers == [201] * len(threads)
    assert machine.said("podman", "wait", NAME) == "0"


def test_nothing_but_what_images_are_made_of_reaches_the_builder(
    machine: Any, tmp_path: Path
) -> None:
    for name in (".git/config", ".env", ".venv/x", "tests/x.py", "runs/x", "docs/x.md", "secret",
                 "app/ok.py", "app/__pycache__/x.pyc", "runbook/ok.py"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    shutil.copy(machine.project / ".dockerignore", tmp_path)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    image = machine.said("podman", "build", "--quiet", str(tmp_path))
    root = Path(machine.said("podman", "image", "mount", image))
    try:
        found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        assert found == {"app/ok.py", "runbook/ok.py", "Dockerfile"}
    finally:
        machine.run("podman", "image", "unmount", image)
        machine.run("podman", "rmi", image)
