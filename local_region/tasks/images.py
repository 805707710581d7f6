"""Pulling an image from the region's registry and unpacking it, once per digest."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import os
import re
import shutil
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

DEFAULT_WORKING_DIRECTORY = "/srv"
_REFERENCE = re.compile(
    r"^(?P<registry>[^/]+\.[^/]+|[^/]+:\d+)/(?P<repository>[a-z0-9._/-]+?)"
    r"(?::(?P<tag>[\w.-]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?$"
)


class CannotPullContainer(Exception):
    """The image cannot be had; the text is what ECS puts behind CannotPullContainerError."""


class ImageRegistry(Protocol):
    """The part of ECR a pull needs."""

    def manifest(self, repository: str, reference: str) -> tuple[str, bytes] | None:
        """Digest and bytes of the manifest a tag or digest names."""

    def blob(self, repository: str, digest: str) -> bytes | None:
        """A layer or config by its digest."""


@dataclass(frozen=True)
class Reference:
    """An image's name, taken apart. A digest wins over a tag; without both the tag is latest."""

    registry: str
    repository: str
    tag: str
    digest: str | None

    @property
    def version(self) -> str:
        return self.digest or self.tag


@dataclass(frozen=True)
class Image:
    """An unpacked image: its digest, its root file system, its configuration (Docker's)."""

    digest: str
    rootfs: Path
    environment: Mapping[str, str]
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    working_directory: str


def parse_reference(image: str) -> Reference:
    """`registry/repository[:tag][@digest]`. Raises CannotPullContainer."""
    match = _REFERENCE.match(image)
    if match is None:
        raise CannotPullContainer(
            f"{image} is not an image of a registry; the local region pulls from its own "
            "registry only: use the RepositoryUri of a repository in it"
        )
    return Reference(
        match["registry"], match["repository"], match["tag"] or "latest", match["digest"]
    )


@dataclass(frozen=True)
class Found:
    """An image as its registry has it: `config` raw, `layers` digests from the bottom up."""

    repository: str
    version: str
    digest: str
    config: bytes
    layers: tuple[str, ...]


def find_image(registry: ImageRegistry, address: str, image: str) -> Found:
    """What an image's name means in the registry at `address`. Raises CannotPullContainer."""
    reference = parse_reference(image)
    if reference.registry != address:
        raise CannotPullContainer(
            f"{image} is in the registry {reference.registry}; the local region pulls "
            f"from {address} only"
        )
    found = registry.manifest(reference.repository, reference.version)
    if found is None:
        raise CannotPullContainer(
            f"pull image manifest has been retried 1 time(s): failed to resolve ref "
            f"{image}: {image}: not found"
        )
    digest, raw = found
    try:
        manifest = json.loads(raw)
        described = Found(
            reference.repository,
            reference.version,
            digest,
            b"",
            tuple(layer["digest"] for layer in manifest["layers"]),
        )
        config = read_blob(registry, described, manifest["config"]["digest"])
        json.loads(config)
    except (ValueError, KeyError, TypeError) as error:
        raise CannotPullContainer(
            f"{image}: its manifest is not a Docker or OCI image manifest: {error!r}"
        ) from error
    return replace(described, config=config)


def read_blob(registry: ImageRegistry, found: Found, digest: str) -> bytes:
    """A layer or config of an image. Raises CannotPullContainer."""
    blob = registry.blob(found.repository, digest)
    if blob is None:
        raise CannotPullContainer(f"{found.repository}: blob {digest} of {found.version} not found")
    return blob


class ImageStore:
    """Unpacked images below one directory. Thread-safe; each digest is unpacked once."""

    def __init__(self, registry: ImageRegistry, registry_host: str, directory: Path) -> None:
        self._registry, self._host, self._directory = registry, registry_host, directory
        self._lock = threading.Lock()

    def pull(self, image: str) -> Image:
        """The image, unpacked. Raises CannotPullContainer."""
        found = find_image(self._registry, self._host, image)
        with self._lock:
            rootfs = self._unpack(found)
        return image_of(found, rootfs)

    def _unpack(self, found: Found) -> Path:
        rootfs = self._directory / found.digest.replace(":", "-")
        if rootfs.is_dir():
            return rootfs
        scratch = Path(tempfile.mkdtemp(prefix=".unpack-", dir=self._directory))
        try:
            for layer in found.layers:
                apply_layer(read_blob(self._registry, found, layer), scratch)
            scratch.chmod(0o755)
            scratch.replace(rootfs)
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            raise CannotPullContainer(
                f"{found.repository}@{found.digest}: a layer cannot be unpacked: {error}"
            ) from error
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        return rootfs


def apply_layer(blob: bytes, root: Path) -> None:
    """Unpack one layer (tar, gzip or not) over `root`, whiteouts included.

    Written out instead of `extractall(filter="data")`: the oldest Python we run on has no filters.
    The rules are the same: nothing may name, link to or be written at a place outside `root`;
    files, directories and links only. Raises TarError, OSError.
    """
    plain = gzip.decompress(blob) if blob[:2] == b"\x1f\x8b" else blob
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        for member in archive:
            _extract(archive, member, root)


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise tarfile.ReadError(f"{member.name} is outside the image")
    path = root / name
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise tarfile.ReadError(f"{member.name} leads outside the image")
    if name.name.startswith(".wh."):
        _remove(path.with_name(name.name.removeprefix(".wh.")))
        return
    if member.isdir():
        path.mkdir(parents=True, exist_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path != root:
        _remove(path)
    if member.isfile():
        source = archive.extractfile(member)
        assert source is not None
        path.write_bytes(source.read())
        path.chmod(member.mode & 0o755 | 0o600)
    elif member.issym():
        target = Path(os.path.normpath(path.parent.resolve() / member.linkname))
        if Path(member.linkname).is_absolute() or not target.is_relative_to(root.resolve()):
            raise tarfile.ReadError(f"{member.name} links outside the image")
        path.symlink_to(member.linkname)
    elif member.islnk():
        target = (root / member.linkname).resolve()
        if not target.is_relative_to(root.resolve()):
            raise tarfile.ReadError(f"{member.name} links outside the image")
        path.hardlink_to(target)
    else:
        raise tarfile.ReadError(f"{member.name} is neither file, directory nor link")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def image_of(found: Found, rootfs: Path) -> Image:
    """The image with its configuration read."""
    config: Mapping[str, Any] = json.loads(found.config).get("config") or {}
    pairs = (entry.partition("=") for entry in config.get("Env") or [])
    return Image(
        digest=found.digest,
        rootfs=rootfs,
        # The interpreter and its libraries are this machine's, so the path is, too.
        environment={name: value for name, _, value in pairs if name != "PATH"},
        entrypoint=tuple(config.get("Entrypoint") or ()),
        command=tuple(config.get("Cmd") or ()),
        working_directory=config.get("WorkingDir") or DEFAULT_WORKING_DIRECTORY,
    )
