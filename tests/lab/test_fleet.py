"""Fleets: many histories on a cluster of one process give what one replay gives."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from distributed import Client, LocalCluster

from runbook.capacity.curve import CapacityCurve
from runbook.cli import cli
from runbook.errors import Finding, InputInvalid
from runbook.lab.builtin import builtin
from runbook.lab.fleet import Job, cluster, play_fleet, play_one, totals
from runbook.lab.history import read_history
from runbook.lab.names import distinct
from runbook.lab.replay import replay
from runbook.lab.service import ServiceModel

CURVE = Path(__file__).resolve().parents[2] / "examples" / "capacity_curve.json"


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
        ) as here,
        Client(here) as client,
    ):
        yield client


@pytest.fixture
def histories(tmp_path: Path) -> list[Path]:
    """Five services of two days each, some busier; the fourth is no history."""
    paths = []
    for number in range(5):
        path = tmp_path / f"service{number}.csv"
        rows = [
            f"2026-05-{4 + hour // 24:02d}T{hour % 24:02d}:00:00Z,{(hour % 24 + 1) * 9000 + number}"
            for hour in range(48)
        ]
        path.write_text("timestamp,requests\n" + "\n".join(rows) + "\n")
        paths.append(path)
    paths[3].write_text("nonsense\n")
    return paths


def test_a_fleet_gives_what_single_replays_give(
    client: Any, histories: list[Path], curve: CapacityCurve, service: ServiceModel
) -> None:
    seen: list[tuple[int, int]] = []
    job = Job(curve, ("cpu-70-60s", "static-peak"), peak_tasks=10, seeds=1)
    found = play_fleet(histories, job, client, lambda done, many: seen.append((done, many)))
    assert [item["name"] for item in found] == [path.name for path in histories]
    assert seen[-1] == (5, 5)
    assert "service3.csv" in found[3]["error"]
    history = read_history(histories[4]).scaled(service, 10)
    alone = replay(
        [builtin("cpu-70-60s", service, peak_tasks=10, max_tasks=100)], history, service, seeds=1
    )
    assert found[4]["policies"][0]["task_hours"] == alone[0].task_hours
    summed = totals(found)[0]
    assert summed["services"] == 4
    hours = [item["policies"][0]["task_hours"] for item in found if "policies" in item]
    assert summed["task_hours"] == pytest.approx(sum(hours))


def test_the_command_names_what_it_could_not_play(client: Any, histories: list[Path]) -> None:
    address = client.scheduler.address
    given = [*map(str, histories), "--curve", str(CURVE), "--scheduler", address, "--json"]
    result = CliRunner().invoke(cli, ["lab", "fleet", *given, "--seeds", "1"])
    assert isinstance(result.exception, Finding)
    assert "service3.csv" in str(result.exception)
    data = json.loads(result.stdout)
    assert [item["name"] for item in data["services"]] == [
        "service0.csv",
        "service1.csv",
        "service2.csv",
        "service4.csv",
    ]
    assert data["fleet"][0]["name"] == "cpu-70-60s"


def test_a_history_that_is_missing_or_named_twice_is_told_before_a_cluster_starts(
    histories: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a cluster started")

    monkeypatch.setattr("runbook.lab.fleet.cluster", never)
    first, given = histories[0], ["lab", "fleet", "--curve", str(CURVE)]
    again = first.parent / "." / ".." / first.parent.name / first.name
    with pytest.raises(InputInvalid, match=r"service0.csv cannot be played twice"):
        CliRunner().invoke(cli, [*given, str(first), str(again)], catch_exceptions=False)
    link = first.with_name("link.csv")
    link.symlink_to(first)
    with pytest.raises(AssertionError, match="a cluster started"):
        CliRunner().invoke(cli, [*given, str(first), str(link)], catch_exceptions=False)
    missing = CliRunner().invoke(cli, [*given, str(first), "missing.csv"], catch_exceptions=False)
    assert missing.exit_code == 2
    assert "'missing.csv' does not exist" in missing.stderr


def test_whatever_is_wrong_with_one_history_the_others_are_played(
    histories: list[Path], curve: CapacityCurve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("runbook.lab.fleet.read_history", fails)
    found = play_one("one.csv", histories[0].read_bytes(), Job(curve, ("cpu-70-60s",)))
    assert found == {"name": "one.csv", "error": "MemoryError: no room"}


def test_services_with_one_file_name_are_told_apart() -> None:
    paths = [Path("shop/eu/requests.csv"), Path("shop/us/requests.csv"), Path("other.csv")]
    assert distinct(paths) == ["eu/requests.csv", "us/requests.csv", "other.csv"]


def test_a_scheduler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runbook.lab.fleet._CONNECT_S", 0.3)
    with (
        pytest.raises(InputInvalid, match="Dask scheduler"),
        cluster("tcp://127.0.0.1:9"),
    ):
        pass
