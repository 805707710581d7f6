"""An application on a store of its own, a client, and a user who can log in."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import jwt
import pytest
from flask import Flask
from flask.testing import FlaskClient

from app import create_app, roles, start
from app.config import Config

SEEDED = 3


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        jwt_key="k" * 32,
        store_url=f"sqlite:///{tmp_path / 'shop.db'}",
        upload_dir=tmp_path / "uploads",
        catalogue_seed=SEEDED,
        service_version="1.2.3",
    )


@pytest.fixture
def app(config: Config) -> Iterator[Flask]:
    start.prepare(config)
    application = create_app(config)
    yield application
    application.extensions["store"].close()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@dataclass
class AuthActions:
    client: FlaskClient
    email: str = "ada@example.com"
    password: str = "a good password"
    headers: dict[str, str] = field(default_factory=dict)

    def signup(self) -> None:
        answer = self.client.post(
            "/user/signup", json={"email": self.email, "password": self.password}
        )
        assert answer.status_code == 201, answer.text

    def login(self) -> dict[str, str]:
        """Log in; return the headers that show it."""
        answer = self.client.post(
            "/user/login", json={"email": self.email, "password": self.password}
        )
        assert answer.status_code == 200, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json['token']}"}
        return self.headers

    def user_id(self) -> str:
        token = self.headers["Authorization"].split()[1]
        claims = jwt.decode(token, options={"verify_signature": False})
        return str(claims["userId"])


@pytest.fixture
def other(client: FlaskClient) -> AuthActions:
    """Another user who is signed up and logged in."""
    actions = AuthActions(client, email="grace@example.com")
    actions.signup()
    actions.login()
    return actions


@pytest.fixture
def admin(app: Flask) -> AuthActions:
    """An admin who is logged in."""
    actions = AuthActions(app.test_client(), email="admin@example.com")
    actions.signup()
    roles.set_role(app.extensions["store"], actions.email, "admin")
    actions.login()
    return actions


@pytest.fixture
def auth(client: FlaskClient) -> AuthActions:
    """A user who is signed up and logged in: `auth.headers`."""
    actions = AuthActions(client)
    actions.signup()
    actions.login()
    return actions
