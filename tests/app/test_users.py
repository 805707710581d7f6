from concurrent.futures import ThreadPoolExecutor

import argon2
import pytest
from sqlalchemy import select

from app.store import User, session

NEW = {"email": "grace@example.com", "password": "a fine secret"}
FAILED = (401, {"message": "Auth failed"})


def test_signup_and_login(client):
    answer = client.post("/user/signup", json=NEW)
    assert (answer.status_code, answer.json) == (201, {"message": "User created"})
    answer = client.post("/user/login", data=NEW)
    assert answer.status_code == 200
    assert list(answer.json) == ["message", "token"]
    assert answer.json["message"] == "Auth successful"


@pytest.mark.parametrize("email", [NEW["email"], "Grace@Example.com"])
def test_an_address_is_taken_once(client, email):
    client.post("/user/signup", json=NEW)
    answer = client.post("/user/signup", json=NEW | {"email": email})
    assert (answer.status_code, answer.json) == (409, {"message": "Mail exists"})


def test_an_address_is_taken_once_under_concurrency(app):
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: app.test_client().post("/user/signup", json=NEW), range(8))
        )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


@pytest.mark.parametrize(
    "values",
    [
        {"email": "nope"},
        {"email": "<x>a@b.co junk"},
        {"email": "a@b.co\n"},
        {"email": None},
        {"password": None},
        {"password": ""},
        {"password": 123456},
        {"password": "7 chars"},
        {"password": NEW["email"]},
        {"password": "x" * 257},
    ],
)
def test_signup_checks_values(client, values):
    answer = client.post("/user/signup", json=NEW | values)
    assert answer.status_code == 422
    assert next(iter(values)) in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "body",
    [{}, NEW, {"email": "ada@example.com"}, {"email": "ada@example.com", "password": "wrong one"}],
)
def test_every_failed_login_looks_the_same(client, auth, body):
    answer = client.post("/user/login", json=body)
    assert (answer.status_code, answer.json) == FAILED


def test_one_deletes_oneself(client, auth):
    answer = client.delete(f"/user/{auth.user_id()}", headers=auth.headers)
    assert (answer.status_code, answer.json) == (200, {"message": "User deleted"})
    assert client.post("/user/login", json=vars(auth) | {"client": 0}).status_code == 401


def test_only_an_admin_deletes_others(client, auth, admin):
    path = f"/user/{auth.user_id()}"
    for stranger in (f"/user/{admin.user_id()}", "/user/5a1d2d000000000000000000", "/user/abc"):
        assert client.delete(stranger, headers=auth.headers).status_code == 403
    assert client.delete(path, headers=admin.headers).json == {"message": "User deleted"}
    for gone in (path, "/user/abc", "/user/%00"):
        answer = client.delete(gone, headers=admin.headers)
        assert (answer.status_code, answer.json) == (404, {"message": "User not found"})


def test_a_hash_of_older_settings_is_made_anew_at_login(app, client, auth):
    older = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    with app.app_context():
        user = session().scalar(select(User))
        user.password_hash = older.hash(auth.password)
        session().commit()
    auth.login()
    with app.app_context():
        kept = session().scalar(select(User)).password_hash
    assert "$m=7168,t=5,p=1$" in kept
    auth.login()
