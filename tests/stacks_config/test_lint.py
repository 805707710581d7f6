"""What `make lint` cannot tell of the templates, and that it tells a mistake at all."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((ROOT / "sceptre" / "templates").glob("*.yaml"))
# CloudFormation takes no larger template inline, and no environment has a bucket for templates.
INLINE_BYTES_MAX = 51_200


@pytest.mark.parametrize("path", TEMPLATES, ids=[path.stem for path in TEMPLATES])
def test_it_goes_inline(path: Path) -> None:
    assert path.stat().st_size < INLINE_BYTES_MAX


@pytest.mark.parametrize("path", TEMPLATES, ids=[path.stem for path in TEMPLATES])
def test_a_skipped_security_rule_has_its_reason(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if "checkov:skip" in line:
            assert re.search(r"# checkov:skip=CKV\w+:\S.{20,}$", line), line


def test_a_mistake_is_found(tmp_path: Path) -> None:
    shutil.copy(ROOT / ".cfnlintrc", tmp_path)
    templates = tmp_path / "sceptre" / "templates"
    templates.mkdir(parents=True)
    (templates / "bad.yaml").write_text(
        "Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n    Properties:\n      Nmae: x\n",
        encoding="utf-8",
    )
    command = Path(sys.executable).with_name("cfn-lint")
    done = subprocess.run([command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "Nmae" in done.stdout
