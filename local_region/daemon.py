"""The region's life: start everything in order, wait, stop everything in the opposite order."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil

from local_region import ports, state
from local_region.alarms import AlarmEvaluator
from local_region.autoscaling.api import AutoScalingApi
from local_region.autoscaling.records import Registry
from local_region.autoscaling.services import EcsServices
from local_region.children import ChildRegistry
from local_region.cloudformation.install import install as install_types
from local_region.cloudwatch.install import install as install_cloudwatch
from local_region.cloudwatch.store import MetricStore
from local_region.context import RegionContext
from local_region.control_loop import ControlLoop
from local_region.data_plane import DataPlane
from local_region.databases import Databases
from local_region.errors import LocalRegionError, ServerFailed
from local_region.notices import Notices
from local_region.scaler import Scaler
from local_region.schedules.scheduler import Scheduler
from local_region.seams import cloudformation, core
from local_region.server import Server, with_own_pages
from local_region.settings import Settings
from local_region.status import Reporting, region_status

_log = logging.getLogger("local_region.daemon")
_SERVER_START_S = 30.0
# When it is its turn nothing of value is left: a worker that waits for an answer is not waited for.
_SERVER_STOP_S = 2.0
_WATCH_EVERY_S = 0.5
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class _Owner:
    """The process that the region is for, if it is for one: killed outright, it cannot stop us."""

    def __init__(self, pid: int | None) -> None:
        self._process = psutil.Process(pid) if pid else None

    @property
    def is_gone(self) -> bool:
        if self._process is None:
            return False
        with contextlib.suppress(psutil.NoSuchProcess):
            return not self._process.is_running() or self._process.status() == psutil.STATUS_ZOMBIE
        return True


def run(directory: Path, port: int, settings: Settings, *, owner_pid: int | None = None) -> int:
    """Be the local region until SIGTERM or SIGINT, or until the process `owner_pid` is gone.

    Returns the exit code: 0, or 2 (its reason as the last line on stderr) when it cannot work.
    """
    stopping = threading.Event()
    for number in _SIGNALS:
        signal.signal(number, lambda *_: stopping.set())
    try:
        bound = ports.bind(port)
        with ExitStack() as cleanup:
            cleanup.callback(bound.close)
            owner = _Owner(owner_pid)
            _live(bound, directory.resolve(), settings, stopping, cleanup, owner)
    except LocalRegionError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    _log.info("stopped")
    return 0


def _live(
    bound: socket.socket,
    directory: Path,
    settings: Settings,
    stopping: threading.Event,
    cleanup: ExitStack,
    owner: _Owner,
) -> None:
    """Start, wait for the end; what was started is stopped by `cleanup`, last started first."""
    started_s = time.time()
    port = int(bound.getsockname()[1])
    context = _take_directory(directory, port, settings, stopping, cleanup)
    data_plane, scheduler = DataPlane(context), Scheduler(context)
    server = _start_emulator(bound, context, (data_plane, scheduler), started_s)
    cleanup.callback(server.stop, _SERVER_STOP_S)
    cleanup.callback(data_plane.stop, settings.stop_timeout_s)
    data_plane.start()
    install_types(context, data_plane.wait_stable, data_plane.wait_inactive)
    databases = Databases(context.children)
    databases.install()
    cleanup.callback(databases.stop_all)
    loop = _control_loop(context)
    loop.start()
    cleanup.callback(loop.stop, settings.stop_timeout_s)
    scheduler.start()
    cleanup.callback(scheduler.stop, settings.stop_timeout_s)
    notices = Notices(context)
    notices.start()
    cleanup.callback(notices.stop, settings.stop_timeout_s)
    state.write(directory, _state(context, data_plane, started_s))
    _log.info("ready after %.1f s: %s", time.time() - started_s, context.endpoint_url)
    while not stopping.wait(_WATCH_EVERY_S):
        if not server.is_alive:
            raise ServerFailed("The emulator stopped answering: its server ended; read the log")
        if owner.is_gone:
            _log.warning("the process it was started for is gone")
            break
    _log.info("stopping")


def _take_directory(
    directory: Path, port: int, settings: Settings, stopping: threading.Event, cleanup: ExitStack
) -> RegionContext:
    state.take_ownership(directory)
    # Last of all: until everything has ended, nobody else may take the directory.
    cleanup.callback(state.remove, directory)
    children = ChildRegistry(directory)
    for left in children.end_leftovers():
        _log.warning("an earlier region had left %s running: ended", left)
    cleanup.callback(children.end_all)
    return RegionContext(
        settings=settings,
        directory=directory,
        endpoint_url=f"http://{ports.HOST}:{port}",
        metrics=MetricStore((settings.account_id, settings.region)),
        children=children,
        stopping=stopping,
    )


def _start_emulator(
    bound: socket.socket,
    context: RegionContext,
    reporting: tuple[Reporting, ...],
    started_s: float,
) -> Server:
    """The emulator with our seams, answering. Raises SeamMoved, ServerFailed."""
    environment = core.launch_environment(
        port=int(bound.getsockname()[1]),
        region=context.region,
        account_id=context.account_id,
        directory=context.directory,
    )
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    core.tolerate_concurrent_iteration()
    core.give_back_closed_connections()
    install_cloudwatch(context.metrics)
    cloudformation.run_handlers_on_worker_threads()

    def status() -> dict[str, Any]:
        return region_status(context, reporting, started_s)

    server = Server(bound, with_own_pages(core.asgi_app(), status))
    server.start(_SERVER_START_S)
    return server


def _control_loop(context: RegionContext) -> ControlLoop:
    """Alarms and scaling, with the API that configures them."""
    registry, services = Registry(), EcsServices(context)
    api = AutoScalingApi(registry, context.settings, lambda key: services.counts(key) is not None)
    core.register_service("application-autoscaling", "AnyScaleFrontendService", api.answer)
    evaluator = AlarmEvaluator(context.metrics, time.time)
    return ControlLoop(context, evaluator, Scaler(registry, evaluator, services, time.time))


def _state(context: RegionContext, data_plane: DataPlane, started_s: float) -> state.State:
    pid = os.getpid()
    return state.State(
        pid=pid,
        process_started_at=state.process_started_at(pid),
        endpoint_url=context.endpoint_url,
        region=context.region,
        account_id=context.account_id,
        started_at=state.iso(started_s),
        metric_period_s=context.settings.period_s,
        cpu_enforcement=data_plane.cpu_enforcement,
        tasks="containers" if context.settings.container_engine else "processes",
        compression=context.settings.compression(),
        log=str(context.directory / "region.log"),
    )
