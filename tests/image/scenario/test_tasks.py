"""The local region with real containers: pushed by digest, deployed, replaced, cleaned up."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(600)]


@pytest.fixture
def region(machine: Any) -> Iterator[Any]:
    try:
        machine.runbook("local", "up", "--port", "0", "--tasks", "containers")
        yield machine
    finally:
        machine.run("runbook", "local", "down")


def containers(machine: Any) -> list[dict[str, Any]]:
    listed = machine.said("podman", "ps", "--format", "json", "--filter", "label=local-region")
    found: list[dict[str, Any]] = json.loads(listed)
    return found


def answer(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(url, timeout=10) as response:
        found: dict[str, Any] = json.load(response)
    return found


def serves(url: str) -> bool:
    try:
        return bool(answer(url)["count"] >= 1)
    except OSError:
        return False


def test_the_pushed_image_is_what_serves_and_it_is_kept_serving(
    region: Any, built: dict[str, Any]
) -> None:
    state = json.loads((region.project / ".local-region" / "state.json").read_text())
    assert (state["tasks"], state["cpu_enforcement"]) == ("containers", "podman-quota")
    early = region.run("runbook", "image", "push", "--env", "local")
    assert early.returncode == 2
    assert "local has no registry to send an image to" in early.stderr

    sceptre = {**region.variables, "AWS_ENDPOINT_URL": state["endpoint_url"]}
    sceptre |= {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local"}
    launched = replace(region, project=region.project / "sceptre", variables=sceptre)
    launched.said("sceptre", "launch", "--yes", "local/registry.yaml")
    planned = region.runbook("image", "push", "--env", "local", "--dry-run")
    assert planned.endswith(built["name"].rpartition(":")[2])
    reference = region.runbook("image", "push", "--env", "local")
    assert region.runbook("image", "push", "--env", "local") == reference
    digest = reference.rpartition("@")[2]

    runs = str(region.project / "runs")
    region.runbook("run", "10_deploy", "--env", "local", "--runs", runs)
    url = json.loads(region.runbook("stacks", "outputs", "local", "balancer", "--json"))
    address = url["ServiceUrl"]
    assert answer(f"{address}/health")["version"] == f"@{digest}"
    (task,) = containers(region)
    (inspected,) = json.loads(region.said("podman", "inspect", task["Id"]))
    (image,) = json.loads(region.said("podman", "image", "inspect", built["name"]))
    assert inspected["Image"] == image["Id"]
    assert inspected["HostConfig"]["ReadonlyRootfs"] is True
    assert inspected["HostConfig"]["NanoCpus"] == 250_000_000
    assert inspected["HostConfig"]["Memory"] == 512 * 2**20

    region.said("podman", "kill", task["Id"])
    deadline = time.monotonic() + 60
    while True:
        running = [one["Id"] for one in containers(region)]
        if running and task["Id"] not in running:
            status = answer(f"{state['endpoint_url']}/_region/status")
            healthy = [one["health"] for one in status["tasks"]] == ["HEALTHY"]
            # The balancer hears of it a moment later.
            if healthy and serves(f"{address}/products"):
                break
        assert time.monotonic() < deadline, running
        time.sleep(0.2)

    region.runbook("local", "down")
    everything = region.said("podman", "ps", "--all", "--quiet", "--filter", "label=local-region")
    assert everything == ""
    assert "local-region" not in region.said("podman", "volume", "ls", "--quiet")
    assert "local-region" not in region.said("podman", "images", "--format", "{{.Repository}}")
