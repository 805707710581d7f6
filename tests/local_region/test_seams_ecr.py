"""The seam into the emulator's registry: what an upgrade must not move, and what it now does."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json

import pytest

from local_region.errors import SeamMoved
from local_region.seams import core, ecr

ACCOUNT, REGION = "000000000000", "eu-west-1"


@pytest.fixture(scope="module")
def service():
    with pytest.MonkeyPatch.context() as patch:
        module = core.module("services.ecr")
        for name in (
            "_initiate_layer_upload", "_upload_layer_part", "_complete_layer_upload",
            "_batch_check_layer_availability", "_put_image", "_describe_images",
            "_delete_repository",
        ):  # fmt: skip
            patch.setattr(module, name, getattr(module, name))
        ecr.install()
        yield module


@pytest.fixture
def api(service):
    """Calls an operation as a request would; gives (status, content)."""

    def call(action, **request):
        headers = {"x-amz-target": f"AmazonEC2ContainerRegistry_V20150921.{action}"}
        body = json.dumps(request)
        with core.request_scope(ACCOUNT, REGION):
            status, _, content = asyncio.run(service.handle_request("POST", "/", headers, body, {}))
        return status, json.loads(content)

    call("CreateRepository", repositoryName="shop", imageTagMutability="IMMUTABLE")
    yield call
    service.reset()


def digest(blob):
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def upload(api, blob, part_bytes=4, claimed=None):
    _, started = api("InitiateLayerUpload", repositoryName="shop")
    for first in range(0, len(blob), part_bytes):
        part = blob[first : first + part_bytes]
        status, _ = api(
            "UploadLayerPart", repositoryName="shop", uploadId=started["uploadId"],
            partFirstByte=first, partLastByte=first + len(part) - 1,
            layerPartBlob=base64.b64encode(part).decode(),
        )  # fmt: skip
        assert status == 200
    return api(
        "CompleteLayerUpload", repositoryName="shop", uploadId=started["uploadId"],
        layerDigests=[claimed or digest(blob)],
    )  # fmt: skip


def manifest(*layers):
    return json.dumps(
        {
            "config": {"digest": digest(b"config"), "size": 6},
            "layers": [{"digest": digest(layer), "size": len(layer)} for layer in layers],
        }
    )


def push(api, tag="one"):
    upload(api, b"config")
    upload(api, b"layer-content")
    return api(
        "PutImage", repositoryName="shop", imageManifest=manifest(b"layer-content"), imageTag=tag
    )


def test_layers_are_kept_in_parts_and_checked(api):
    assert upload(api, b"layer-content")[0] == 200
    with core.request_scope(ACCOUNT, REGION):
        assert ecr.RegistryStore().blob("shop", digest(b"layer-content")) == b"layer-content"
    _, available = api(
        "BatchCheckLayerAvailability", repositoryName="shop",
        layerDigests=[digest(b"layer-content"), digest(b"other")],
    )  # fmt: skip
    states = [layer["layerAvailability"] for layer in available["layers"]]
    assert states == ["AVAILABLE", "UNAVAILABLE"]


def test_wrong_digest_is_refused(api):
    status, error = upload(api, b"layer-content", claimed=digest(b"other"))
    assert (status, error["__type"]) == (400, "InvalidLayerException")


def test_gap_between_parts_is_refused(api):
    _, started = api("InitiateLayerUpload", repositoryName="shop")
    status, error = api(
        "UploadLayerPart", repositoryName="shop", uploadId=started["uploadId"], partFirstByte=5,
        partLastByte=6, layerPartBlob="YWI=",
    )  # fmt: skip
    assert (status, error["__type"]) == (400, "InvalidLayerPartException")


def test_pushed_image_can_be_pulled_by_tag_and_digest(api):
    status, answer = push(api)
    assert status == 200
    image = answer["image"]["imageId"]["imageDigest"]
    with core.request_scope(ACCOUNT, REGION):
        store = ecr.RegistryStore()
        raw = manifest(b"layer-content").encode()
        assert store.manifest("shop", "one") == (image, raw)
        assert store.manifest("shop", image) == (image, raw)
        assert store.manifest("shop", "two") is None
        assert store.manifest("none", "one") is None


def test_image_whose_layers_were_never_sent_is_refused(api):
    upload(api, b"config")
    status, error = api("PutImage", repositoryName="shop", imageManifest=manifest(b"other"))
    assert (status, error["__type"]) == (400, "LayersNotFoundException")


def test_same_image_again_and_another_under_its_tag(api):
    push(api)
    assert push(api)[1]["__type"] == "ImageAlreadyExistsException"
    upload(api, b"more")
    status, error = api(
        "PutImage", repositoryName="shop", imageManifest=manifest(b"more"), imageTag="one"
    )
    assert (status, error["__type"]) == (400, "ImageTagAlreadyExistsException")


def test_size_counts_the_layers_and_unknown_images_are_an_error(api):
    push(api)
    _, found = api("DescribeImages", repositoryName="shop")
    assert found["imageDetails"][0]["imageSizeInBytes"] == len(b"layer-content")
    status, error = api("DescribeImages", repositoryName="shop", imageIds=[{"imageTag": "two"}])
    assert (status, error["__type"]) == (400, "ImageNotFoundException")


def test_repository_made_again_is_empty(api):
    push(api)
    api("DeleteRepository", repositoryName="shop", force=True)
    api("CreateRepository", repositoryName="shop")
    status, error = api("PutImage", repositoryName="shop", imageManifest=manifest(b"layer-content"))
    assert (status, error["__type"]) == (400, "LayersNotFoundException")


def test_moved_seam_is_noticed(service, monkeypatch):
    monkeypatch.delattr(service, "_layer_blobs")
    with pytest.raises(SeamMoved, match="_layer_blobs"):
        ecr.install()
