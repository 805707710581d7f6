"""A thread that does its work again and again, and survives a step that fails."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod

_log = logging.getLogger(__name__)


class Repeating(ABC):
    """Takes a step, pauses, takes the next, until it is stopped or the region is stopping."""

    def __init__(self, name: str, region_stopping: threading.Event) -> None:
        self._name, self._region_stopping = name, region_stopping
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"region-{name}", daemon=True)

    @abstractmethod
    def step(self) -> object:
        """Do what is to be done now."""

    @abstractmethod
    def pause_s(self) -> float:
        """Seconds until the next step."""

    def start(self) -> None:
        """Begin with a step at once."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End after the step under way; idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set() and not self._region_stopping.is_set():
            try:
                self.step()
            except Exception:
                _log.exception("%s stumbled; going on", self._name)
            self._stopping.wait(self.pause_s())
