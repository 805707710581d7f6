"""The engine: which one answers, and that each is told what it understands."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from runbook.ecs.engine import Engine, find
from runbook.errors import ImageFailed, InputInvalid


def test_the_first_that_answers_is_taken(spoken: Any) -> None:
    spoken.refusals["docker version"] = "WARNING\nCannot connect to the Docker daemon"
    assert find(execute=spoken, which=lambda name: f"/bin/{name}").name == "podman"
    assert find(execute=spoken, which={"buildah": "/bin/buildah"}.get).name == "buildah"


def test_without_any_the_error_says_why_and_what_installs_one(spoken: Any) -> None:
    spoken.refusals["docker version"] = "WARNING\nCannot connect to the Docker daemon"
    with pytest.raises(InputInvalid) as error:
        find(execute=spoken, which={"docker": "/bin/docker"}.get)
    said = str(error.value)
    assert "docker does not answer (Cannot connect to the Docker daemon)" in said
    assert "buildah is not installed" in said
    assert "apt-get install podman" in said


def test_an_engine_that_hangs_does_not_answer() -> None:
    def hang(command: list[str], **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, 20)

    with pytest.raises(InputInvalid, match="timed out"):
        find(["podman"], execute=hang, which=lambda name: name)


def test_the_named_engine_or_none(spoken: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNBOOK_CONTAINER_ENGINE", "buildah")
    assert find(execute=spoken, which=lambda name: name).name == "buildah"
    with pytest.raises(InputInvalid, match="names none of docker, podman"):
        find(["docker", "podman"], execute=spoken, which=lambda name: name)


def build(engine: Engine) -> None:
    engine.build(
        Path("/project"),
        target="service",
        names=["localhost/shop-service:src-1"],
        arguments={"BASE": "python@sha256:1"},
        labels={"revision": "abc"},
        secrets={"pip_conf": Path("/tmp/pip_conf")},
        platform="linux/arm64",
    )


def test_a_build_names_stage_base_secrets_and_platform(spoken: Any, podman: Engine) -> None:
    build(podman)
    said = " ".join(spoken.calls[0])
    assert said.startswith("podman build --file /project/Dockerfile --target service")
    for part in (
        "--tag localhost/shop-service:src-1",
        "--build-arg BASE=python@sha256:1",
        "--label revision=abc",
        "--secret id=pip_conf,src=/tmp/pip_conf",
        "--platform linux/arm64",
        "--format docker",
    ):
        assert part in said
    assert said.endswith(" /project")


def test_docker_knows_no_format_and_makes_no_index_of_attestations(spoken: Any) -> None:
    build(Engine("docker", spoken))
    assert "--format" not in spoken.calls[0]
    assert spoken.environments[0]["BUILDX_NO_DEFAULT_ATTESTATIONS"] == "1"


def test_what_the_engine_said_last_is_in_the_error(spoken: Any, podman: Engine) -> None:
    spoken.refusals["podman build"] = "step 3\nno space left on device"
    with pytest.raises(ImageFailed, match="no space left on device") as error:
        build(podman)
    assert error.value.exit_code == 2


def test_a_tag_is_asked_for_its_digest(spoken: Any, podman: Engine) -> None:
    spoken.answers["podman image inspect"] = "docker.io/library/python@sha256:aa\n"
    name = "docker.io:443/library/python:3.13-slim"
    assert podman.digest_of_base(name) == "docker.io:443/library/python@sha256:aa"
    assert spoken.calls[0] == ["podman", "pull", "--quiet", name]


def test_an_image_of_this_machine_is_not_pulled(spoken: Any) -> None:
    spoken.answers["buildah inspect"] = "sha256:bb\n"
    assert (
        Engine("buildah", spoken).digest_of_base("localhost/base:1") == "localhost/base@sha256:bb"
    )
    assert [call[1] for call in spoken.calls] == ["inspect"]


def test_only_the_repositorys_own_tags_are_listed(spoken: Any, podman: Engine) -> None:
    spoken.answers["podman images"] = (
        "localhost/shop-service src-2\n<none> <none>\nlocalhost/other src-9\n"
        "localhost/shop-service src-1\n"
    )
    assert podman.images("localhost/shop-service") == ["src-2", "src-1"]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("docker", "docker save --output /tmp/a.tar x:1"),
        ("podman", "podman save --quiet --format docker-archive --output /tmp/a.tar x:1"),
        ("buildah", "buildah push --quiet x:1 docker-archive:/tmp/a.tar"),
    ],
)
def test_every_engine_saves_a_docker_archive(spoken: Any, name: str, command: str) -> None:
    Engine(name, spoken).save("x:1", Path("/tmp/a.tar"))
    assert " ".join(spoken.calls[0]) == command


@pytest.mark.parametrize("name", ["docker", "podman", "buildah"])
def test_the_password_is_on_no_command_line_and_stays_nowhere(spoken: Any, name: str) -> None:
    Engine(name, spoken).push("x:1", "host/shop:1", user="AWS", password="hidden")
    login = spoken.calls[0]
    assert login[1:] == ["login", "--username", "AWS", "--password-stdin", "host"]
    assert spoken.stdin[0] == "hidden"
    assert not any("hidden" in part for call in spoken.calls for part in call)
    folders = {env["DOCKER_CONFIG"] for env in spoken.environments if "DOCKER_CONFIG" in env}
    assert len(folders) == 1
    assert not Path(folders.pop()).exists()
    assert spoken.calls[-1][1] == "push"
    assert spoken.calls[-1][-1].endswith("host/shop:1")
