"""Product images: in an S3 bucket or a folder, named by their content.

The name is a digest of the content, so saving twice is saving once, tasks never
disagree, and an answer may be cached for ever. obstore reaches both places: 20 ms
and 7 MiB at the start, where boto3 takes half a second and four times the memory.
"""

import base64
import contextlib
import functools
import hashlib
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from flask import Blueprint, Flask, Response, abort, current_app, request
from flask.typing import ResponseReturnValue
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from app.errors import Invalid, NotFound, TooLarge, Unavailable
from app.operation import operation

IMAGE_LIMIT_BYTES = 5 * 1024 * 1024
"""Largest image, inclusive."""

PLACEHOLDER_PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mM4AwAAzgDNee7qPQAAAABJRU5ErkJggg=="
)
"""One grey pixel: the image of the products that the catalogue starts with."""

FAILURES = (BaseError, OSError)
"""What `Images` raises when the place does not answer or refuses."""

_SIGNATURES = {".jpg": b"\xff\xd8\xff", ".png": b"\x89PNG\r\n\x1a\n"}
_TYPES = {".jpg": "image/jpeg", ".png": "image/png"}
_NAME = re.compile(r"[0-9a-f]{32}(\.jpg|\.png)")
_CACHE_S = 365 * 24 * 3600

bp = Blueprint("images", __name__, url_prefix="/uploads")


class Images:
    """Images in the S3 bucket, or without one in `directory`.

    Credentials (the task's role), region and endpoint come from the environment.
    """

    def __init__(self, directory: Path, bucket: str | None = None) -> None:
        self._directory = directory.absolute()
        self._bucket = bucket
        #: Around every wait for the place, so that whoever wants to can measure it.
        self.timed: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext

    def save(self, content: bytes) -> str:
        """Keep the image; return its address below the service's root, `uploads/<name>`.

        Raises TooLarge, or Invalid when the content (whatever its name or declared
        type) is neither JPEG nor PNG, or one of FAILURES.
        """
        if len(content) > IMAGE_LIMIT_BYTES:
            raise TooLarge("File too large")
        suffix = _suffix(content)
        name = hashlib.sha256(content).hexdigest()[:32] + suffix
        # Complete or absent, also for a reader in another task. In one piece: the parts of
        # an upload to S3 that was cut short would be paid for, for ever.
        with self.timed():
            self._place.put(
                name,
                content,
                attributes={"Content-Type": _TYPES[suffix]} if self._bucket else None,
                use_multipart=False,
            )
        return f"uploads/{name}"

    def load(self, name: str) -> bytes | None:
        """The image of that name; None when there is none. Raises one of FAILURES."""
        try:
            with self.timed():
                return bytes(self._place.get(name).bytes())
        except FileNotFoundError:
            return None

    @functools.cached_property
    def _place(self) -> S3Store | LocalStore:
        # On first use: its threads are lost to a process that was forked after it was made.
        if self._bucket is None:
            return LocalStore(self._directory, mkdir=True)
        return S3Store(
            self._bucket,
            # Plain HTTP only where AWS_ENDPOINT_URL says so: the local region.
            client_options={"allow_http": True, "connect_timeout": "2s", "timeout": "10s"},
            retry_config={"max_retries": 2},
        )


def _suffix(content: bytes) -> str:
    for suffix, signature in _SIGNATURES.items():
        if content.startswith(signature):
            return suffix
    raise Invalid("productImage must be a JPEG or PNG image")


def init_app(app: Flask, directory: Path, bucket: str | None) -> None:
    """Give the application its images."""
    app.extensions["images"] = Images(directory, bucket)
    app.register_error_handler(BaseError, _unavailable)


def current_images() -> Images:
    """The images of the running application."""
    images: Images = current_app.extensions["images"]
    return images


@bp.get("/<name>")
@operation("Show an image", bytes, media=tuple(_TYPES.values()), errors=(NotFound,))
def show(name: str) -> Response:
    known = _NAME.fullmatch(name)
    if known is None:
        abort(404)
    response = Response(mimetype=_TYPES[known[1]])
    # The name tells the content: whoever has it need not be sent it again, nor S3 be asked.
    response.set_etag(name)
    response.cache_control.public = True
    response.cache_control.max_age = _CACHE_S
    response.cache_control.immutable = True
    response.headers["X-Content-Type-Options"] = "nosniff"
    if not request.if_none_match.contains(name):
        content = current_images().load(name)
        if content is None:
            abort(404)
        response.data = content
    response.make_conditional(request, accept_ranges=True, complete_length=len(response.data))
    return response


def _unavailable(error: BaseError) -> ResponseReturnValue:
    current_app.logger.error("the images' store does not answer", exc_info=error)
    refusal = Unavailable("The images' store")
    return refusal.body(), refusal.status
