"""`runbook load`: what is asked for is what is driven."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from runbook.cli import cli


def _run(*arguments: str):
    return CliRunner().invoke(cli, ["load", *arguments])


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(tmp_path: Path) -> None:
    mix = tmp_path / "mix.py"
    mix.write_text("KINDS = [dict(name='a', path='/a'), dict(name='b', path='/b', method='PUT')]")
    done = _run(
        "run", "--url", "http://127.0.0.1:9", "--kinds", str(mix), "--weight", "a=3",
        "--rate", "10", "--ramp-to", "30", "--duration", "60", "--dry-run", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    planned = json.loads(done.stdout)
    assert planned["expected_requests"] == 1200
    kinds = [(kind["name"], kind["weight"], kind["class"]) for kind in planned["kinds"]]
    assert kinds == [("a", 3, "read"), ("b", 1, "write")]


def test_load_is_driven_reported_and_exported(serve, fake_target, tmp_path: Path) -> None:
    target = serve(fake_target(fail_every=10))
    out = tmp_path / "out"
    done = _run(
        "run", "--url", target.url, "--rate", "60", "--duration", "1",
        "--process", "uniform", "--out", str(out),
    )  # fmt: skip
    # Failed requests are a finding.
    assert done.exit_code == 1
    assert "weak: p95: 60 requests, 200 needed" in done.stdout
    assert len(target.served) == 60
    rows = tmp_path / "rows.csv"
    assert _run("export", str(out), "--out", str(rows), "--dry-run").exit_code == 0
    assert not rows.exists()
    assert _run("export", str(out), "--out", str(rows)).exit_code == 0
    assert len(rows.read_text().splitlines()) == 61


def test_what_cannot_be_driven_is_refused() -> None:
    assert _run("run", "--rate", "5", "--dry-run").exit_code == 2
    assert _run("run", "--url", "http://h", "--dry-run").exit_code == 2
    assert _run("run", "--url", "http://h", "--rate", "5").exit_code == 2
