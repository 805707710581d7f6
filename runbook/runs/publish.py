"""A run's folder in the report bucket, and links that open it.

The pages and the notebooks' folders go to `<env>/<run id>/`, as they lie in the run's folder. A
file is known by its SHA-256, kept in the object's metadata: what is there already is not sent
again, so that publishing may be cut off and started anew. The page that a link opens,
`whole.html`, goes last and needs no other file: a presigned link is for one object, and a page's
relative links would leave it.
"""

from __future__ import annotations

import hashlib
import mimetypes
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from runbook.aws import client, outputs
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid, StackNotFound
from runbook.runs import record, report

BUCKET_VARIABLE = "RUNBOOK_REPORT_BUCKET"
LAYER = "runbooks"
PAGE = "whole.html"
LONGEST_LINK_H = 168.0
"""What the signature allows; the session that signed it may end sooner."""
#: What browsers and people need to know; the rest is told by the system's own table.
_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ipynb": "application/x-ipynb+json",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".log": "text/plain; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}

State = Literal["new", "changed", "unchanged"]


@dataclass(frozen=True)
class File:
    """One file of the run and its object. `state`: how the bucket differed before."""

    path: Path
    key: str
    content_type: str
    size_bytes: int
    sha256: str
    state: State

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {k: v for k, v in asdict(self).items() if k != "path"}


@dataclass(frozen=True)
class Link:
    """An address that opens one page without any rights of the reader's own."""

    url: str
    expires_at: str
    ends_with_session: bool

    @property
    def caution(self) -> str:
        """What whoever gets the link must know."""
        return (
            "It ends with the session that signed it, which may be hours before that; "
            "a new one: runbook report link"
            if self.ends_with_session
            else "Whoever has it can read the page until then."
        )


@dataclass(frozen=True)
class Publication:
    """A run and where it goes; `files` in the order in which they are sent."""

    run_id: str
    env: str
    bucket: str
    files: tuple[File, ...]

    @property
    def to_send(self) -> tuple[File, ...]:
        """What the bucket lacks."""
        return tuple(file for file in self.files if file.state != "unchanged")

    @property
    def uri(self) -> str:
        """Where the run lies."""
        return f"s3://{self.bucket}/{self.env}/{self.run_id}/"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "run_id": self.run_id,
            "env": self.env,
            "uri": self.uri,
            "sent": len(self.to_send),
            "unchanged": len(self.files) - len(self.to_send),
            "files": [file.to_dict() for file in self.files],
        }


def find_run(root: Path, environment: Environment, run_id: str = "") -> Path:
    """The folder of a run of the environment, the newest unless named. Raises InputInvalid."""
    for run_dir in record.run_dirs(root, environment.name):
        if (run_dir / "run.json").is_file() and run_id in ("", run_dir.name):
            return run_dir
    raise InputInvalid(
        f"No {'run ' + run_id if run_id else 'run'} of {environment.name} found",
        f"looked below {root / environment.name}",
        f"make one: runbook run 00_preflight --env {environment.name}",
    )


def bucket_of(environment: Environment, named: str = "") -> str:
    """The report bucket: as named, as the task's environment says, or of the runbooks stack.

    Raises StackNotFound, AwsCallFailed.
    """
    if found := named or os.environ.get(BUCKET_VARIABLE, ""):
        return found
    try:
        return outputs(environment, LAYER)["ReportBucketName"]
    except (KeyError, StackNotFound) as error:
        raise StackNotFound(
            f"{environment.name} has no report bucket",
            f"stack {environment.stack_name(LAYER)} has no output ReportBucketName",
            f"deploy it (runbook run 10_deploy --env {environment.name}), or name one: --bucket",
        ) from error


def plan(environment: Environment, run_dir: Path, bucket: str) -> Publication:
    """What publishing would send. Makes the run's pages anew. Raises AwsCallFailed."""
    make_pages(run_dir)
    prefix = f"{environment.name}/{run_dir.name}/"
    s3 = client(environment, "s3")
    try:
        there = _sizes(s3, bucket, prefix)
        files = tuple(_file(s3, bucket, prefix, run_dir, path, there) for path in _files(run_dir))
    except (ClientError, BotoCoreError) as error:
        raise _failed(bucket, error) from error
    return Publication(run_dir.name, environment.name, bucket, files)


def send(
    environment: Environment, planned: Publication, on_file: Callable[[File], None] | None = None
) -> None:
    """Put what is missing into the bucket. Raises AwsCallFailed."""
    s3 = client(environment, "s3")
    for file in planned.to_send:
        if on_file:
            on_file(file)
        try:
            s3.put_object(
                Bucket=planned.bucket,
                Key=file.key,
                Body=file.path.read_bytes(),
                ContentType=file.content_type,
                CacheControl="private, no-cache",
                Metadata={"sha256": file.sha256},
            )
        except (ClientError, BotoCoreError) as error:
            raise _failed(planned.bucket, error) from error


def link(environment: Environment, bucket: str, run_id: str = "", *, hours: float) -> Link:
    """A presigned link to a published run's page, the newest run unless named.

    Raises InputInvalid when no such run is in the bucket, AwsCallFailed.
    """
    if not 0 < hours <= LONGEST_LINK_H:
        raise InputInvalid(
            f"A link cannot work for {hours:g} hours",
            f"a signature is for at most {LONGEST_LINK_H:g}",
            "give fewer hours; a new link can be had at any time",
        )
    s3 = client(environment, "s3")
    try:
        key = _page(s3, bucket, environment.name, run_id)
        url = s3.generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=int(hours * 3600)
        )
    except (ClientError, BotoCoreError) as error:
        raise _failed(bucket, error) from error
    ends: datetime = record.utc_now() + timedelta(hours=hours)
    return Link(url, record.stamp(ends), ends_with_session="X-Amz-Security-Token=" in url)


def make_pages(run_dir: Path) -> None:
    """The run's pages as they now must be, also after plain papermill, which makes none."""
    for result in sorted(run_dir.glob("*/result.json")):
        report.write_report(result.parent)
    report.write_run_page(run_dir)
    report.write_whole_page(run_dir)


def _files(run_dir: Path) -> list[Path]:
    """The run's pages and its notebooks' folders, the page last.

    Nothing hidden, and nothing else that lies there: a demo keeps its local region in the folder.
    """
    notebooks = [path.parent for path in run_dir.glob("*/result.json")]
    found = [
        path
        for folder, pattern in ((run_dir, "*"), *((folder, "**/*") for folder in notebooks))
        for path in folder.glob(pattern)
        if path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(run_dir).parts)
    ]
    return sorted(found, key=lambda path: (path == run_dir / PAGE, path))


def _file(
    s3: Any, bucket: str, prefix: str, run_dir: Path, path: Path, there: dict[str, int]
) -> File:
    content = path.read_bytes()
    key, digest = prefix + path.relative_to(run_dir).as_posix(), hashlib.sha256(content).hexdigest()
    state: State = "changed" if key in there else "new"
    if there.get(key) == len(content):
        kept = s3.head_object(Bucket=bucket, Key=key)["Metadata"].get("sha256")
        state = "unchanged" if kept == digest else "changed"
    return File(path, key, content_type(path), len(content), digest, state)


def content_type(path: Path) -> str:
    """What a browser is told that a file is."""
    known = _TYPES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]
    return known or "application/octet-stream"


def _sizes(s3: Any, bucket: str, prefix: str) -> dict[str, int]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return {item["Key"]: item["Size"] for page in pages for item in page.get("Contents", [])}


def _page(s3: Any, bucket: str, env: str, run_id: str) -> str:
    """The key of a run's page; run ids sort by time."""
    prefix = f"{env}/{run_id}/" if run_id else f"{env}/"
    pages = [key for key in _sizes(s3, bucket, prefix) if key.endswith(f"/{PAGE}")]
    if not pages:
        raise InputInvalid(
            f"No {'run ' + run_id if run_id else 'run'} of {env} is published",
            f"s3://{bucket}/{prefix} holds no {PAGE}",
            f"publish it: runbook report publish --env {env}",
        )
    return max(pages)


def _failed(bucket: str, error: Exception) -> AwsCallFailed:
    return AwsCallFailed(
        f"The bucket {bucket} refused",
        str(error),
        "it needs s3:ListBucket on it, s3:GetObject and s3:PutObject on its objects",
    )
