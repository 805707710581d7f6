"""What can go wrong with the local region itself, in one tree.

LocalRegionError                the process ends with exit code 2
├── PortTaken                   something else listens where the endpoint should be
├── DirectoryOwned              another live region owns the state directory
├── SeamMoved                   the emulator no longer has a name this package relies on
├── ServerFailed                the emulator did not start to answer, or stopped answering
├── DataPlaneFailed             tasks, balancer or metering could not start
└── AwsError                    an answer to an AWS client: a code, a message, an HTTP status

A message reads `{what happened}: {why}; {what to do next}`.
"""

from __future__ import annotations


class LocalRegionError(Exception):
    """An error with a sentence for the person who meets it."""

    exit_code = 2


class PortTaken(LocalRegionError):
    """Something else listens on the endpoint's port."""


class DirectoryOwned(LocalRegionError):
    """Another live region owns the state directory."""


class SeamMoved(LocalRegionError):
    """The emulator no longer has a name this package relies on."""


class ServerFailed(LocalRegionError):
    """The emulator's HTTP server did not start to answer."""


class DataPlaneFailed(LocalRegionError):
    """Tasks, balancer or metering could not start."""


class AwsError(LocalRegionError):
    """An error answered to an AWS client in the shape its SDK expects."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        self.code, self.message, self.status = code, message, status
        super().__init__(f"{code}: {message}")
