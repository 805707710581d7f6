def test_live(client):
    answer = client.get("/health")
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "version": "1.2.3"})


def test_ready(client):
    answer = client.get("/ready")
    assert (answer.status_code, answer.json) == (200, {"status": "ready"})
