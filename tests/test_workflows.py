"""The GitHub workflows: valid, without stored keys, and calling only verbs that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
VERBS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def workflow(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(
        (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    )
    return found


def steps(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for job in content["jobs"].values() for step in job["steps"]]


def test_actionlint_finds_nothing() -> None:
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        pytest.skip("actionlint is not installed here; the check workflow runs it in its container")
    done = subprocess.run(
        [actionlint, *map(str, FILES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_job_is_bounded_and_starts_without_rights(path: Path) -> None:
    content = workflow(path.name)
    assert content["permissions"] in ({}, {"contents": "read"})
    for job in content["jobs"].values():
        assert 0 < job["timeout-minutes"] <= 90
        for step in job["steps"]:
            if str(step.get("uses", "")).startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_verbs_that_exist_are_called_and_nothing_is_pasted_into_a_shell(path: Path) -> None:
    scripts = [step["run"] for step in steps(workflow(path.name)) if "run" in step]
    called = {
        verb for script in scripts for verb in re.findall(r"make (?:--silent )?(\S+)", script)
    }
    assert called <= VERBS
    assert not [script for script in scripts if "${{" in script], "an input could be a command"


def test_a_deployment_takes_a_role_and_keeps_no_key() -> None:
    text = (ROOT / ".github" / "workflows" / "deploy.yml").read_text(encoding="utf-8")
    webhooks = {"SHOP_PAGE_ENDPOINT", "SHOP_TICKET_ENDPOINT"}
    assert set(re.findall(r"secrets\.(\w+)", text)) == webhooks
    jobs = workflow("deploy.yml")["jobs"]
    given = {name: f"${{{{ secrets.{name} }}}}" for name in webhooks}
    assert jobs["review"]["env"] == jobs["approve"]["env"] == given, "both see one configuration"
    for job in jobs.values():
        assert job["permissions"] == {"contents": "read", "id-token": "write"}
    assert jobs["approve"]["needs"] == "review"
    assert jobs["approve"]["environment"] != jobs["review"]["environment"], "the one with reviewers"


def test_what_is_reviewed_is_what_is_approved() -> None:
    jobs = workflow("deploy.yml")["jobs"]
    (kept,) = [s for s in jobs["review"]["steps"] if "upload-artifact" in s.get("uses", "")]
    (taken,) = [s for s in jobs["approve"]["steps"] if "download-artifact" in s.get("uses", "")]
    assert kept["with"]["name"] == taken["with"]["name"]
    assert "approve" in jobs["approve"]["steps"][-2]["run"]
    assert "change" not in re.findall(r"make --silent (\S+)", jobs["approve"]["steps"][-2]["run"])
