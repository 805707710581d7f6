"""The whole demo, judged by what it leaves behind: it may find against the service, never lie."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from runbook.demo import NOTEBOOKS

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = Path(sys.executable).with_name("runbook")
#: Words by which a run says that the machine, not the service, decided. Two such runs prove
#: nothing about the product: the scenario is then skipped with that reason.
MACHINE = re.compile(r"host was (the limit|busy)|driver was late|the host, not the CPU quota")

pytestmark = [pytest.mark.scenario, pytest.mark.timeout(2000)]


def demo(runs: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Any], Path]:
    """One demo: the finished command, its run.json and its folder."""
    answer = subprocess.run(
        [str(RUNBOOK), "demo", "--runs", str(runs)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    folder = max((runs / "local").iterdir())
    return answer, json.loads((folder / "run.json").read_text()), folder


def findings(folder: Path) -> str:
    """All that a run's notebooks found."""
    texts = []
    for path in sorted(folder.glob("*/result.json")):
        texts += [item["text"] for item in json.loads(path.read_text())["findings"]]
    return "\n".join(texts)


def checkout() -> str:
    found = subprocess.run(
        ["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return found.stdout


def test_the_demo_measures_applies_and_proves_a_threshold(tmp_path: Path) -> None:
    before = checkout()
    # A measurement with a 95 % interval may miss: it has two tries.
    reasons: list[str] = []
    for attempt in (1, 2):
        answer, run, folder = demo(tmp_path / str(attempt))
        assert checkout() == before
        assert not leftovers(folder)
        # The exit code is the verdict's, whatever it is.
        assert answer.returncode == {"pass": 0, "fail": 1, "error": 2}[run["verdict"]]
        if answer.returncode == 0:
            break
        reasons.append(findings(folder))
    else:
        assert all(MACHINE.search(reason) for reason in reasons), "\n---\n".join(reasons)
        pytest.skip(f"this machine was too busy to measure on, twice: {reasons[-1]}")

    assert [item["notebook"] for item in run["notebooks"]] == list(NOTEBOOKS)
    for name in ("RequestsPerTarget", "CpuTarget", "P95StepThresholdS", "MinTasks", "MaxTasks"):
        assert name in answer.stdout
    assert answer.stdout.strip().endswith("index.html")
    curve = json.loads((folder / "30_analyse" / "capacity.json").read_text())
    assert [count["tasks"] for count in curve["counts"]] == [1, 3]
    for count in curve["counts"]:
        assert 0 < count["lo_per_task_rps"] <= count["c_slo_per_task_rps"]
    metrics = json.loads((folder / "60_verify" / "result.json").read_text())["metrics"]
    moments = [
        metrics[name]["value"] for name in ("alarm_after", "tasks_answer_after", "scaled_in_after")
    ]
    assert moments == sorted(moments)
    written = (folder / "sceptre" / "config" / "local" / "scaling.yaml").read_text()
    assert f"# from: run {run['run_id']}" in written
    for page in folder.rglob("*.html"):
        outside = re.findall(r"(?:src|href)=[\"']https?://[^\"']+", page.read_text())
        assert not outside, f"{page}: {outside[:3]}"


def leftovers(folder: Path) -> list[str]:
    """Command lines of what still runs from a demo's folder."""
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline", "status"])
        if str(folder) in " ".join(process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
