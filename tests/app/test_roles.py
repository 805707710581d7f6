import pytest

from app import roles


@pytest.fixture
def environment(config, monkeypatch):
    monkeypatch.setenv("JWT_KEY", config.jwt_key)
    monkeypatch.setenv("STORE_URL", config.store_url)


def test_a_role_is_given_and_taken_at_once(client, auth, environment, capsys):
    seeded = client.get("/products").json["products"][0]["request"]["url"]
    assert client.patch(seeded, json=[], headers=auth.headers).status_code == 403
    assert roles.main(["Ada@example.com", "admin"]) == 0
    assert client.patch(seeded, json=[], headers=auth.headers).status_code == 200
    assert roles.main(["ada@example.com", "user"]) == 0
    assert client.patch(seeded, json=[], headers=auth.headers).status_code == 403
    assert capsys.readouterr().out.splitlines()[0] == "Ada@example.com is admin now"


def test_nobody_is_told(app, environment, capsys):
    assert roles.main(["nobody@example.com", "admin"]) == 2
    assert "nobody@example.com is not signed up; sign up first" in capsys.readouterr().err


def test_a_store_that_is_not_there_is_told(environment, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("STORE_URL", f"sqlite:///{tmp_path / 'none' / 'shop.db'}")
    assert roles.main(["ada@example.com", "admin"]) == 2
    assert "the store does not answer" in capsys.readouterr().err


def test_only_known_roles(capsys):
    with pytest.raises(SystemExit) as caught:
        roles.main(["ada@example.com", "emperor"])
    assert caught.value.code == 2
