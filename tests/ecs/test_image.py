"""The image: deterministic, made of real parts, published once."""

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from runbook.ecs import image
from runbook.environment import Environment
from runbook.errors import AwsCallFailed, InputInvalid


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "__main__.py").write_text("print('up')\n")
    (folder / "store").mkdir()
    (folder / "store" / "sqlite.py").write_text("# store\n")
    (folder / "__pycache__" / "x.pyc").write_bytes(b"x")
    return folder


def test_the_same_files_give_the_same_image(source: Path) -> None:
    first = image.build(source)
    (source / "__main__.py").touch()
    assert image.build(source) == first


def test_another_content_gives_another_tag_and_digest(source: Path) -> None:
    first = image.build(source)
    (source / "__main__.py").write_text("print('down')\n")
    second = image.build(source)
    assert (first.tag, first.digest) != (second.tag, second.digest)


def test_the_layer_holds_the_source_below_srv_and_nothing_else(source: Path) -> None:
    built = image.build(source)
    (_, config), (layer_digest, layer) = built.blobs
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(layer))) as archive:
        assert archive.getnames() == ["srv/app/__main__.py", "srv/app/store/sqlite.py"]
        assert {item.mtime for item in archive} == {0}
    manifest = json.loads(built.manifest)
    assert manifest["layers"][0]["digest"] == layer_digest
    assert manifest["layers"][0]["size"] == len(layer)
    assert built.digest == "sha256:" + hashlib.sha256(built.manifest.encode()).hexdigest()
    diff_id = "sha256:" + hashlib.sha256(gzip.decompress(layer)).hexdigest()
    assert json.loads(config)["rootfs"]["diff_ids"] == [diff_id]


def test_a_folder_without_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputInvalid, match="holds no Python file"):
        image.build(tmp_path)


class FakeEcr:
    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.images: dict[str, str] = {}
        self.calls: list[str] = []
        self.refuse = ""

    def describe_images(self, repositoryName: str, imageIds: list[dict[str, str]]) -> Any:  # noqa: N803
        (wanted,) = imageIds
        known = {"imageDigest": list(self.images), "imageTag": list(self.images.values())}
        ((key, value),) = wanted.items()
        if value not in known[key]:
            raise ClientError({"Error": {"Code": "ImageNotFoundException", "Message": "no"}}, "x")
        return {}

    def batch_check_layer_availability(self, layerDigests: list[str], **_: str) -> Any:  # noqa: N803
        return {
            "layers": [
                {"layerAvailability": "AVAILABLE" if item in self.blobs else "UNAVAILABLE"}
                for item in layerDigests
            ]
        }

    def initiate_layer_upload(self, **_: str) -> Any:
        return {"uploadId": "u1"}

    def upload_layer_part(
        self,
        partFirstByte: int,  # noqa: N803
        partLastByte: int,  # noqa: N803
        layerPartBlob: bytes,  # noqa: N803
        **_: str,
    ) -> None:
        assert (partFirstByte, partLastByte) == (0, len(layerPartBlob) - 1)
        self.pending = layerPartBlob

    def complete_layer_upload(self, layerDigests: list[str], **_: str) -> None:  # noqa: N803
        self.calls.append("upload")
        self.blobs[layerDigests[0]] = self.pending

    def put_image(self, imageTag: str, imageDigest: str, **_: str) -> None:  # noqa: N803
        if self.refuse:
            raise ClientError({"Error": {"Code": self.refuse, "Message": "no"}}, "PutImage")
        self.calls.append("put")
        self.images[imageDigest] = imageTag


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment("local", "shop", "eu-west-1", "000000000000", 10, tmp_path, tmp_path)


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> FakeEcr:
    fake = FakeEcr()
    monkeypatch.setattr(image, "client", lambda environment, service: fake)
    monkeypatch.setattr(image, "outputs", lambda environment, layer: {"RepositoryName": "shop"})
    return fake


def test_publishing_sends_blobs_and_image_once(
    environment: Environment, source: Path, ecr: FakeEcr
) -> None:
    built = image.build(source)
    assert image.publish(environment, built) is True
    assert ecr.calls == ["upload", "upload", "put"]
    assert image.published(environment, built.reference)
    assert image.published(environment, f":{built.tag}")
    assert image.publish(environment, built) is False
    assert ecr.calls == ["upload", "upload", "put"]


def test_blobs_sent_before_a_kill_are_not_sent_again(
    environment: Environment, source: Path, ecr: FakeEcr
) -> None:
    built = image.build(source)
    digest, content = built.blobs[1]
    ecr.blobs[digest] = content
    image.publish(environment, built)
    assert ecr.calls == ["upload", "put"]


def test_a_registry_that_refuses_is_an_error(
    environment: Environment, source: Path, ecr: FakeEcr
) -> None:
    ecr.refuse = "AccessDeniedException"
    with pytest.raises(AwsCallFailed, match="The registry shop refused"):
        image.publish(environment, image.build(source))
    ecr.refuse = "ImageAlreadyExistsException"
    assert image.publish(environment, image.build(source)) is False
