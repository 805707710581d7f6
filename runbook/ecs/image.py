"""The service's image, built from its source folder and published through the registry's API.

The local region needs no container engine: tasks run on this machine's Python, so the image
is one layer with the service's source under /srv. Images that a container engine runs come from
the Dockerfile (`dockerfile`).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from runbook.aws import client, outputs
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_WORKDIR = "srv"
_LEFT_OUT = frozenset(
    {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints"}
)


@dataclass(frozen=True)
class ServiceImage:
    """An image in memory. `tag` names its content, `digest` its manifest ("sha256:...")."""

    tag: str
    digest: str
    manifest: str
    blobs: tuple[tuple[str, bytes], ...]

    @property
    def reference(self) -> str:
        """What follows the repository's address to mean this image and no other, ever."""
        return f"@{self.digest}"

    @property
    def size_bytes(self) -> int:
        """What has to be sent at most."""
        return sum(len(content) for _, content in self.blobs)


def build(source: Path) -> ServiceImage:
    """Pack a source folder; the same files give the same image.

    Raises InputInvalid when the folder is missing or holds no Python file.
    """
    if not any(path.suffix == ".py" for path in source_files(source)):
        raise InputInvalid(
            "No image can be built", f"{source} holds no Python file", "name the service's folder"
        )
    return pack(source.parent, (source.name,), ("python", "-m", source.name), prefix="src")


def pack(
    project: Path, parts: Sequence[str], command: Sequence[str], *, prefix: str
) -> ServiceImage:
    """Pack folders and files of the project; its tag is `prefix` and the content's digest.

    Raises InputInvalid when a part is missing.
    """
    archive = _archive(project, parts)
    layer = gzip.compress(archive, mtime=0)
    config = _json(
        {
            # Required by the format; Python source runs on any.
            "architecture": "amd64",
            "os": "linux",
            "config": {"WorkingDir": f"/{_WORKDIR}", "Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [_digest(archive)]},
            "history": [{"created_by": f"files of {', '.join(parts)}"}],
        }
    )
    return assemble(f"{prefix}-{hashlib.sha256(archive).hexdigest()[:16]}", config, [layer])


def assemble(tag: str, config: bytes, layers: Sequence[bytes]) -> ServiceImage:
    """An image from its parts: the configuration, and gzipped tars from the bottom up."""
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": _descriptor(_CONFIG_TYPE, config),
            "layers": [_descriptor(_LAYER_TYPE, layer) for layer in layers],
        }
    )
    return ServiceImage(
        tag=tag,
        digest=_digest(manifest),
        manifest=manifest.decode(),
        blobs=tuple((_digest(blob), blob) for blob in (config, *layers)),
    )


def published(environment: Environment, reference: str, repository: str = "") -> bool:
    """Whether the environment's registry holds `reference` ("@sha256:..." or ":tag").

    `repository` is the service's unless named.
    Raises StackNotFound when there is no registry yet, AwsCallFailed otherwise.
    """
    key = "imageDigest" if reference.startswith("@") else "imageTag"
    repository = repository or outputs(environment, "registry")["RepositoryName"]
    try:
        client(environment, "ecr").describe_images(
            repositoryName=repository, imageIds=[{key: reference[1:]}]
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ImageNotFoundException":
            return False
        raise _failed(repository, error) from error
    except BotoCoreError as error:
        raise _failed(repository, error) from error
    return True


def publish(environment: Environment, image: ServiceImage, repository: str = "") -> bool:
    """Put the image into the environment's registry; False when it is there already.

    `repository` is the service's unless named.
    Raises StackNotFound when there is no registry yet, AwsCallFailed when it refuses.
    """
    repository = repository or outputs(environment, "registry")["RepositoryName"]
    if published(environment, image.reference, repository):
        return False
    ecr = client(environment, "ecr")
    try:
        for digest, content in image.blobs:
            _upload(ecr, repository, digest, content)
        ecr.put_image(
            repositoryName=repository,
            imageManifest=image.manifest,
            imageManifestMediaType=MANIFEST_TYPE,
            imageTag=image.tag,
            imageDigest=image.digest,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ImageAlreadyExistsException":
            return False
        raise _failed(repository, error) from error
    except BotoCoreError as error:
        raise _failed(repository, error) from error
    return True


def _upload(ecr: Any, repository: str, digest: str, content: bytes) -> None:
    here = ecr.batch_check_layer_availability(repositoryName=repository, layerDigests=[digest])
    if any(layer.get("layerAvailability") == "AVAILABLE" for layer in here.get("layers", [])):
        return
    begun = ecr.initiate_layer_upload(repositoryName=repository)
    upload, part_bytes = begun["uploadId"], int(begun.get("partSize", len(content)))
    for first in range(0, len(content), part_bytes):
        part = content[first : first + part_bytes]
        ecr.upload_layer_part(
            repositoryName=repository,
            uploadId=upload,
            partFirstByte=first,
            partLastByte=first + len(part) - 1,
            layerPartBlob=part,
        )
    ecr.complete_layer_upload(repositoryName=repository, uploadId=upload, layerDigests=[digest])


def source_files(source: Path) -> Iterator[Path]:
    """The files of a folder in a stable order, without what Python and its tools leave behind."""
    for path in sorted(source.rglob("*")):
        if path.is_file() and path.suffix != ".pyc" and not _LEFT_OUT.intersection(path.parts):
            yield path


def _archive(project: Path, parts: Sequence[str]) -> bytes:
    """A tar without anything of this machine or this moment in it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for part in parts:
            source = project / part
            if not source.exists():
                raise InputInvalid(
                    "No image can be packed", f"{source} is missing", "restore it from git"
                )
            for path in source_files(source) if source.is_dir() else [source]:
                content = path.read_bytes()
                entry = tarfile.TarInfo(f"{_WORKDIR}/{path.relative_to(project)}")
                entry.size, entry.mode = len(content), 0o644
                archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def _json(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _descriptor(media_type: str, content: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "size": len(content), "digest": _digest(content)}


def _failed(repository: str, error: Exception) -> AwsCallFailed:
    return AwsCallFailed(
        f"The registry {repository} refused", str(error), "check its policy and your rights"
    )
