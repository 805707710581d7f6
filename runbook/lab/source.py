"""Where a history comes from: a CSV, or CloudWatch (`cloudwatch:ENV`)."""

from __future__ import annotations

from pathlib import Path

from runbook.environment import load_environment
from runbook.lab.history import History, history_of, read_history
from runbook.lab.recorded import PREFIX, recorded_rows, write_rows

PEAK_TASKS = 30
DAYS = 14


def is_recorded(given: str) -> bool:
    """Whether a history is meant that CloudWatch keeps."""
    return given.startswith(PREFIX)


def usual_peak_tasks(given: str) -> int:
    """How a history is scaled unless told: a service's own traffic is taken as it is (0)."""
    return 0 if is_recorded(given) else PEAK_TASKS


def load_history(
    given: str,
    *,
    timezone: str = "UTC",
    train_share: float = 0.5,
    days: int = DAYS,
    keep: Path | None = None,
) -> History:
    """The history of a CSV's path or of `cloudwatch:ENV`, whose last `days` days are read.

    What CloudWatch says is written to `keep`, so that it can be replayed without AWS. Raises
    InputInvalid for what is no history, EnvironmentNotFound for an unknown environment.
    """
    if not is_recorded(given):
        return read_history(Path(given), timezone=timezone, train_share=train_share)
    environment = load_environment(given.removeprefix(PREFIX))
    rows = recorded_rows(environment, days)
    if keep is not None:
        write_rows(keep, rows)
    return history_of(f"{environment.name}-requests", rows, train_share=train_share)
