"""Whether it lives, and whether it can serve."""

from pathlib import Path

from sqlalchemy import make_url


def test_live(client):
    answer = client.get("/health")
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "version": "1.2.3"})


def test_ready(client):
    answer = client.get("/ready")
    assert (answer.status_code, answer.json) == (200, {"status": "ready"})


def test_not_ready_while_the_file_of_the_store_is_gone(client, config):
    file = Path(make_url(config.store_url).database)
    assert client.get("/products").status_code == 200  # an open connection
    away = file.rename(file.with_name("away.db"))
    answer = client.get("/ready")
    assert (answer.status_code, client.get("/health").status_code) == (503, 200)
    assert answer.json == {"error": {"message": "The store does not answer; try again"}}
    away.rename(file)
    assert client.get("/ready").status_code == 200
