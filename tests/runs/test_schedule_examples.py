"""The examples for cron and systemd say what they do; tests/e2e runs the cron line for real."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "schedules"
HOME = "/opt/ecs-runbook"
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def settings(name: str) -> list[tuple[str, str, str]]:
    """(section, key, value) of a unit file."""
    found, section = [], ""
    for line in (EXAMPLES / name).read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.append((section, key, value))
    return found


def test_the_crontab_has_one_line_that_cron_understands() -> None:
    lines = [
        line
        for line in (EXAMPLES / "crontab").read_text().splitlines()
        if line and not line.startswith("#") and not re.match(r"[A-Z_]+=", line)
    ]
    (line,) = lines
    *when, command = line.split(None, 5)
    assert len(when) == 5
    assert all(re.fullmatch(r"[\d*/,-]+", field) for field in when)
    # cron ends a command at a bare percent sign.
    assert "%" not in command
    assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0
    assert "examples/schedules/nightly.sh" in command


def test_the_service_runs_the_same_script_as_cron() -> None:
    found = {(section, key): value for section, key, value in settings("ecs-runbook.service")}
    program, *arguments = found["Service", "ExecStart"].split()
    assert program == f"{HOME}/examples/schedules/nightly.sh"
    assert arguments == ["dev", "00_preflight"]
    assert found["Service", "Type"] == "oneshot"
    assert found["Service", "ReadWritePaths"] == f"{HOME}/runs"
    script = EXAMPLES / "nightly.sh"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


@needs_systemd
def test_systemd_understands_the_units(tmp_path: Path) -> None:
    for name in ("ecs-runbook.service", "ecs-runbook.timer"):
        text = (EXAMPLES / name).read_text()
        # The program and the folders must exist where systemd looks.
        text = text.replace(HOME, str(EXAMPLES.parents[1])).replace("User=runbook\n", "")
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / "ecs-runbook.service"),
         str(tmp_path / "ecs-runbook.timer")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    # It also looks at units that this machine may lack; what it says of ours is what counts.
    ours = [line for line in done.stderr.splitlines() if "ecs-runbook" in line]
    assert ours == []


@needs_systemd
def test_systemd_understands_the_time() -> None:
    (when,) = [value for _, key, value in settings("ecs-runbook.timer") if key == "OnCalendar"]
    done = subprocess.run(
        ["systemd-analyze", "calendar", when], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
