"""The balancer's access log: its lines, and following it while it is rotated."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LARGEST_BYTES = 32 * 2**20
"""The log is renamed when it has grown to this; with the renamed one it holds twice as much."""
_REOPEN_SETTLE_S = 1.0
_FIELDS = 9


@dataclass(frozen=True, slots=True)
class Request:
    """One answered request. `at` is when it was done (epoch seconds); durations in microseconds.

    `target_us` is ALB's TargetResponseTime, None when no target answered. `details` is Envoy's
    RESPONSE_CODE_DETAILS: "via_upstream" when the answer is the target's own.
    """

    at: float
    load_balancer: str
    target_group: str | None
    target: str | None
    status: int
    flags: str
    details: str
    target_us: int | None
    total_us: int | None

    @property
    def from_target(self) -> bool:
        return self.details == "via_upstream"


def parse_line(line: str) -> Request | None:
    """A line in `envoy_config.LOG_FIELDS`' order; None when it is not one."""
    fields = line.rstrip("\n").split("\t")
    if len(fields) != _FIELDS:
        return None
    started, balancer, group, target, status, flags, details, target_us, total_us = fields
    try:
        total = _number(total_us)
        return Request(
            at=float(started) + (total or 0) / 1e6,
            load_balancer=balancer,
            target_group=None if group == "-" else group,
            target=None if target == "-" else target,
            status=int(status),
            flags=flags,
            details=details,
            target_us=_number(target_us),
            total_us=total,
        )
    except ValueError:
        return None


def _number(text: str) -> int | None:
    return None if text == "-" else int(text)


class LogTail:
    """Reads what is appended to a file and keeps that file bounded.

    `reopen()` must make the writer open the path anew. One thread uses it.
    """

    def __init__(
        self,
        path: Path,
        reopen: Callable[[], bool],
        largest_bytes: int = LARGEST_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path, self._reopen, self._largest = path, reopen, largest_bytes
        self._clock = clock
        self._file: int | None = None
        self._rest = b""
        self._renamed_at: float | None = None

    @property
    def rotated_path(self) -> Path:
        return self._path.with_name(f"{self._path.name}.1")

    def read_lines(self) -> list[str]:
        """The complete lines since the last call."""
        if self._file is None and not self._open():
            return []
        lines = self._read()
        if self._renamed_at is not None:
            # The writer may put a last buffer into the old file; then only the new one grows.
            settled = self._clock() - self._renamed_at >= _REOPEN_SETTLE_S
            if settled and self._path.exists():
                lines += self._read()
                self._switch()
                lines += self._read()
        elif self._size() > self._largest:
            os.replace(self._path, self.rotated_path)
            if self._reopen():
                self._renamed_at = self._clock()
            else:
                os.replace(self.rotated_path, self._path)
        return lines

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _open(self) -> bool:
        try:
            self._file = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        return True

    def _switch(self) -> None:
        self.close()
        self._rest, self._renamed_at = b"", None
        self._open()

    def _size(self) -> int:
        return 0 if self._file is None else os.fstat(self._file).st_size

    def _read(self) -> list[str]:
        if self._file is None:
            return []
        if self._size() < os.lseek(self._file, 0, os.SEEK_CUR):
            # Somebody emptied it.
            os.lseek(self._file, 0, os.SEEK_SET)
            self._rest = b""
        chunks = [self._rest]
        while chunk := os.read(self._file, 1 << 20):
            chunks.append(chunk)
        *lines, self._rest = b"".join(chunks).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]
