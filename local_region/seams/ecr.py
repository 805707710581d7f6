"""The emulator's registry API: it forgets the layers it is sent; here they are kept and checked.

The emulator's own stores are used, so an image pushed by the Docker protocol and one pushed by
the API are the same thing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local_region.seams import core

_Request = Mapping[str, Any]
PART_SIZE_BYTES = 10 * 2**20


class _Refused(Exception):
    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(message)


def install() -> None:
    """Put our operations in place of the emulator's. Raises SeamMoved."""
    ecr = _module()
    for name in (
        "_repositories", "_images", "_layer_blobs", "_manifest_blobs", "_uploads", "_find_image",
    ):  # fmt: skip
        core.attribute(ecr, name)
    for name, operation in _OPERATIONS.items():
        core.replace(ecr, name, _answering(operation))
    core.wrap(ecr, "_put_image", _checked_put_image)
    core.wrap(ecr, "_describe_images", _true_describe_images)
    core.wrap(ecr, "_delete_repository", _thorough_delete)


class RegistryStore:
    """The registry as a pull sees it. Every call needs the account and region pinned."""

    def manifest(self, repository: str, reference: str) -> tuple[str, bytes] | None:
        """Digest and bytes of the manifest a tag or `sha256:` digest names; None when absent."""
        ecr = _module()
        key = "imageDigest" if reference.startswith("sha256:") else "imageTag"
        image = ecr._find_image(repository, {key: reference})
        if image is None:
            return None
        digest = str(image["imageDigest"])
        raw = (ecr._manifest_blobs.get(repository) or {}).get(digest)
        return digest, raw if raw is not None else str(image["imageManifest"]).encode()

    def blob(self, repository: str, digest: str) -> bytes | None:
        """A layer or config; None when it was never uploaded."""
        found = (_module()._layer_blobs.get(repository) or {}).get(digest)
        return None if found is None else bytes(found)


def _module() -> Any:
    return core.module("services.ecr")


def _answering(operation: Callable[[Any, _Request], dict[str, Any]]) -> Callable[[_Request], Any]:
    def answer(request: _Request) -> Any:
        ecr = _module()
        try:
            return ecr.json_response(operation(ecr, request))
        except _Refused as refused:
            return ecr.error_response_json(refused.code, refused.message, 400)

    return answer


def _repository(ecr: Any, request: _Request) -> str:
    name = str(request.get("repositoryName", ""))
    if name not in ecr._repositories:
        raise _Refused(
            "RepositoryNotFoundException",
            f"The repository with name '{name}' does not exist in the registry with id "
            f"'{ecr.get_account_id()}'",
        )
    return name


def _initiate_layer_upload(ecr: Any, request: _Request) -> dict[str, Any]:
    name, upload = _repository(ecr, request), str(uuid.uuid4())
    ecr._uploads.setdefault(name, {})[upload] = bytearray()
    return {"uploadId": upload, "partSize": PART_SIZE_BYTES}


def _upload_layer_part(ecr: Any, request: _Request) -> dict[str, Any]:
    name = _repository(ecr, request)
    received = _upload(ecr, name, request)
    if int(request.get("partFirstByte", 0)) != len(received):
        raise _Refused(
            "InvalidLayerPartException",
            f"The layer part begins at {request.get('partFirstByte')}, expected {len(received)}",
        )
    received += base64.b64decode(request.get("layerPartBlob", ""))
    return {
        "registryId": ecr.get_account_id(),
        "repositoryName": name,
        "uploadId": request["uploadId"],
        "lastByteReceived": len(received) - 1,
    }


def _complete_layer_upload(ecr: Any, request: _Request) -> dict[str, Any]:
    name = _repository(ecr, request)
    content = bytes(_upload(ecr, name, request))
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if digest not in request.get("layerDigests", []):
        raise _Refused(
            "InvalidLayerException",
            f"The layer has digest {digest}, not {request.get('layerDigests')}",
        )
    del ecr._uploads[name][request["uploadId"]]
    blobs = ecr._layer_blobs.setdefault(name, {})
    if digest in blobs:
        raise _Refused(
            "LayerAlreadyExistsException",
            f"The layer with digest {digest} already exists in the repository",
        )
    blobs[digest] = content
    return {
        "registryId": ecr.get_account_id(),
        "repositoryName": name,
        "uploadId": request["uploadId"],
        "layerDigest": digest,
    }


def _upload(ecr: Any, name: str, request: _Request) -> bytearray:
    upload = request.get("uploadId", "")
    received: bytearray | None = (ecr._uploads.get(name) or {}).get(upload)
    if received is None:
        raise _Refused("UploadNotFoundException", f"The upload with id '{upload}' does not exist")
    return received


def _batch_check_layer_availability(ecr: Any, request: _Request) -> dict[str, Any]:
    blobs = ecr._layer_blobs.get(_repository(ecr, request)) or {}
    layers = []
    for digest in request.get("layerDigests", []):
        if digest in blobs:
            layers.append(
                {
                    "layerDigest": digest,
                    "layerAvailability": "AVAILABLE",
                    "layerSize": len(blobs[digest]),
                    "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                }
            )
        else:
            layers.append({"layerDigest": digest, "layerAvailability": "UNAVAILABLE"})
    return {"layers": layers, "failures": []}


_OPERATIONS: Mapping[str, Callable[[Any, _Request], dict[str, Any]]] = {
    "_initiate_layer_upload": _initiate_layer_upload,
    "_upload_layer_part": _upload_layer_part,
    "_complete_layer_upload": _complete_layer_upload,
    "_batch_check_layer_availability": _batch_check_layer_availability,
}


def _checked_put_image(put_image: Callable[[_Request], Any]) -> Callable[[_Request], Any]:
    def answer(request: _Request) -> Any:
        ecr = _module()
        try:
            _check_image(ecr, _repository(ecr, request), request)
        except _Refused as refused:
            return ecr.error_response_json(refused.code, refused.message, 400)
        return put_image(request)

    return answer


def _check_image(ecr: Any, name: str, request: _Request) -> None:
    manifest, tag = str(request.get("imageManifest", "")), request.get("imageTag")
    digest = f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}"
    if request.get("imageDigest") not in (None, digest):
        raise _Refused(
            "ImageDigestDoesNotMatchException",
            f"The image has digest {digest}, not {request['imageDigest']}",
        )
    missing = set(_blobs_of(manifest)) - set(ecr._layer_blobs.get(name) or {})
    if missing:
        raise _Refused(
            "LayersNotFoundException",
            f"The specified layers could not be found: {', '.join(sorted(missing))}",
        )
    tagged = ecr._find_image(name, {"imageTag": tag}) if tag else None
    if tagged is not None and tagged["imageDigest"] == digest:
        raise _Refused(
            "ImageAlreadyExistsException",
            f"Image with digest '{digest}' and tag '{tag}' already exists in the repository "
            f"with name '{name}'",
        )
    ecr._manifest_blobs.setdefault(name, {})[digest] = manifest.encode()


def _blobs_of(manifest: str) -> Iterable[str]:
    try:
        content = json.loads(manifest)
        # An image index names manifests, not blobs.
        if "manifests" in content:
            return []
        return [content["config"]["digest"], *(layer["digest"] for layer in content["layers"])]
    except (ValueError, KeyError, TypeError) as error:
        raise _Refused(
            "InvalidParameterException", f"The image manifest is not valid: {error!r}"
        ) from error


def _true_describe_images(describe: Callable[[_Request], Any]) -> Callable[[_Request], Any]:
    """A size that counts the layers, and an error for an image that is not there, as in ECR."""

    def answer(request: _Request) -> Any:
        ecr = _module()
        name = request.get("repositoryName", "")
        for image_id in request.get("imageIds") or []:
            if name in ecr._repositories and ecr._find_image(name, image_id) is None:
                return ecr.error_response_json(
                    "ImageNotFoundException",
                    f"The image with imageId {dict(image_id)} does not exist within the "
                    f"repository with name '{name}'",
                    400,
                )
        status, headers, body = describe(request)
        if status >= 300:
            return status, headers, body
        content = json.loads(body)
        for detail in content["imageDetails"]:
            image = ecr._find_image(name, {"imageDigest": detail["imageDigest"]})
            detail["imageSizeInBytes"] = _size_bytes(image or {})
        return ecr.json_response(content)

    return answer


def _size_bytes(image: Mapping[str, Any]) -> int:
    try:
        content = json.loads(image.get("imageManifest") or "{}")
    except ValueError:
        return 0
    return sum(int(layer.get("size", 0)) for layer in content.get("layers", []))


def _thorough_delete(delete: Callable[[_Request], Any]) -> Callable[[_Request], Any]:
    """A repository made again under the same name is empty."""

    def answer(request: _Request) -> Any:
        result = delete(request)
        ecr, name = _module(), request.get("repositoryName", "")
        if result[0] < 300:
            for store in (ecr._layer_blobs, ecr._manifest_blobs, ecr._uploads):
                store.pop(name, None)
        return result

    return answer
