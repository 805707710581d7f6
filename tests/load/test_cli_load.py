"""`runbook load`: what is asked for is what is driven."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runbook.cli import cli
from runbook.cli import load as commands
from runbook.errors import InputInvalid, LoadFailed
from runbook.load.measurement import StepStats
from runbook.load.plan import LoadPlan
from runbook.load.recording import DriverRun, read_results


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
    assert "  failed: 6 x HTTP 503" in done.stdout
    assert len(target.served) == 60
    rows = tmp_path / "rows.csv"
    assert _run("export", str(out), "--out", str(rows), "--dry-run").exit_code == 0
    assert not rows.exists()
    assert _run("export", str(out), "--out", str(rows)).exit_code == 0
    assert len(rows.read_text().splitlines()) == 61
    with pytest.raises(InputInvalid, match="is no folder that can be written to"):
        _raised(_run("export", str(out), "--out", str(rows / "x.csv")))


def test_results_of_an_earlier_run_are_kept(serve, fake_target, tmp_path: Path) -> None:
    target, out = serve(fake_target()), tmp_path / "out"
    for count, rate in ((20, "20"), (30, "30"), (40, "40")):
        done = _run("run", "--url", target.url, "--rate", rate, "--duration", "1",
                    "--process", "uniform", "--out", str(out))  # fmt: skip
        assert (f"kept in {out}" in done.stderr) == (count > 20)
    requests = {f: len(read_results(out / f).raw()) for f in (".", "earlier-1", "earlier-2")}
    assert requests == {".": 40, "earlier-1": 20, "earlier-2": 30}


STEP = StepStats(
    label="a", start_s=0, end_s=10, rate_rps=80, requests=800, offered_rps=80, achieved_rps=80,
    served_rps=80, p50_ms=5, p95_ms=11, p99_ms=15, failures=0, lag_p95_ms=0.2, lag_p99_ms=0.34,
    driver_cpu_cores=0.12, host_busy_cores=0.5,
    by_class={
        "read": {"requests": 700, "failures": 0, "p50_ms": 4.0, "p95_ms": 9.0, "p99_ms": 12.0,
                 "weak": "p99: 700 requests, 1000 needed"},
        "write": {"requests": 100, "failures": 0, "p50_ms": 6.0, "p95_ms": 13.0, "p99_ms": None,
                  "weak": "p95: 100 requests, 200 needed"},
    },
)  # fmt: skip


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """`runbook load run` on a driver that measured these steps: what was asked of it, and said."""

    def run(*steps: StepStats, url: str = "http://127.0.0.1:9/x", more: tuple[str, ...] = ()):
        asked: dict[str, Any] = {}

        def drive(plan: LoadPlan, out: Path, **options: Any) -> DriverRun:
            asked.update(options, plan=plan)
            return DriverRun(out, plan, 0.0, False, 8, 250.0, steps)

        monkeypatch.setattr(commands, "run_driver", drive)
        monkeypatch.setattr(commands, "host_cores", lambda: 2)
        out = str(tmp_path / "out")
        return _run("run", "--url", url, "--rate", "80", "--out", out, *more), asked

    return run


def test_each_step_says_what_the_driver_did_and_no_finding_is_none(driven) -> None:
    done, asked = driven(STEP, more=("--driver", "locust", "--workers", "3"))
    assert done.exit_code == 0, done.output
    assert (asked["driver"], asked["workers"]) == ("locust", 3)
    head, units, step, *rest = done.stdout.splitlines()
    assert head.split()[-4:] == ["lag", "p99", "driver", "host"]
    assert units.split() == ["ms", "cores", "cores"]
    assert step.split() == [
        "a",
        "all",
        "800",
        "0",
        "5.00",
        "11.00",
        "15.00",
        "0.34",
        "0.12",
        "0.50",
    ]
    assert "  weak: p99: 800 requests, 1000 needed" in rest
    assert "  weak (write): p95: 100 requests, 200 needed" in rest
    assert "void" not in done.stdout


@pytest.mark.parametrize(
    ("change", "url", "more", "words"),
    [
        ({"lag_p99_ms": 6.0}, "http://127.0.0.1:9/x", (), "the driver was late: p99 6.0 ms"),
        ({"lag_p99_ms": 6.0}, "http://127.0.0.1:9/x", ("--slo-ms", "40"), ""),
        ({"achieved_rps": 70}, "http://h/x", (), "the driver sent 70.0 of 80.0"),
        ({"host_busy_cores": 1.9}, "http://localhost:9/x", (), "the host was the limit: 1.90"),
        ({"host_busy_cores": 1.9}, "http://10.0.0.4/x", (), ""),
    ],
)
def test_a_void_step_is_a_finding_and_says_why(driven, change, url, more, words) -> None:
    steps = (STEP, replace(STEP, label="b", **change))
    done, _ = driven(*steps, url=url, more=more)
    assert done.exit_code == (1 if words else 0)
    if words:
        assert f"  void: {words}" in done.stdout
        assert done.stdout.count("void:") == 1
    done, _ = driven(*steps, url=url, more=(*more, "--json"))
    first, second = json.loads(done.stdout)["steps"]
    assert first["void_reason"] is None
    assert (second["void_reason"] or "").startswith(words)
    assert first["lag_p99_ms"] == 0.34
    assert first["by_class"]["read"]["weak"] == "p99: 700 requests, 1000 needed"


def test_what_cannot_be_driven_is_refused() -> None:
    assert _run("run", "--rate", "5", "--dry-run").exit_code == 2
    assert _run("run", "--url", "http://h", "--dry-run").exit_code == 2
    assert _run("run", "--url", "http://h", "--rate", "5").exit_code == 2
    assert _run("run", "--url", "http://h", "--rate", "5", "--workers", "0").exit_code == 2


@pytest.mark.parametrize(
    ("options", "asked"),
    [
        (("--url", "http://h"), "http://h"),
        (("--url", "http://h/b"), "http://h/b"),
        (("--url", "http://h/", "--path", "/a"), "http://h/a"),
    ],
)
def test_an_address_without_a_path_takes_the_path_that_is_given(
    options: tuple[str, ...], asked: str
) -> None:
    done = _run("run", *options, "--rate", "5", "--dry-run", "--json")
    assert json.loads(done.stdout)["url"] == asked


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ("--rate", "5", "--rate", "9", "--ramp-to", "20"),
            "--ramp-to cannot be used with 2 rates",
        ),
        (("--replay", "h.csv", "--rate", "5"), "--rate cannot be used with --replay"),
        (("--replay", "h.csv", "--ramp-to", "5"), "--ramp-to cannot be used with --replay"),
        (("--replay", "h.csv", "--duration", "5"), "--duration cannot be used with --replay"),
        (("--rate", "5", "--rate-scale", "2"), "--rate-scale cannot be used: .* --replay"),
        (("--rate", "5", "--time-scale", "2"), "--time-scale cannot be used: .* --replay"),
        (("--rate", "5", "--weight", "a=2"), "--weight cannot be used: .* --kinds"),
        (("--rate", "5", "--users", "2"), "--users cannot be used: .* --kinds"),
        (("--rate", "5", "--kinds", "MIX", "--path", "/a"), "--path cannot be used with --kinds"),
        (("--rate", "5", "--path", "/a", "--url", "http://h/b"), "--path cannot be used with http"),
        (
            ("--rate", "5", "--kinds", "MIX", "--weight", "c=2"),
            "c cannot be weighted: mix.py gives a",
        ),
        (("--rate", "5", "--kinds", "MIX", "--weight", "a"), "--weight a cannot be used: it is no"),
        (
            ("--rate", "5", "--kinds", "MIX", "--weight", "=2"),
            "--weight =2 cannot be used: it is no",
        ),
        (("--rate", "5", "--kinds", "MIX", "--weight", "2"), "--weight 2 cannot be used: it is no"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    mix = tmp_path / "mix.py"
    mix.write_text("KINDS = [dict(name='a', path='/a')]")
    given = [str(mix) if option == "MIX" else option for option in options]
    out = tmp_path / "out"
    with pytest.raises(InputInvalid, match=words):
        _raised(_run("run", "--url", "http://h", "--out", str(out), *given))
    assert not out.exists()


def test_a_run_without_results_leaves_the_earlier_ones_in_place(
    serve, fake_target, tmp_path: Path
) -> None:
    target, out = serve(fake_target()), tmp_path / "out"
    run = ("run", "--rate", "20", "--duration", "1", "--process", "uniform", "--out", str(out))
    _run(*run, "--url", target.url)
    earlier = read_results(out)
    failed = _run(*run, "--url", "http://127.0.0.1:1/")
    assert f"the earlier ones are back in {out}" in failed.stderr
    with pytest.raises(LoadFailed, match=r"cannot be reached: .*; check the address"):
        _raised(failed)
    assert read_results(out) == earlier
    assert len(earlier.raw()) == 20
    assert not (out / "earlier-1").exists()


def test_results_that_could_not_be_written_are_not_measured(driven, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    done, asked = driven(STEP, more=("--out", str(tmp_path / "out" / "deeper")))
    with pytest.raises(InputInvalid, match="is no folder that can be written to"):
        _raised(done)
    assert not asked


@pytest.mark.parametrize("name", ["x.parquet", "x.gz", "x.csv.zip", "x"])
def test_only_csv_is_exported(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputInvalid, match=r"name a .csv or a .csv.gz"):
        _raised(_run("export", str(tmp_path), "--out", str(tmp_path / name)))


def _raised(result: Result) -> None:
    """Raise what the command did."""
    assert result.exception is not None, result.output
    raise result.exception
