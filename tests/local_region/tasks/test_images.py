"""Pulling and unpacking images, hostile ones included."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile

import pytest

from local_region.tasks.images import (
    CannotPullContainer,
    ImageStore,
    apply_layer,
    parse_reference,
)

HOST = "000000000000.dkr.ecr.eu-west-1.amazonaws.com"
DIGEST = "sha256:" + "a" * 64


def layer(*entries, compress=True):
    """entries: (name, content) files; or TarInfo objects as they are."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                archive.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                content = entry[1].encode()
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    raw = stream.getvalue()
    return gzip.compress(raw) if compress else raw


def link(name, target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


class Registry:
    def __init__(self, *layers, config=None):
        self.blobs, self.reads = {}, 0
        self.manifest_bytes = json.dumps(
            {
                "config": {"digest": self.add(json.dumps({"config": config or {}}).encode())},
                "layers": [{"digest": self.add(blob)} for blob in layers],
            }
        ).encode()

    def add(self, blob):
        digest = "sha256:" + hashlib.sha256(blob).hexdigest()
        self.blobs[digest] = blob
        return digest

    def manifest(self, repository, reference):
        known = (repository, reference) in {("shop", "one"), ("shop", DIGEST)}
        return (DIGEST, self.manifest_bytes) if known else None

    def blob(self, repository, digest):
        self.reads += 1
        return self.blobs.get(digest)


def store(registry, tmp_path):
    return ImageStore(registry, HOST, tmp_path)


@pytest.mark.parametrize(
    ("image", "repository", "version"),
    [
        (f"{HOST}/shop:one", "shop", "one"),
        (f"{HOST}/team/shop", "team/shop", "latest"),
        (f"{HOST}/shop@{DIGEST}", "shop", DIGEST),
        (f"{HOST}/shop:one@{DIGEST}", "shop", DIGEST),
        ("localhost:5000/shop:2.0", "shop", "2.0"),
    ],
)
def test_reference(image, repository, version):
    reference = parse_reference(image)
    assert (reference.repository, reference.version) == (repository, version)


@pytest.mark.parametrize("image", ["nginx", "library/nginx", f"{HOST}/Shop", ""])
def test_image_without_a_registry_cannot_be_pulled(image):
    with pytest.raises(CannotPullContainer):
        parse_reference(image)


def test_pull_unpacks_layers_over_each_other(tmp_path):
    registry = Registry(
        layer(("srv/a.txt", "one"), ("srv/b.txt", "old")),
        layer(("srv/b.txt", "new"), ("srv/.wh.a.txt", ""), compress=False),
        config={"WorkingDir": "/srv", "Env": ["PATH=/x", "COLOUR=red=ish"], "Cmd": ["run"]},
    )
    image = store(registry, tmp_path).pull(f"{HOST}/shop:one")
    assert (image.rootfs / "srv/b.txt").read_text() == "new"
    assert not (image.rootfs / "srv/a.txt").exists()
    assert image.environment == {"COLOUR": "red=ish"}
    assert (image.command, image.entrypoint) == (("run",), ())
    assert image.working_directory == "/srv"


def test_digest_is_unpacked_once(tmp_path):
    registry = Registry(layer(("srv/a", "x")))
    images = store(registry, tmp_path)
    first = images.pull(f"{HOST}/shop:one")
    reads = registry.reads
    second = images.pull(f"{HOST}/shop@{DIGEST}")
    assert first == second
    assert registry.reads == reads + 1  # its configuration only


def test_unknown_image(tmp_path):
    with pytest.raises(CannotPullContainer, match="not found"):
        store(Registry(), tmp_path).pull(f"{HOST}/shop:two")


def test_other_registry(tmp_path):
    with pytest.raises(CannotPullContainer, match="the local region pulls from"):
        store(Registry(), tmp_path).pull("docker.io/library/nginx:1")


def test_layer_that_was_never_uploaded_leaves_nothing_behind(tmp_path):
    registry = Registry(layer(("srv/a", "x")))
    registry.blobs = {d: b for d, b in registry.blobs.items() if b.startswith(b"{")}
    with pytest.raises(CannotPullContainer, match="not found"):
        store(registry, tmp_path).pull(f"{HOST}/shop:one")
    assert not list(tmp_path.iterdir())


# Named, because what gzip writes holds the time and test names must not differ between workers.
@pytest.mark.parametrize(
    "blob",
    [b"not a tar", gzip.compress(b"not a tar"), b"\x1f\x8bbroken"],
    ids=["no tar", "zipped, no tar", "broken zip"],
)
def test_garbled_layer(tmp_path, blob):
    with pytest.raises(CannotPullContainer, match="cannot be unpacked"):
        store(Registry(blob), tmp_path).pull(f"{HOST}/shop:one")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "entries",
    [
        [("../outside", "x")],
        [("/absolute", "x")],
        [("srv/../../outside", "x")],
        [link("srv/up", "../../outside")],
        [link("srv/etc", "/etc")],
        [link("up", ".."), ("up/outside", "x")],
        [link("srv/hard", "../outside", tarfile.LNKTYPE)],
        [link("device", "", tarfile.CHRTYPE)],
    ],
    ids=["dots", "absolute", "inner dots", "symlink up", "symlink absolute", "through a link",
         "hard link", "device"],
)  # fmt: skip
def test_layer_cannot_write_outside(tmp_path, entries):
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").write_text("untouched")
    with pytest.raises(tarfile.TarError):
        apply_layer(layer(*entries), root)
    assert (tmp_path / "outside").read_text() == "untouched"


def test_links_inside_are_kept(tmp_path):
    blob = layer(("srv/a", "x"), link("srv/b", "a"), link("srv/c", "srv/a", tarfile.LNKTYPE))
    apply_layer(blob, tmp_path)
    assert (tmp_path / "srv/b").is_symlink()
    assert (tmp_path / "srv/b").read_text() == (tmp_path / "srv/c").read_text() == "x"


def test_later_file_replaces_a_link_instead_of_writing_through_it(tmp_path):
    apply_layer(layer(("srv/a", "x"), link("srv/b", "a")), tmp_path)
    apply_layer(layer(("srv/b", "y")), tmp_path)
    assert (tmp_path / "srv/a").read_text() == "x"
    assert (tmp_path / "srv/b").read_text() == "y"
