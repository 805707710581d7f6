"""Images from the Dockerfile: a pinned base, a name by content, the package index as a secret."""

from pathlib import Path
from typing import Any

import pytest

from runbook.ecs import dockerfile
from runbook.ecs.engine import Engine
from runbook.environment import Environment
from runbook.errors import InputInvalid

DIGEST = "sha256:" + "ab" * 32


def test_the_tag_names_content_and_base(
    environment: Environment, spoken: Any, podman: Engine
) -> None:
    spoken.answers["podman image inspect"] = f"docker.io/library/python@{DIGEST}\n"
    made = dockerfile.build(environment, "service", podman)
    tag = dockerfile.content_tag(environment.project, "service")
    assert made.name == f"localhost/shop-service:{tag}-abababab"
    assert made.base == f"docker.io/library/python@{DIGEST}"
    command = spoken.said("podman build")
    assert f"BASE={made.base}" in command
    assert command[command.index("--target") + 1] == "service"


def test_a_pinned_base_is_taken_without_asking(
    environment: Environment, spoken: Any, podman: Engine
) -> None:
    dockerfile.build(environment, "runbook", podman, base=f"python@{DIGEST}")
    assert [call[1] for call in spoken.calls] == ["build"]


@pytest.mark.parametrize("base", ["python@sha256:12", "python@latest", "two words@" + DIGEST])
def test_a_garbled_base_is_refused_before_anything_is_built(
    environment: Environment, spoken: Any, podman: Engine, base: str
) -> None:
    with pytest.raises(InputInvalid, match="64 hex digits"):
        dockerfile.build(environment, "service", podman, base=base)
    assert spoken.calls == []


def test_a_project_must_name_its_base(project: Path) -> None:
    (project / "pyproject.toml").write_text("[tool]\n")
    with pytest.raises(InputInvalid, match=r"tool\.ecs-runbook\.base-image"):
        dockerfile.configured_base(project)


@pytest.mark.parametrize(
    ("target", "changed", "differs"),
    [
        ("service", "app/x.py", True),
        ("service", "Dockerfile", True),
        ("service", "sceptre/x.py", False),
        ("runbook", "sceptre/x.py", True),
        ("runbook", "notebooks/x.py", True),
    ],
)
def test_another_content_another_tag(
    project: Path, target: Any, changed: str, differs: bool
) -> None:
    before = dockerfile.content_tag(project, target)
    assert dockerfile.content_tag(project, target) == before
    (project / changed).write_text("other\n")
    assert (dockerfile.content_tag(project, target) != before) is differs


def test_content_that_is_missing_cannot_be_named(project: Path) -> None:
    (project / "Dockerfile").unlink()
    with pytest.raises(InputInvalid, match="Dockerfile is missing"):
        dockerfile.content_tag(project, "service")


def test_the_newest_image_of_the_files_as_they_are_is_sent(
    environment: Environment, spoken: Any, podman: Engine
) -> None:
    tag = dockerfile.content_tag(environment.project, "service")
    spoken.answers["podman images"] = (
        "localhost/shop-service src-older-11111111\n"
        f"localhost/shop-service {tag}-33333333\nlocalhost/shop-service {tag}-22222222\n"
    )
    name = dockerfile.built(environment, "service", podman)
    assert name == f"localhost/shop-service:{tag}-33333333"
    (environment.project / "app" / "x.py").write_text("changed\n")
    with pytest.raises(InputInvalid, match="runbook image build --target service"):
        dockerfile.built(environment, "service", podman)


def test_index_and_authorities_become_secrets(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_text("CERT")
    listed = (
        "global.index-url='https://user:word@index.example/simple'\n"
        "global.extra-index-url='file:///here https://more.example/simple'\n"
        "global.find-links='/opt/wheels'\nglobal.no-color='true'\n"
        ":env:.timeout='99'\nglobal.timeout='15'\n"
    )
    with dockerfile.pip_secrets({"PIP_CERT": str(bundle)}, listed) as secrets:
        config = secrets["pip_conf"].read_text()
        assert secrets["ca_bundle"].read_text() == "CERT"
        assert secrets["pip_conf"].stat().st_mode & 0o077 == 0
    assert "index-url = https://user:word@index.example/simple" in config
    assert "extra-index-url = https://more.example/simple" in config
    assert "timeout = 99" in config
    assert "cert = /run/secrets/ca_bundle" in config
    assert "find-links" not in config
    assert "no-color" not in config
    assert not secrets["pip_conf"].exists()


def test_without_settings_the_secrets_are_empty() -> None:
    with dockerfile.pip_secrets({}, "") as secrets:
        assert secrets["ca_bundle"].read_bytes() == b""
        assert "cert" not in secrets["pip_conf"].read_text()
