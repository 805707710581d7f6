import time

import jwt
import pytest

from app import auth as auth_module
from app.store import User

FAILED = (401, {"message": "Auth failed"})


def _claims(auth):
    token = auth.headers["Authorization"].split()[1]
    return jwt.decode(token, options={"verify_signature": False})


def _orders(client, authorization):
    answer = client.get("/orders", headers={"Authorization": authorization})
    return answer.status_code, answer.json


def test_the_token_tells_who_and_for_how_long(auth):
    claims = _claims(auth)
    assert list(claims) == ["email", "userId", "iat", "exp"]
    assert claims["email"] == "ada@example.com"
    assert claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 60


def test_the_word_before_the_token_does_not_matter(client, auth):
    token = auth.headers["Authorization"].split()[1]
    assert _orders(client, f"Anything {token}")[0] == 200
    assert _orders(client, token) == FAILED


@pytest.mark.parametrize(
    ("changes", "key", "algorithm"),
    [
        ({"exp": 1}, "k" * 32, "HS256"),
        ({"exp": None}, "k" * 32, "HS256"),
        ({"userId": None}, "k" * 32, "HS256"),
        ({"userId": "5a1d2d000000000000000000"}, "k" * 32, "HS256"),
        ({"userId": {"$gt": ""}}, "k" * 32, "HS256"),
        ({}, "x" * 32, "HS256"),
        ({}, "k" * 64, "HS512"),
        ({}, None, "none"),
    ],
)
def test_a_token_that_is_not_ours_or_not_good_any_more_fails(client, auth, changes, key, algorithm):
    claims = {k: v for k, v in (_claims(auth) | changes).items() if v is not None}
    assert _orders(client, f"Bearer {jwt.encode(claims, key, algorithm=algorithm)}") == FAILED


@pytest.mark.parametrize("authorization", ["", "x", "Bearer x", "Bearer x.y.z", "Bearer \xff\xfe"])
def test_what_is_no_token_fails(client, authorization):
    assert _orders(client, authorization) == FAILED


def test_a_token_dies_with_its_user(client, auth):
    client.delete(f"/user/{_claims(auth)['userId']}", headers=auth.headers)
    assert _orders(client, auth.headers["Authorization"]) == FAILED


def test_passwords_are_kept_as_argon2id_hashes():
    kept = auth_module.hash_password("a good password")
    assert kept.startswith("$argon2id$v=19$m=7168,t=5,p=1$")
    user = User(email="a@b.c", password_hash=kept)
    assert auth_module.check_password(user, "a good password")
    assert not auth_module.check_password(user, "another")
    assert not auth_module.check_password(None, "a good password")


def test_nobodys_hash_costs_what_a_users_does():
    assert not auth_module._HASHER.check_needs_rehash(auth_module._NOBODYS_HASH)
