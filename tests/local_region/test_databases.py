"""A database instance is a real PostgreSQL server as long as its stack lives."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psycopg
import pytest

from local_region import databases

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(databases.binaries() is None, reason="no PostgreSQL wheel here"),
]


def test_a_database_lives_and_dies_with_its_stack(shared_region: Any) -> None:
    resources = {
        "D": {
            "Type": "AWS::RDS::DBInstance",
            "Properties": {
                "Engine": "postgres",
                "DBInstanceClass": "db.t4g.micro",
                "AllocatedStorage": "20",
                "DBName": "things",
                "MasterUsername": "someone",
                "MasterUserPassword": "not-a-secret",
            },
        }
    }
    stack = shared_region.launch(
        "database",
        resources,
        Host={"Fn::GetAtt": ["D", "Endpoint.Address"]},
        Port={"Fn::GetAtt": ["D", "Endpoint.Port"]},
    )
    assert stack["StackStatus"] == "CREATE_COMPLETE", shared_region.failures("database")
    address = {"host": stack["outputs"]["Host"], "port": int(stack["outputs"]["Port"])}
    login = {"user": "someone", "dbname": "things", "connect_timeout": 5}
    (instance,) = shared_region.client("rds").describe_db_instances()["DBInstances"]
    assert instance["Endpoint"]["Port"] == address["port"]

    with psycopg.connect(**address, **login, password="not-a-secret") as connection:
        assert connection.execute("select current_database()").fetchone() == ("things",)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(**address, **login, password="wrong")

    shared_region.remove("database")
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(**address, **login, password="not-a-secret")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its server to somebody else")
def test_a_server_starts_from_an_environment_that_only_root_may_enter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = databases.binaries()
    assert found is not None
    package, locked = found.parent.parent, tmp_path / "locked"
    locked.mkdir(mode=0o700)
    for name in (package.name, f"{package.name}.libs"):
        (locked / name).symlink_to(package.with_name(name))
    monkeypatch.setattr(databases, "binaries", lambda: locked / package.name / "pginstall" / "bin")

    server = databases._start("someone", "not-a-secret", "things")

    databases._stop(server)
    assert server.process.returncode == 0
