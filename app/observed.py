"""Measures every request: before the application, and below it at the store and the images."""

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from sqlalchemy import event

from app.database import Store
from app.images import Images
from app.logs import identify
from app.metrics import Metrics, request_class

_log = logging.getLogger("app.request")


class StoreClock(threading.local):
    """Time this thread has waited for the store (statements and commits) and for images."""

    def __init__(self) -> None:
        self.total_s = 0.0
        self.began_s: float | None = None

    def start(self) -> None:
        self.began_s = time.perf_counter()

    def stop(self) -> None:
        if self.began_s is not None:
            self.total_s += time.perf_counter() - self.began_s
            self.began_s = None

    @contextlib.contextmanager
    def timed(self) -> Iterator[None]:
        self.start()
        try:
            yield
        finally:
            self.stop()


class Observed:
    """WSGI middleware that gives a request its id and counts it when it is answered."""

    def __init__(
        self, app: WSGIApplication, metrics: Metrics, store: Store, images: Images
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = StoreClock()
        _watch(store, self._clock, metrics)
        images.timed = self._clock.timed

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began_s = time.perf_counter()
        clock = self._clock
        clock.total_s = 0.0
        request_id = identify(environ)
        answered = "500"

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            nonlocal answered
            answered = status
            headers.append(("X-Request-Id", request_id))
            return start_response(status, headers, *error)

        try:
            return self._app(environ, start)
        finally:
            kind = request_class(environ["REQUEST_METHOD"], environ["PATH_INFO"])
            latency_s = time.perf_counter() - began_s
            if kind is not None:
                self._metrics.add(kind, latency_s, clock.total_s, answered.startswith("5"))
            if _log.isEnabledFor(logging.DEBUG):
                self._log(environ, request_id, answered, latency_s)

    def _log(
        self, environ: WSGIEnvironment, request_id: str, answered: str, latency_s: float
    ) -> None:
        _log.debug(
            "request answered",
            extra={
                "request_id": request_id,
                "trace_id": environ.get("HTTP_X_AMZN_TRACE_ID"),
                "method": environ["REQUEST_METHOD"],
                "path": environ["PATH_INFO"],
                "status": int(answered[:3]),
                "latency_ms": round(latency_s * 1e3, 3),
                "store_ms": round(self._clock.total_s * 1e3, 3),
            },
        )


def _watch(store: Store, clock: StoreClock, metrics: Metrics) -> None:
    def start(*_: Any) -> None:
        clock.start()

    def stop(*_: Any) -> None:
        clock.stop()

    def check_out(*_: Any) -> None:
        metrics.pool_used(store.pool.checkedout())

    event.listen(store.engine, "before_cursor_execute", start)
    event.listen(store.engine, "after_cursor_execute", stop)
    # A commit has no event at its end, but a connection is given back right after it.
    event.listen(store.engine, "commit", start)
    event.listen(store.pool, "checkin", stop)
    event.listen(store.pool, "checkout", check_out)
    store.pool.waited = metrics.pool_waited
