"""From a configuration to a serving process.

granian runs one worker process, and the gate (`gate.py`) lets one request in at a
time: a task of 0.25 vCPU gains nothing from more, and SQLite would only queue them.
granian's main process passes SIGTERM on; the worker finishes the requests in
flight, then both end.
"""

import functools
import gc
import logging
import multiprocessing
import multiprocessing.util
import os
import signal
import socket
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from wsgiref.types import WSGIApplication

from granian import Granian
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from sqlalchemy.exc import SQLAlchemyError

from app import create_app, logs
from app.catalogue import seed
from app.config import Config
from app.database import Store
from app.errors import StartError
from app.gate import WAITING_MAX, Gate
from app.images import FAILURES, Images
from app.metrics import Metrics
from app.observed import Observed
from app.schema import migrate
from app.throttle import CpuShare

# Longer than the 60 s a load balancer keeps an idle connection: the side that may
# send the next request has to be the one that closes.
_KEEP_ALIVE_MS = 75_000
# Within the 30 s that ECS leaves between SIGTERM and SIGKILL.
_DRAIN_S = 25


def prepare(config: Config) -> None:
    """Create the store and its first products; raises StartError when that fails."""
    store = Store(config.store_url, config.store_pool_size)
    try:
        migrate(store)
        seed(store, Images(config.upload_dir, config.image_bucket), config.catalogue_seed)
    except (*FAILURES, SQLAlchemyError) as error:
        raise StartError(
            f"the store cannot be used: {_first_line(error)}; STORE_URL, and UPLOAD_DIR or "
            "IMAGE_BUCKET, must name places that this task may write"
        ) from error
    finally:
        store.close()


def prepare_apart(config: Config) -> None:
    """`prepare` in a process of its own, so that the serving one can be forked from this.

    Threads do not survive a fork, and neither would what is left of obstore's.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as process:
        process.submit(prepare, config).result()


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is in flight.

    Raises StartError when the address is taken, and SystemExit(1) when the worker dies.
    """
    _require_free(config.host, config.port)
    server = Granian(
        "app",
        address=config.host,
        port=config.port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=config.threads + WAITING_MAX,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=_KEEP_ALIVE_MS),
        websockets=False,
        log_level=LogLevels(config.log_level),
        log_dictconfig=logs.configuration(config.log_level),
        workers_kill_timeout=_DRAIN_S,
    )
    # It warns of so many threads; the gate keeps most of them waiting.
    logging.getLogger("_granian").addFilter(_is_no_warning_of_threads)
    server.serve(target_loader=functools.partial(load, config), wrap_loader=False)


def load(config: Config) -> WSGIApplication:
    """The application, as the worker process loads it."""
    # Until granian installs its own handler: the main process's, inherited, would do nothing.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    app = create_app(config)
    metrics = Metrics(
        config.metrics_namespace, config.service_version, config.store_pool_size, _print
    )
    store, images = app.extensions["store"], app.extensions["images"]
    observed = Observed(app, metrics, store, images)
    metrics.run(config.metrics_interval_s)
    # A worker ends without the interpreter's own exit handlers.
    multiprocessing.util.Finalize(None, metrics.stop, exitpriority=0)
    # What lives as long as the process need not be searched for garbage: a full collection
    # takes 35 ms otherwise, every few hundred requests of 2 ms, and under a CPU share of
    # 0.25 it uses up the share and stops the service for longer still.
    gc.collect()
    gc.freeze()
    if config.cpu_share is None:
        return Gate(observed, config.threads)
    return Gate(CpuShare(observed, config.cpu_share, config.cpu_stat), config.threads)


def _is_no_warning_of_threads(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Configuration allows spawning")


def _print(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _end_with_parent() -> None:
    """A killed main process takes its worker along, as the end of a container would."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _require_free(host: str, port: int) -> None:
    """Raise StartError when another process listens there.

    granian shares the port instead of failing, and each would get half the requests.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartError(
                f"cannot listen on {host} port {port}: {error.strerror}; set HOST and PORT"
            ) from error
