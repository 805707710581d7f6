from concurrent.futures import ThreadPoolExecutor

import pytest

NEW = {"email": "grace@example.com", "password": "tester"}
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
        {"email": None},
        {"password": None},
        {"password": ""},
        {"password": 123456},
        {"password": "short"},
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


def test_delete(client, auth):
    client.post("/user/signup", json=NEW)
    other = type(auth)(client, **NEW)
    other.login()
    user_id = _user_id(other.headers)
    answer = client.delete(f"/user/{user_id}", headers=auth.headers)
    assert (answer.status_code, answer.json) == (200, {"message": "User deleted"})
    answer = client.delete(f"/user/{user_id}", headers=auth.headers)
    assert (answer.status_code, answer.json) == (404, {"message": "User not found"})


def _user_id(headers):
    import jwt

    token = headers["Authorization"].split()[1]
    return jwt.decode(token, options={"verify_signature": False})["userId"]
