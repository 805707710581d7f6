"""What a task sees of its image: a view made of links, with its volumes mounted into it.

Tasks of one image share its unpacked files, but a mount point belongs to one task definition, so
every task has a view of its own: links to the image's entries, real directories only on the way
to a mount point, and there a link to the volume.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath


@dataclass(frozen=True)
class View:
    """A task's working directory, and how a path inside the image is found on this machine."""

    root: Path

    def path(self, inside: str) -> Path:
        """An absolute path of the image, here. `/srv/run` -> `<root>/srv/run`."""
        return self.root / inside.lstrip("/")


def make_view(image_root: Path, root: Path, mounts: Mapping[str, Path]) -> View:
    """Build the view below `root`. `mounts`: absolute path in the image -> volume directory.

    Raises ValueError when a mount point is not absolute or leaves the image, OSError.
    """
    points = {}
    for point, volume in mounts.items():
        parts = PurePosixPath(point)
        if not parts.is_absolute() or ".." in parts.parts or len(parts.parts) < 2:
            raise ValueError(f"{point} is not a mount point inside the image")
        volume.mkdir(parents=True, exist_ok=True)
        points[parts.parts[1:]] = volume
    _fill(image_root, root, points)
    return View(root)


def _fill(source: Path, target: Path, points: Mapping[tuple[str, ...], Path]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    names = {entry.name for entry in source.iterdir()} if source.is_dir() else set()
    for name in sorted(names | {parts[0] for parts in points}):
        below = {parts[1:]: volume for parts, volume in points.items() if parts[0] == name}
        volume = below.pop((), None)
        if volume is not None:
            (target / name).symlink_to(volume.resolve(), target_is_directory=True)
        elif below:
            _fill(source / name, target / name, below)
        else:
            (target / name).symlink_to((source / name).resolve())
