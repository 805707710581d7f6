"""Tasks, balancer and metering as one thing that is started, stopped and asked."""

from __future__ import annotations

import importlib.util
from typing import Any

from local_region.context import RegionContext, Stabilisation


class DataPlane:
    """Starts its parts in order and stops them in the opposite one."""

    def __init__(self, context: RegionContext) -> None:
        self._context = context
        self._controller: Any = None
        self._balancer: Any = None
        self._metering: Any = None

    @property
    def cpu_enforcement(self) -> str:
        """How the tasks' CPU shares are enforced."""
        return str(getattr(self._controller, "cpu_enforcement", "none"))

    def start(self) -> None:
        """Raises LocalRegionError."""
        if importlib.util.find_spec("local_region.tasks.controller") is None:
            return
        from local_region.tasks import controller  # type: ignore[attr-defined]

        self._controller = controller.start(self._context)
        if importlib.util.find_spec("local_region.balancer") is None:
            return
        from local_region import balancer

        self._balancer = balancer.start(self._context, self._controller)
        if importlib.util.find_spec("local_region.metering") is None:
            return
        from local_region import metering

        self._metering = metering.start(self._context, self._controller, self._balancer)

    def stop(self, timeout_s: float) -> None:
        """Metering, then the tasks, then the balancer; idempotent."""
        for part in (self._metering, self._controller, self._balancer):
            if part is not None:
                part.stop(timeout_s)

    def status(self) -> dict[str, Any]:
        """The parts' reports together."""
        report: dict[str, Any] = {"cpu_enforcement": self.cpu_enforcement}
        for part in (self._controller, self._balancer, self._metering):
            if part is not None:
                report |= part.status()
        return report

    def wait_stable(
        self, cluster: str, service: str, deployment_id: str, timeout_s: float
    ) -> Stabilisation:
        """How the deployment ends."""
        if self._controller is None:
            return Stabilisation("COMPLETED", "")
        stabilisation: Stabilisation = self._controller.wait_stable(
            cluster, service, deployment_id, timeout_s
        )
        return stabilisation

    def wait_inactive(self, cluster: str, service: str, timeout_s: float) -> bool:
        """Whether a deleted service's tasks have ended in time."""
        if self._controller is None:
            return True
        return bool(self._controller.wait_inactive(cluster, service, timeout_s))
