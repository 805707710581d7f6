"""Every environment's full set, as AWS would get it: launched, in step, changed, deleted."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from runbook import aws
from runbook.environment import LAYERS, load_environment

pytestmark = [pytest.mark.e2e, pytest.mark.scenario, pytest.mark.timeout(400)]


@pytest.fixture(autouse=True)
def region(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials and endpoint, as `eval "$(runbook local env)"` sets them."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", project.state()["endpoint_url"])
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


@pytest.mark.parametrize("env", ["dev", "staging", "prod"])
def test_a_full_set_launches_is_in_step_changes_and_goes(project: Any, env: str) -> None:
    gate = project.run("create", env)
    assert gate.code == 1, gate.err
    digest = re.findall(rf"make create ENV={env} DIGEST=(\w+)", gate.err)[0]
    created = project.run("create", env, "--approve", digest, "--json")
    assert created.code == 0, created.err
    outcomes = json.loads(created.out)["outcomes"]
    assert {item["layer"] for item in outcomes if item["result"] == "created"} == set(LAYERS)
    assert project.run("test", env).code == 0
    assert project.run("diff", env).code == 0
    in_step(project, env)

    project.replace(f"sceptre/config/{env}/scaling.yaml", "  CpuTarget:", "  CpuTarget: 51 #")
    assert project.run("change", env, "cooler").code == 0
    changed = project.run("approve", env, "cooler", "--json")
    assert changed.code == 0, changed.err
    outcomes = json.loads(changed.out)["outcomes"]
    assert [item["layer"] for item in outcomes if item["result"] == "updated"] == ["scaling"]
    in_step(project, env)

    if env != "dev":
        protected = project.run("delete", env, "--dry-run")
        assert protected.code == 2
        assert "is protected" in protected.err
        unprotect(project, env)
    assert project.run("delete", env).code == 1, "not without an approval"
    gone = delete(project, env)
    if env == "prod":
        assert gone.code == 2
        assert "shop-prod-registry is DELETE_FAILED" in gone.err
        assert "is not empty" in gone.err
        empty_registry(env, project)
        gone = delete(project, env)
    assert gone.code == 0, gone.err
    assert set(json.loads(project.run("status", env, "--json").out).values()) == {None}


def delete(project: Any, env: str) -> Any:
    doomed = project.run("delete", env, "--dry-run")
    (digest,) = re.findall(r"Digest (\w+)", doomed.err)
    return project.run("delete", env, "--approve", digest)


def empty_registry(env: str, project: Any) -> None:
    """The images of prod are not deleted with it unless somebody did so before."""
    environment = load_environment(env, project.root)
    name = aws.outputs(environment, "registry")["RepositoryName"]
    ecr = aws.client(environment, "ecr")
    images = ecr.list_images(repositoryName=name)["imageIds"]
    ecr.batch_delete_image(repositoryName=name, imageIds=images)


def unprotect(project: Any, env: str) -> None:
    """What its owner does before the environment may really go."""
    for path in project.root.glob(f"sceptre/config/{env}/*.yaml"):
        path.write_text(
            path.read_text().replace("protect | default('yes')", "protect | default('')")
        )


def in_step(project: Any, env: str) -> None:
    """No drift in any layer."""
    drift = project.run("drift", env, "--json")
    assert drift.code == 0, drift.out
    assert {item["layer"] for item in json.loads(drift.out)} == set(LAYERS)
