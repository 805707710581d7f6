"""A project in a temporary folder, with the deliberate failures as its notebooks."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

FAILURES = Path(__file__).parent.parent / "notebooks"
GROUP = """
sceptre_user_data:
  account_id: "000000000000"
  metric_period_s: 10
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    for environment in ("local", "dev"):
        group = root / "sceptre" / "config" / environment / "config.yaml"
        group.parent.mkdir(parents=True)
        group.write_text(GROUP)
    (root / "sceptre" / "config" / "config.yaml").write_text(
        "project_code: shop\nregion: eu-west-1\n"
    )
    shutil.copytree(FAILURES, root / "notebooks")
    monkeypatch.setenv("RUNBOOK_PROJECT", str(root))
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    return root
