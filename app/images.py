"""Product images: a folder of files named by their content.

The name is a digest of the content, so saving twice is saving once, tasks that
share the folder never disagree, and an answer may be cached for ever.
"""

import base64
import hashlib
import os
import secrets
from pathlib import Path

from flask import Blueprint, Flask, Response, current_app, send_from_directory

from app.errors import Invalid, TooLarge
from app.operation import operation

IMAGE_LIMIT_BYTES = 5 * 1024 * 1024
"""Largest image, inclusive."""

PLACEHOLDER_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mM4AwAAzgDNee7qPQAAAABJRU5ErkJggg=="
)
"""One grey pixel: the image of the products that the catalogue starts with."""

_SIGNATURES = {".jpg": b"\xff\xd8\xff", ".png": b"\x89PNG\r\n\x1a\n"}
_CACHE_S = 365 * 24 * 3600

bp = Blueprint("images", __name__, url_prefix="/uploads")


class ImageDirectory:
    """Images in `directory`, which is made when the first one is saved."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()

    def save(self, content: bytes) -> str:
        """Keep the image; return its address below the service's root, `uploads/<name>`.

        Raises TooLarge, or Invalid when the content (whatever its name or declared
        type) is neither JPEG nor PNG.
        """
        if len(content) > IMAGE_LIMIT_BYTES:
            raise TooLarge("File too large")
        name = hashlib.sha256(content).hexdigest()[:32] + _suffix(content)
        path = self.directory / name
        if not path.exists():
            self.directory.mkdir(parents=True, exist_ok=True)
            # Complete or absent, also for a reader in another task.
            part = path.with_name(f"{name}.{secrets.token_hex(4)}.part")
            part.write_bytes(content)
            os.replace(part, path)
        return f"uploads/{name}"


def _suffix(content: bytes) -> str:
    for suffix, signature in _SIGNATURES.items():
        if content.startswith(signature):
            return suffix
    raise Invalid("productImage must be a JPEG or PNG image")


def init_app(app: Flask, directory: Path) -> None:
    """Give the application its images."""
    app.extensions["images"] = ImageDirectory(directory)


def current_images() -> ImageDirectory:
    """The images of the running application."""
    images: ImageDirectory = current_app.extensions["images"]
    return images


@bp.get("/<name>")
@operation("Show an image", bytes, media=("image/jpeg", "image/png"))
def show(name: str) -> Response:
    response = send_from_directory(current_images().directory, name, max_age=_CACHE_S)
    response.cache_control.immutable = True
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response
