"""A docker archive (what `docker save` and `podman save` write) as an image for the registry's API.

Archives hold layers as plain tars and no manifest. Both are made here, the same for the same
archive, so an image sent twice has one digest.
"""

from __future__ import annotations

import gzip
import json
import tarfile
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from runbook.ecs.image import ServiceImage, assemble
from runbook.errors import InputInvalid

#: zlib's own default: what registries get from engines is of about this size.
_LEVEL = 6


def read_archive(archive: Path, tag: str) -> ServiceImage:
    """The one image of an archive. Raises InputInvalid when it is none."""
    try:
        with tarfile.open(archive) as content:
            listed = json.loads(_member(content, "manifest.json"))
            if len(listed) != 1:
                raise InputInvalid(
                    f"{archive.name} cannot be sent", f"it holds {len(listed)} images", "save one"
                )
            config = _member(content, listed[0]["Config"])
            layers = [_compressed(_member(content, name)) for name in listed[0]["Layers"]]
    except (tarfile.TarError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputInvalid(
            f"{archive.name} cannot be sent",
            f"it is not a docker archive: {error!r}",
            "save the image again",
        ) from error
    return assemble(tag, config, layers)


@dataclass(frozen=True)
class Layer:
    """One layer. `step` is the Dockerfile's instruction that made it; bytes as unpacked on a
    host, and as sent (gzip)."""

    step: str
    size_bytes: int
    sent_bytes: int


def layers(image: ServiceImage) -> list[Layer]:
    """An image's layers from the bottom up."""
    config, *blobs = [content for _, content in image.blobs]
    made = [
        str(entry.get("created_by", ""))
        for entry in json.loads(config).get("history", [])
        if not entry.get("empty_layer")
    ]
    return [
        # gzip's last four bytes are the length of what it holds.
        Layer(step, int.from_bytes(blob[-4:], "little"), len(blob))
        for step, blob in zip_longest(made[: len(blobs)], blobs, fillvalue="")
        if isinstance(blob, bytes)
    ]


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    """A file of the archive; layers that are alike are links to the first."""
    found = archive.extractfile(name)
    if found is None:
        raise KeyError(name)
    return found.read()


def _compressed(layer: bytes) -> bytes:
    return layer if layer[:2] == b"\x1f\x8b" else gzip.compress(layer, _LEVEL, mtime=0)
