"""Images of the region's registry, handed to a container engine once per digest."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from local_region.tasks.images import (
    CannotPullContainer,
    Image,
    ImageRegistry,
    find_image,
    image_of,
    read_blob,
)


class EngineImages:
    """Thread-safe. `load` gives the engine an archive (raises OSError); `name_of` names the
    image there after its digest, so that what runs is what was pushed."""

    def __init__(
        self,
        registry: ImageRegistry,
        address: str,
        directory: Path,
        load: Callable[[Path], None],
        name_of: Callable[[str], str],
    ) -> None:
        self._registry, self._address, self._directory = registry, address, directory
        self._load, self._name_of = load, name_of
        self._lock = threading.Lock()
        self._loaded: set[str] = set()

    def pull(self, image: str) -> Image:
        """The image, which the engine has then. Raises CannotPullContainer."""
        found = find_image(self._registry, self._address, image)
        with self._lock:
            if found.digest not in self._loaded:
                layers = [read_blob(self._registry, found, digest) for digest in found.layers]
                with tempfile.NamedTemporaryFile(dir=self._directory, suffix=".tar") as file:
                    file.write(docker_archive(self._name_of(found.digest), found.config, layers))
                    file.flush()
                    try:
                        self._load(Path(file.name))
                    except OSError as error:
                        raise CannotPullContainer(f"{image}: {error}") from error
                self._loaded.add(found.digest)
        # Its files are the engine's business: nobody looks for them here.
        return image_of(found, self._directory)


def docker_archive(name: str, config: bytes, layers: Sequence[bytes]) -> bytes:
    """What `docker load` and `podman load` read: configuration, layers, and their list."""
    files = {"config.json": config, **{f"{i}/layer.tar": layer for i, layer in enumerate(layers)}}
    listed = [
        {
            "Config": "config.json",
            "RepoTags": [name],
            "Layers": [f"{i}/layer.tar" for i in range(len(layers))],
        }
    ]
    files["manifest.json"] = json.dumps(listed).encode()
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
