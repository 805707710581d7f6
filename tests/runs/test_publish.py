"""Publishing a run: what is sent, what is not sent twice, what a link says of itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid, StackNotFound
from runbook.runs import publish, record
from runbook.runs.result import Artifact, Finding, Result

PNG = b"\x89PNG\r\n"
NOTEBOOK = """{"cells": [{"cell_type": "markdown", "metadata": {}, "source": "# Look around"},
 {"cell_type": "code", "metadata": {}, "execution_count": 1, "source": "print('hello')",
  "outputs": [{"output_type": "stream", "name": "stdout", "text": "hello from the cell"}]}],
 "metadata": {}, "nbformat": 4, "nbformat_minor": 5}"""


class FakeS3:
    """A bucket in memory; signs with a real client."""

    def __init__(self, token: str | None = None) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.sent: list[str] = []
        self.breaks_at: str | None = None
        self._signer = boto3.client(
            "s3", region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="y",
            aws_session_token=token, config=Config(signature_version="s3v4"),
        )  # fmt: skip

    def put_object(self, **request: Any) -> None:
        if self.breaks_at and request["Key"].endswith(self.breaks_at):
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "PutObject")
        self.objects[request["Key"]] = request
        self.sent.append(request["Key"])

    def head_object(self, **request: Any) -> dict[str, Any]:
        return self.objects[request["Key"]]

    def get_paginator(self, operation: str) -> FakeS3:
        assert operation == "list_objects_v2"
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        found = [
            {"Key": key, "Size": len(item["Body"])}
            for key, item in self.objects.items()
            if key.startswith(request["Prefix"])
        ]
        # As S3 does it: a page without objects has no Contents.
        return [{"Contents": found}] if found else [{}]

    def generate_presigned_url(self, *arguments: Any, **options: Any) -> str:
        return str(self._signer.generate_presigned_url(*arguments, **options))


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> FakeS3:
    fake = FakeS3()
    monkeypatch.setattr(publish, "client", lambda environment, service: fake)
    return fake


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment("dev", "shop", "eu-west-1", "", 60, tmp_path, tmp_path)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A run as plain papermill leaves it: no pages."""
    path = tmp_path / "runs" / "dev" / "20261123T194500Z-ab12"
    folder = path / "00_preflight"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "x.png").write_bytes(PNG)
    (folder / "notebook.ipynb").write_text(NOTEBOOK)
    (folder / ".progress.json").write_text("{}")
    (path / "region").mkdir()
    (path / "region" / "shop.db").write_text("a demo's own region")
    made = Result("00_preflight", "dev", path.name, "abc", {"env": "dev"})
    made.findings.append(Finding("ok", "all is well"))
    made.artifacts.append(Artifact("figure", "figures/x.png", "X", False))
    made.write(folder, "pass", "")
    record.summarise(path)
    return path


def names(keys: list[str]) -> list[str]:
    return [key.removeprefix("dev/20261123T194500Z-ab12/") for key in keys]


def test_everything_of_the_run_goes_under_its_id_with_its_type(environment, run_dir, s3):
    planned = publish.plan(environment, run_dir, "reports")
    publish.send(environment, planned)
    assert set(names(s3.sent)) == {
        "00_preflight/figures/x.png", "00_preflight/notebook.ipynb", "00_preflight/report.html",
        "00_preflight/result.json", "index.html", "run.json", "whole.html",
    }  # fmt: skip
    assert names(s3.sent)[-1] == "whole.html"
    sent = zip(s3.sent, names(s3.sent), strict=True)
    types = {name: s3.objects[key]["ContentType"] for key, name in sent}
    assert types["whole.html"] == "text/html; charset=utf-8"
    assert types["run.json"] == "application/json"
    assert types["00_preflight/figures/x.png"] == "image/png"
    assert types["00_preflight/notebook.ipynb"] == "application/x-ipynb+json"


def test_the_page_that_a_link_opens_needs_no_other(environment, run_dir, s3):
    publish.plan(environment, run_dir, "reports")
    page = (run_dir / "whole.html").read_text()
    assert "hello from the cell" in page
    addresses = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert [a[:30] for a in addresses if not a.startswith(("#", "data:"))] == []
    for target in (a[1:] for a in addresses if a.startswith("#")):
        assert f'id="{target}"' in page


def test_a_second_time_nothing_is_sent(environment, run_dir, s3):
    publish.send(environment, publish.plan(environment, run_dir, "reports"))
    s3.sent.clear()
    again = publish.plan(environment, run_dir, "reports")
    publish.send(environment, again)
    assert (s3.sent, again.to_send) == ([], ())
    (run_dir / "00_preflight" / "figures" / "x.png").write_bytes(PNG[::-1])
    changed = publish.plan(environment, run_dir, "reports").to_send
    assert [(f.key.rpartition("/")[2], f.state) for f in changed if f.key.endswith("png")] == [
        ("x.png", "changed")
    ]


def test_what_was_cut_off_is_finished_by_the_same_command(environment, run_dir, s3):
    s3.breaks_at = "run.json"
    with pytest.raises(AwsCallFailed, match="The bucket reports refused"):
        publish.send(environment, publish.plan(environment, run_dir, "reports"))
    before = list(s3.sent)
    assert before
    assert not any(key.endswith(publish.PAGE) for key in before)
    s3.breaks_at = None
    publish.send(environment, publish.plan(environment, run_dir, "reports"))
    assert len(s3.sent) == len(set(s3.sent)) == 7


def test_a_link_opens_the_newest_runs_page(environment, run_dir, s3):
    publish.send(environment, publish.plan(environment, run_dir, "reports"))
    made = publish.link(environment, "reports", hours=2)
    assert f"{run_dir.name}/whole.html?" in made.url
    assert "X-Amz-Expires=7200&" in made.url
    assert (made.ends_with_session, made.expires_at[-1]) == (False, "Z")
    assert "Whoever has it" in made.caution


def test_a_roles_link_says_that_it_ends_with_the_session(
    environment, run_dir, s3, monkeypatch: pytest.MonkeyPatch
):
    publish.send(environment, publish.plan(environment, run_dir, "reports"))
    role = FakeS3(token="session")
    role.objects = s3.objects
    monkeypatch.setattr(publish, "client", lambda environment, service: role)
    made = publish.link(environment, "reports", run_dir.name, hours=24)
    assert made.ends_with_session
    assert "ends with the session" in made.caution


@pytest.mark.parametrize("hours", [0, -1, 169])
def test_a_link_lives_a_week_at_most(environment, s3, hours):
    with pytest.raises(InputInvalid, match="at most 168"):
        publish.link(environment, "reports", hours=hours)


def test_a_run_that_is_not_there_names_the_command(environment, run_dir, s3):
    assert publish.find_run(run_dir.parents[1], environment) == run_dir
    with pytest.raises(InputInvalid, match="No run 2 of dev found"):
        publish.find_run(run_dir.parents[1], environment, "2")
    with pytest.raises(InputInvalid, match="runbook report publish --env dev"):
        publish.link(environment, "reports", hours=1)


def test_the_bucket_comes_from_the_option_the_task_or_the_stack(
    environment, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv(publish.BUCKET_VARIABLE, raising=False)
    monkeypatch.setattr(publish, "outputs", lambda environment, layer: {"ReportBucketName": layer})
    assert publish.bucket_of(environment) == "runbooks"
    monkeypatch.setenv(publish.BUCKET_VARIABLE, "of-the-task")
    assert publish.bucket_of(environment) == "of-the-task"
    assert publish.bucket_of(environment, "named") == "named"
    monkeypatch.delenv(publish.BUCKET_VARIABLE)
    monkeypatch.setattr(publish, "outputs", lambda environment, layer: {})
    with pytest.raises(StackNotFound, match="has no report bucket"):
        publish.bucket_of(environment)
