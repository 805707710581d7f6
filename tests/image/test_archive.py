"""Docker archives, old and new in form, become images with the same digest every time."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import pytest

from runbook.ecs.archive import layers, read_archive
from runbook.errors import InputInvalid

LAYERS = (b"first layer" * 100, b"second")


def write(path: Path, files: dict[str, bytes], link: tuple[str, str] | None = None) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        if link:
            entry = tarfile.TarInfo(link[0])
            entry.type, entry.linkname = tarfile.SYMTYPE, link[1]
            archive.addfile(entry)
    return path


def manifest(*names: str, images: int = 1) -> bytes:
    return json.dumps([{"Config": "c.json", "Layers": list(names)}] * images).encode()


CONFIG = json.dumps(
    {
        "config": {"Cmd": ["x"]},
        "history": [
            {"created_by": "COPY a"},
            {"created_by": "ENV b", "empty_layer": True},
            {"created_by": "COPY c"},
        ],
    }
).encode()


def test_layers_are_compressed_alike_every_time(tmp_path: Path) -> None:
    files = {
        "c.json": CONFIG,
        "1/layer.tar": LAYERS[0],
        "blobs/sha256/2": LAYERS[1],
        "manifest.json": manifest("1/layer.tar", "blobs/sha256/2"),
    }
    image = read_archive(write(tmp_path / "a.tar", files), "src-1-2")
    again = read_archive(write(tmp_path / "b.tar", dict(reversed(files.items()))), "src-1-2")
    assert image == again
    assert [gzip.decompress(blob) for _, blob in image.blobs[1:]] == list(LAYERS)
    assert json.loads(image.manifest)["config"]["digest"] == image.blobs[0][0]
    assert image.blobs[0][1] == CONFIG


def test_sizes_stand_beside_the_steps_that_made_the_layers(tmp_path: Path) -> None:
    files = {"c.json": CONFIG, "1": LAYERS[0], "2": LAYERS[1], "manifest.json": manifest("1", "2")}
    first, second = layers(read_archive(write(tmp_path / "a.tar", files), "t"))
    assert (first.step, first.size_bytes) == ("COPY a", len(LAYERS[0]))
    assert (second.step, second.size_bytes) == ("COPY c", len(LAYERS[1]))
    assert first.sent_bytes < first.size_bytes


def test_a_layer_may_be_a_link_to_one_that_is_alike(tmp_path: Path) -> None:
    files = {"c.json": CONFIG, "1": LAYERS[0], "manifest.json": manifest("1", "2")}
    image = read_archive(write(tmp_path / "a.tar", files, ("2", "1")), "t")
    assert image.blobs[1] == image.blobs[2]


@pytest.mark.parametrize(
    "files",
    [
        {"c.json": CONFIG},
        {"c.json": CONFIG, "manifest.json": b"{"},
        {"c.json": CONFIG, "manifest.json": manifest("1")},
        {"c.json": CONFIG, "manifest.json": manifest(images=2)},
    ],
)
def test_what_is_no_archive_of_one_image_is_refused(
    tmp_path: Path, files: dict[str, bytes]
) -> None:
    with pytest.raises(InputInvalid, match=r"a\.tar cannot be sent"):
        read_archive(write(tmp_path / "a.tar", files), "t")
