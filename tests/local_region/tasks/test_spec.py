"""Reading task definitions, and what a process is started with."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from local_region.tasks.images import Image
from local_region.tasks.spec import CannotStart, arguments, environment, read_task_definition


def definition(**container):
    base = {"name": "web", "image": "r.x/shop:1", "command": ["python", "-m", "app"]}
    return {"cpu": "256", "memory": "512", "containerDefinitions": [{**base, **container}]}


def image(**changes):
    values = {
        "digest": "sha256:1", "rootfs": Path("/none"), "environment": {}, "entrypoint": (),
        "command": (), "working_directory": "/srv",
    } | changes  # fmt: skip
    return Image(**values)


@pytest.mark.parametrize(
    ("cpu", "cores"), [("256", 0.25), (512, 0.5), ("1024", 1.0), (".5 vCPU", 0.5), ("1vcpu", 1.0)]
)
def test_cpu_units(cpu, cores):
    assert read_task_definition({**definition(), "cpu": cpu}).cores == cores


def test_container_share_counts_when_the_task_has_none():
    spec = read_task_definition(
        {"containerDefinitions": definition(cpu=128)["containerDefinitions"]}
    )
    assert spec.cores == 0.125


def test_overrides_win():
    spec = read_task_definition(
        definition(environment=[{"name": "A", "value": "1"}, {"name": "B", "value": "1"}]),
        {
            "containerOverrides": [
                {"name": "web", "command": ["x"], "environment": [{"name": "A", "value": "2"}]}
            ]
        },
    )
    assert spec.command == ("x",)
    assert spec.environment == {"A": "2", "B": "1"}


def test_override_of_another_container_is_not_ours():
    spec = read_task_definition(
        definition(), {"containerOverrides": [{"name": "other", "command": ["x"]}]}
    )
    assert spec.command == ("python", "-m", "app")


def test_volumes_in_either_spelling():
    mounts = [{"sourceVolume": "data", "containerPath": "/srv/data"}]
    for volumes in ([{"name": "data"}], [{"Name": "data"}]):
        spec = read_task_definition({**definition(mountPoints=mounts), "volumes": volumes})
        assert spec.mounts == {"/srv/data": "data"}


def test_unknown_volume():
    mounts = [{"sourceVolume": "data", "containerPath": "/srv/data"}]
    with pytest.raises(CannotStart, match="unknown volumes"):
        read_task_definition(definition(mountPoints=mounts))


def test_two_containers_are_refused_with_the_reason():
    two = definition()
    two["containerDefinitions"] *= 2
    with pytest.raises(CannotStart, match="2 containers"):
        read_task_definition(two)


def test_log_group_only_of_the_awslogs_driver():
    options = {"awslogs-group": "g", "awslogs-stream-prefix": "p"}
    spec = read_task_definition(
        definition(logConfiguration={"logDriver": "awslogs", "options": options})
    )
    assert (spec.log_group, spec.log_prefix) == ("g", "p")
    spec = read_task_definition(
        definition(logConfiguration={"logDriver": "splunk", "options": options})
    )
    assert spec.log_group is None


@pytest.mark.parametrize(
    ("container", "of_image", "argv"),
    [
        ({"command": ["c"]}, {}, ["c"]),
        ({"command": []}, {"command": ("ic",)}, ["ic"]),
        ({"command": ["c"]}, {"entrypoint": ("ie",), "command": ("ic",)}, ["ie", "c"]),
        ({"command": [], "entryPoint": ["e"]}, {"command": ("ic",)}, ["e"]),
        ({"command": ["c"], "entryPoint": ["e"]}, {"entrypoint": ("ie",)}, ["e", "c"]),
    ],
)
def test_arguments_combine_as_in_docker(container, of_image, argv):
    spec = read_task_definition(definition(**container))
    assert arguments(spec, image(**of_image)) == argv


def test_no_command_at_all():
    with pytest.raises(CannotStart, match="no command"):
        arguments(read_task_definition(definition(command=[])), image())


def test_environment_precedence_and_nothing_else(monkeypatch):
    monkeypatch.setenv("LEAK", "1")
    spec = read_task_definition(
        definition(environment=[{"name": n, "value": "definition"} for n in ("A", "PORT", "KEY")])
    )
    result = environment(
        spec, image(environment={"A": "image", "B": "image"}), secrets={"KEY": "secret"},
        port=4321, region={"AWS_REGION": "r"},
    )  # fmt: skip
    assert result["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    del result["PATH"], result["LANG"]
    assert result == {
        "A": "definition", "B": "image", "KEY": "secret", "PORT": "4321", "HOST": "127.0.0.1",
        "AWS_REGION": "r",
    }  # fmt: skip
