"""Tasks, balancer and metering as one thing that is started, stopped and asked."""

from __future__ import annotations

import time
from typing import Any

from local_region import balancer, metering
from local_region.context import RegionContext, Stabilisation
from local_region.errors import DataPlaneFailed
from local_region.tasks import controller

_WAIT_SLICE_S = 0.5


class DataPlane:
    """Starts its parts in order and stops them: metering, then tasks, then the balancer."""

    def __init__(self, context: RegionContext) -> None:
        self._context = context
        self._controller: controller.Controller | None = None
        self._balancer: balancer.Balancer | None = None
        self._metering: metering.Metering | None = None

    @property
    def cpu_enforcement(self) -> str:
        """How the tasks' CPU shares are enforced."""
        return self._started().cpu_enforcement

    def start(self) -> None:
        """Raises LocalRegionError; what was started by then is ended by `stop`."""
        self._controller = controller.start(self._context)
        self._balancer = balancer.start(self._context, self._controller)
        self._metering = metering.start(self._context, self._controller, self._balancer)

    def stop(self, timeout_s: float) -> None:
        """Idempotent."""
        for part in (self._metering, self._controller, self._balancer):
            if part is not None:
                part.stop(timeout_s)

    def status(self) -> dict[str, Any]:
        """The parts' reports together: services, tasks, cpu_enforcement, listeners, ..."""
        report: dict[str, Any] = {}
        for part in (self._controller, self._balancer, self._metering):
            if part is not None:
                report |= part.status()
        return report

    def wait_stable(
        self, cluster: str, service: str, deployment_id: str, timeout_s: float
    ) -> Stabilisation:
        """How the deployment ends."""
        return self._started().wait_stable(cluster, service, deployment_id, timeout_s)

    def wait_inactive(self, cluster: str, service: str, timeout_s: float) -> bool:
        """Whether a deleted service's tasks have ended in time."""
        deadline_s = time.monotonic() + timeout_s
        while not self._context.stopping.is_set() and time.monotonic() < deadline_s:
            # In slices: nobody waits for a service while the region itself is going down.
            if self._started().wait_inactive(cluster, service, _WAIT_SLICE_S):
                return True
        return False

    def _started(self) -> controller.Controller:
        if self._controller is None:
            raise DataPlaneFailed("Tasks cannot be looked at: the data plane has not started")
        return self._controller
