"""A local region for end-to-end tests, and the few things one does with it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import psutil
import pytest

PROJECT = Path(__file__).resolve().parents[3]
TINY = Path(__file__).parent / "tiny"
_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"


def wait_for(what: Callable[[], Any], timeout_s: float = 40.0, every_s: float = 0.05) -> Any:
    """The first true answer of `what`; fails with the last one after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (answer := what()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited {timeout_s} s in vain; last answer: {answer!r}")
        time.sleep(every_s)
    return answer


class Load:
    """Requests at a fixed rate, each on a connection of its own, whatever the answers do."""

    def __init__(self, address: str, path: str, rate_rps: float, duration_s: float) -> None:
        self._host, _, port = address.partition(":")
        self._port, self._path, self._rate_rps = int(port), path, rate_rps
        self._duration_s, self._ended = duration_s, False
        self.results: list[tuple[float, int | str]] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self._thread.start()

    def finish(self) -> Counter[int | str]:
        """Wait for the last answer; how often each status (or error) came."""
        self._thread.join(self._duration_s + 30)
        return Counter(status for _, status in self.results)

    def end(self) -> Counter[int | str]:
        """Begin no further request, then as `finish`: for a load that lasts as long as a test."""
        self._ended = True
        return self.finish()

    async def _run(self) -> None:
        start = time.monotonic()
        tasks = []
        for number in range(int(self._rate_rps * self._duration_s)):
            await asyncio.sleep(max(0, start + number / self._rate_rps - time.monotonic()))
            if self._ended:
                break
            tasks.append(asyncio.create_task(self._one()))
        await asyncio.gather(*tasks)

    async def _one(self) -> None:
        began = time.monotonic()
        try:
            self.results.append((began, await asyncio.wait_for(self._get(), 20)))
        except (OSError, TimeoutError, ValueError, IndexError) as error:
            self.results.append((began, repr(error)))

    async def _get(self) -> int:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            request = f"GET {self._path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            status = int((await reader.readline()).split()[1])
            await reader.read()
            return status
        finally:
            writer.close()


@dataclass
class Region:
    """A running region and clients for it."""

    directory: Path
    process: subprocess.Popen[bytes]
    endpoint_url: str
    _clients: dict[str, Any] = field(default_factory=dict)
    _names: Iterator[int] = field(default_factory=lambda: count(1))

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.endpoint_url,
                region_name="eu-west-1",
                aws_access_key_id="000000000000",
                aws_secret_access_key="test",
                config=botocore.config.Config(retries={"total_max_attempts": 1}),
            )
        return self._clients[service]

    def status(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.endpoint_url}/_region/status", timeout=10) as answer:
            return dict(json.load(answer))

    def push(self, repository: str) -> str:
        """The tiny service as an image in a new repository; its URI with the digest."""
        ecr = self.client("ecr")
        uri = ecr.create_repository(repositoryName=repository)["repository"]["repositoryUri"]
        layer = gzip.compress(_tar(TINY), mtime=0)
        config = json.dumps({"config": {"WorkingDir": "/srv"}}).encode()
        for blob in (layer, config):
            upload = ecr.initiate_layer_upload(repositoryName=repository)["uploadId"]
            ecr.upload_layer_part(
                repositoryName=repository, uploadId=upload, partFirstByte=0,
                partLastByte=len(blob) - 1, layerPartBlob=blob,
            )  # fmt: skip
            ecr.complete_layer_upload(
                repositoryName=repository, uploadId=upload, layerDigests=[_digest(blob)]
            )
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "config": {"digest": _digest(config), "size": len(config)},
                "layers": [{"digest": _digest(layer), "size": len(layer)}],
            }
        )
        image = ecr.put_image(
            repositoryName=repository, imageManifest=manifest,
            imageManifestMediaType=_MANIFEST_TYPE, imageTag="one",
        )["image"]  # fmt: skip
        return f"{uri}@{image['imageId']['imageDigest']}"

    def service(self, *, desired: int = 1, **options: Any) -> Service:
        """A new service behind a load balancer of its own, up, healthy and answering."""
        service = Service(self, f"s{next(self._names)}", **options)
        service.create(desired)
        return service


class Service:
    """One service, its load balancer and its target group."""

    def __init__(self, region: Region, name: str, *, grace_s: int = 30) -> None:
        self.region, self.name = region, name
        self.ecs, self.elb = region.client("ecs"), region.client("elbv2")
        self.image = region.push(f"repo-{name}")
        self.ecs.create_cluster(clusterName=name)
        balancer = self.elb.create_load_balancer(Name=name, Subnets=["subnet-1"])
        self.balancer = balancer["LoadBalancers"][0]
        self.address = self.balancer["DNSName"]
        group = self.elb.create_target_group(
            Name=name, Protocol="HTTP", Port=8000, VpcId="vpc-1", TargetType="ip",
            HealthCheckPath="/health", HealthCheckIntervalSeconds=5,
            HealthCheckTimeoutSeconds=2, HealthyThresholdCount=2, UnhealthyThresholdCount=2,
        )  # fmt: skip
        self.target_group = group["TargetGroups"][0]["TargetGroupArn"]
        self.elb.create_listener(
            LoadBalancerArn=self.balancer["LoadBalancerArn"], Port=80, Protocol="HTTP",
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.target_group}],
        )  # fmt: skip
        self.grace_s = grace_s

    def define(
        self, *, image: str | None = None, command: tuple[str, ...] = ("python", "-m", "tiny"),
        environment: dict[str, str] | None = None, **container: Any,
    ) -> str:  # fmt: skip
        """Register the next revision of the task definition; its ARN."""
        pairs = [{"name": n, "value": v} for n, v in (environment or {}).items()]
        definition = self.ecs.register_task_definition(
            family=self.name, cpu="512", memory="256", networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"], volumes=[{"name": f"data-{self.name}"}],
            containerDefinitions=[
                {
                    "name": "web", "image": image or self.image, "command": list(command),
                    "portMappings": [{"containerPort": 8000}], "environment": pairs,
                    "stopTimeout": 2, **container,
                }
            ],
        )  # fmt: skip
        return str(definition["taskDefinition"]["taskDefinitionArn"])

    def create(
        self, desired: int, *, deployment: dict[str, Any] | None = None, **container: Any
    ) -> None:
        self.ecs.create_service(
            cluster=self.name, serviceName=self.name, desiredCount=desired,
            taskDefinition=self.define(**container), launchType="FARGATE",
            healthCheckGracePeriodSeconds=self.grace_s,
            loadBalancers=[
                {
                    "targetGroupArn": self.target_group, "containerName": "web",
                    "containerPort": 8000,
                }
            ],
            deploymentConfiguration={
                "minimumHealthyPercent": 100, "maximumPercent": 200,
                "deploymentCircuitBreaker": {"enable": True, "rollback": True},
                **(deployment or {}),
            },
        )  # fmt: skip
        wait_for(lambda: self.is_steady(desired))
        if desired:
            wait_for(self.answers)

    def update(self, **changes: Any) -> dict[str, Any]:
        answer = self.ecs.update_service(cluster=self.name, service=self.name, **changes)
        return dict(answer["service"])

    def describe(self) -> dict[str, Any]:
        answer = self.ecs.describe_services(cluster=self.name, services=[self.name])
        return dict(answer["services"][0])

    def is_steady(self, desired: int) -> bool:
        """As boto3's waiter services_stable sees it, and every target healthy."""
        service = self.describe()
        return (
            len(service["deployments"]) == 1
            and service["deployments"][0]["rolloutState"] == "COMPLETED"
            and service["runningCount"] == service["desiredCount"] == desired
            and self.health() == Counter(healthy=desired)
        )

    def health(self) -> Counter[str]:
        answer = self.elb.describe_target_health(TargetGroupArn=self.target_group)
        return Counter(d["TargetHealth"]["State"] for d in answer["TargetHealthDescriptions"])

    def tasks(self, desired_status: str = "RUNNING") -> list[dict[str, Any]]:
        arns = self.ecs.list_tasks(
            cluster=self.name, serviceName=self.name, desiredStatus=desired_status
        )["taskArns"]
        if not arns:
            return []
        return list(self.ecs.describe_tasks(cluster=self.name, tasks=arns)["tasks"])

    def processes(self) -> list[dict[str, Any]]:
        """The region's own account of this service's tasks: pid, port, last_status, ..."""
        return [t for t in self.region.status()["tasks"] if t["service"] == self.name]

    def events(self) -> list[str]:
        return [event["message"] for event in self.describe()["events"]]

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://{self.address}{path}", timeout=10) as answer:
            return bytes(answer.read())

    def answers(self) -> bool:
        """Whether a request gets through: the balancer hears of a listener and of a healthy task
        a moment later."""
        try:
            return bool(self.get("/about"))
        except OSError:
            return False

    def load(self, path: str, rate_rps: float, duration_s: float) -> Load:
        return Load(self.address, path, rate_rps, duration_s)


def start_region(directory: Path, **environment: str) -> Region:
    """Start `python -m local_region` with one-second periods and wait until it answers."""
    with (directory / "region.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "local_region", "--dir", str(directory), "--port", "0",
             "--period-s", "1"],
            cwd=PROJECT, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **environment},
        )  # fmt: skip
    state = directory / "state.json"

    def ready() -> bool:
        if process.poll() is not None:
            pytest.fail((directory / "region.log").read_text()[-3000:])
        return state.exists()

    wait_for(ready, 60)
    return Region(directory, process, json.loads(state.read_text())["endpoint_url"])


def stop_region(region: Region) -> None:
    """SIGTERM; fails when it does not end, or leaves a process."""
    family = psutil.Process(region.process.pid).children(recursive=True)
    region.process.send_signal(signal.SIGTERM)
    try:
        assert region.process.wait(30) == 0
        _, alive = psutil.wait_procs(family, timeout=5)
        assert not alive
    finally:
        with contextlib.suppress(ProcessLookupError):
            region.process.kill()


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    """One region for all tests of a module."""
    region = start_region(tmp_path_factory.mktemp("region"))
    yield region
    stop_region(region)


@pytest.fixture
def own_region(tmp_path: Path) -> Iterator[Region]:
    """A region for a test that kills it."""
    region = start_region(tmp_path)
    yield region
    if region.process.poll() is None:
        stop_region(region)


def _tar(source: Path) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path in sorted(source.glob("*.py")):
            entry = tarfile.TarInfo(f"srv/tiny/{path.name}")
            content = path.read_bytes()
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _digest(blob: bytes) -> str:
    return f"sha256:{sha256(blob).hexdigest()}"
