"""Headers that a client can write itself are believed only as far as configured."""

import pytest

from app import create_app

FORGED = {
    "X-Forwarded-For": "203.0.113.9, 198.51.100.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "shop.example",
}


def _link(app, **headers):
    return app.test_client().get("/products", headers=headers).json["products"][0]["request"]["url"]


@pytest.fixture
def configured(config, app):
    made = []

    def make(**settings):
        made.append(create_app(config.__class__(**vars(config) | settings)))
        return made[-1]

    yield make
    for one in made:
        one.extensions["store"].close()


def test_nothing_is_believed_by_default(configured):
    assert _link(configured(), **FORGED).startswith("http://localhost/products/")


def test_a_trusted_proxy_names_the_scheme_but_not_the_host(configured):
    link = _link(configured(trusted_proxies=1), **FORGED)
    assert link.startswith("https://localhost/products/")


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        ({}, "shop.example"),
        ({"Host": "other.example:8080"}, "other.example:8080"),
        ({"Host": "evil.example"}, "shop.example"),
        ({"X-Forwarded-Host": "evil.example"}, "shop.example"),
        ({"X-Forwarded-Host": "other.example:8080", "Host": "10.0.0.1"}, "other.example:8080"),
    ],
)
def test_links_name_public_hosts_only(configured, headers, host):
    app = configured(public_hosts=("shop.example", "other.example:8080"))
    assert _link(app, **headers).startswith(f"http://{host}/products/")


@pytest.mark.parametrize(("trusted", "second"), [(0, 429), (1, 401)])
def test_attempts_count_for_whom_a_trusted_proxy_names(configured, trusted, second):
    """The last address is the proxy's word; those before are the client's own."""
    client = configured(trusted_proxies=trusted, credential_limit="1 per minute").test_client()
    statuses = [
        client.post("/user/login", json={}, headers={"X-Forwarded-For": addresses}).status_code
        for addresses in ("203.0.113.9", "203.0.113.9, 198.51.100.1", "203.0.113.9, 198.51.100.1")
    ]
    assert statuses == [401, second, 429]
