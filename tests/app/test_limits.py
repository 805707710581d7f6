import time

import pytest
from limits.errors import StorageError

from app.errors import StartError, TooMany
from app.limits import CredentialLimits

ADA = {"email": "ada@example.com", "password": "a good password"}
WRONG = {"email": "ada@example.com", "password": "another password"}


@pytest.fixture
def config(config):
    return config.__class__(**vars(config) | {"credential_limit": "4 per minute"})


def test_attempts_count_for_the_address_they_come_from(client):
    bodies = [ADA, ADA, WRONG, {}]
    paths = ["/user/signup", "/user/login", "/user/login", "/user/login"]
    answers = [client.post(path, json=body) for path, body in zip(paths, bodies, strict=True)]
    assert [answer.status_code for answer in answers] == [201, 200, 401, 401]
    for path in paths:
        answer = client.post(path, json=ADA)
        assert answer.status_code == 429
        assert 0 < int(answer.headers["Retry-After"]) <= 60
        assert answer.json["error"]["message"].startswith("Too many attempts; try again in ")
    elsewhere = {"REMOTE_ADDR": "192.0.2.7"}
    assert client.post("/user/login", json=ADA, environ_overrides=elsewhere).status_code == 200


def test_other_routes_are_not_limited(client):
    assert {client.get("/products").status_code for _ in range(20)} == {200}


def test_failures_count_for_the_mail_address_wherever_they_come_from(client, auth):
    def login(body, index):
        address = {"REMOTE_ADDR": f"192.0.2.{index}"}
        return client.post("/user/login", json=body, environ_overrides=address).status_code

    tried = [login(WRONG | {"email": "Ada@example.com"}, index) for index in range(10)]
    assert tried == [401] * 10
    assert login(ADA, 100) == 429
    assert login(ADA | {"email": "grace@example.com"}, 101) == 401


def test_a_success_does_not_count_as_a_failure():
    limits = CredentialLimits("1 per minute", "memory://")
    for _ in range(100):
        limits.require_few_failures("ada@example.com")


def test_attempts_are_free_again_after_a_while():
    limits = CredentialLimits("1 per second", "memory://")
    limits.attempt("192.0.2.1")
    with pytest.raises(TooMany) as caught:
        limits.attempt("192.0.2.1")
    assert caught.value.retry_after_s == 1
    time.sleep(1.05)
    limits.attempt("192.0.2.1")


@pytest.mark.parametrize(
    ("limit", "storage", "named"),
    [
        ("often", "memory://", "CREDENTIAL_LIMIT is wrong: 'often'"),
        ("1 per minute", "redis://:hunter2@host", "CREDENTIAL_LIMIT_STORAGE cannot be used"),
        ("1 per minute", "nonsense://", "CREDENTIAL_LIMIT_STORAGE cannot be used"),
    ],
)
def test_a_wrong_setting_stops_the_start(limit, storage, named):
    with pytest.raises(StartError, match=f"^{named}.*; give ") as caught:
        CredentialLimits(limit, storage)
    assert "hunter2" not in str(caught.value)


def test_a_storage_that_does_not_answer_lets_people_in(app, client, auth, monkeypatch, caplog):
    storage = app.extensions["credential_limits"]._limiter.storage

    def unreachable(*_arguments, **_more):
        raise StorageError(OSError("gone"))

    monkeypatch.setattr(storage, "acquire_entry", unreachable)
    monkeypatch.setattr(storage, "get_moving_window", unreachable)
    assert client.post("/user/login", json=ADA).status_code == 200
    assert client.post("/user/login", json=WRONG).status_code == 401
    assert "the credential limits are not counted" in caplog.text
