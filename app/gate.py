"""Lets few requests in at once, and each only when its whole body is here.

A task has little CPU, so `THREADS` requests run at once and the others queue. A client
that sends slowly, or begins a body and then nothing more, must not hold one of those
places: unauthenticated and with one connection, it would stop the task. Its body is
waited for outside, where there is room for `WAITING_MAX` of them.

`/health` and `/ready` pass by: they tell the truth while all places are taken.
"""

import tempfile
import threading
from collections import deque
from collections.abc import Iterable
from io import BytesIO
from typing import IO
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from app.images import IMAGE_LIMIT_BYTES
from app.payload import BODY_LIMIT_BYTES

WAITING_MAX = 64
"""Requests that may wait for their bodies or for a place; more wait in the server's queue."""

_UPLOAD_LIMIT_BYTES = IMAGE_LIMIT_BYTES + BODY_LIMIT_BYTES
# More than a client may send by mistake: it is cut off then.
_DISCARD_MAX_BYTES = 4 * _UPLOAD_LIMIT_BYTES
_PIECE_BYTES = 64 * 1024
_PASS = frozenset({"/health", "/ready"})


class Places:
    """So many at once; the others wait in the order they came."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[threading.Lock] = deque()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            if self._free:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        with self._lock:
            if self._waiting:
                # Handed on: a request that comes just now must not overtake.
                self._waiting.popleft().release()
            else:
                self._free += 1


class Gate:
    """WSGI middleware; `places` requests run at once."""

    def __init__(self, app: WSGIApplication, places: int) -> None:
        self._app = app
        self._places = Places(places)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] in _PASS:
            return self._app(environ, start_response)
        body = _received(environ)
        if body is None:
            with self._places:
                answer = self._app(environ, start_response)
            _discard(environ)
            return answer
        with body:
            environ["wsgi.input"] = body
            with self._places:
                return self._app(environ, start_response)


def _received(environ: WSGIEnvironment) -> IO[bytes] | None:
    """The body; None when there is none, or one that is refused without being read."""
    chunked = "HTTP_TRANSFER_ENCODING" in environ
    announced = environ.get("CONTENT_LENGTH", "")
    length = int(announced) if announced.isdecimal() and not chunked else 0
    if not chunked and not length:
        return None
    # Only who brings a token may send more: it is kept in a file then, not in memory.
    limit = _UPLOAD_LIMIT_BYTES if "HTTP_AUTHORIZATION" in environ else BODY_LIMIT_BYTES
    if length > limit:
        return None
    source = environ["wsgi.input"]
    if not chunked and length <= BODY_LIMIT_BYTES:
        return BytesIO(source.read(length))
    # One byte more than allowed tells too large.
    missing = limit + 1 if chunked else length
    body = tempfile.SpooledTemporaryFile(max_size=BODY_LIMIT_BYTES)  # noqa: SIM115
    while missing and (piece := source.read(min(missing, _PIECE_BYTES))):
        body.write(piece)
        missing -= len(piece)
    if chunked:
        # Known now; werkzeug would cut the body of an unknown length instead of refusing it.
        environ["CONTENT_LENGTH"] = str(body.tell())
        del environ["HTTP_TRANSFER_ENCODING"]
    body.seek(0)
    return body


def _discard(environ: WSGIEnvironment) -> None:
    """Read what is left of a refused body: nobody reads an answer while sending.

    The server would close the connection, so client and balancer would see that break
    instead of the 401 or 413. Who asked first whether to send (`Expect`) need not.
    """
    announced = environ.get("CONTENT_LENGTH", "")
    missing = int(announced) if announced.isdecimal() else 0
    if "HTTP_EXPECT" in environ or missing > _DISCARD_MAX_BYTES:
        return
    while missing > 0 and (piece := environ["wsgi.input"].read(min(missing, _PIECE_BYTES))):
        missing -= len(piece)
