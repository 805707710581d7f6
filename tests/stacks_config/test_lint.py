"""cfn-lint finds nothing, with the project's own configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cfnlint.api import ManualArgs, lint_file

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((ROOT / "sceptre" / "templates").glob("*.yaml"))
# CloudFormation takes no larger template inline, and no environment has a bucket for templates.
INLINE_BYTES_MAX = 51_200


def findings(path: Path) -> list[str]:
    matches = lint_file(
        path, config=ManualArgs(regions=["eu-west-1", "us-east-1"], include_checks=["I"])
    )
    return [f"{match.linenumber}: {match.rule.id} {match.message}" for match in matches]


@pytest.mark.parametrize("path", TEMPLATES, ids=[path.stem for path in TEMPLATES])
def test_nothing_is_found(path: Path) -> None:
    assert findings(path) == []


@pytest.mark.parametrize("path", TEMPLATES, ids=[path.stem for path in TEMPLATES])
def test_it_goes_inline(path: Path) -> None:
    assert path.stat().st_size < INLINE_BYTES_MAX


@pytest.mark.parametrize("path", TEMPLATES, ids=[path.stem for path in TEMPLATES])
def test_a_skipped_security_rule_has_its_reason(path: Path) -> None:
    for line in path.read_text(encoding="utf-8").splitlines():
        if "checkov:skip" in line:
            assert re.search(r"# checkov:skip=CKV\w+:\S.{20,}$", line), line


def test_a_mistake_is_found(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        "Resources:\n  Topic:\n    Type: AWS::SNS::Topic\n    Properties:\n      Nmae: x\n",
        encoding="utf-8",
    )
    assert any("Nmae" in finding for finding in findings(bad))
