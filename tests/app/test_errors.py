"""Every route fails in a known shape, and never with 500 for what a client sent."""

import sqlite3

import pytest

SHORT_FORM = {"Auth failed", "Mail exists", "Product not found", "Order not found"}
SHORT_FORM |= {"User not found", "Image not found", "No valid entry found for provided ID"}

HOSTILE = [
    {"data": b"{", "content_type": "application/json"},
    {"data": b"\xff\xfe", "content_type": "application/json"},
    {"data": b"[" * 90_000, "content_type": "application/json"},
    {"data": b"1" * 5_000, "content_type": "application/json"},
    {"data": b"7", "content_type": "application/json"},
    {"data": b"", "content_type": "application/json"},
    {"data": b"x" * 200_000, "content_type": "application/json"},
    {"data": b"--", "content_type": "multipart/form-data; boundary=x"},
    {"data": b"a=%ff", "content_type": "application/x-www-form-urlencoded"},
    {"json": []},
    {"json": {}},
    {"json": [1]},
    {"json": {"name": "\ud800", "price": 1, "email": "\ud800@a.b", "password": "\ud800" * 8}},
    {"json": {"name": "\x00", "price": float("nan"), "productId": "\ud800", "quantity": 10**400}},
    {"json": {"name": {"$gt": ""}, "email": {"$gt": ""}, "password": {"$gt": ""}}},
    {"json": [{"propName": {}, "value": 1}, {"propName": "price", "value": "1e999"}]},
]


def _assert_error_shape(answer):
    assert answer.status_code < 500, answer.text
    if answer.status_code >= 400:
        body = answer.get_json()
        if body.get("message") in SHORT_FORM:
            assert set(body) == {"message"}
        else:
            assert set(body) == {"error"}
            assert set(body["error"]) == {"message"}
            assert body["error"]["message"]


def _routes(app):
    for rule in app.url_map.iter_rules():
        for method in sorted(rule.methods - {"HEAD", "OPTIONS"}):
            yield method, rule.rule


@pytest.mark.parametrize(
    "entry", ["abc", "5a1d2d000000000000000000", "%00", "%ED%A0%80", "x" * 900]
)
def test_no_route_fails_oddly_on_any_body(app, client, auth, entry):
    tried = 0
    for method, rule in _routes(app):
        path = rule.replace("<product_id>", entry).replace("<order_id>", entry)
        path = path.replace("<user_id>", entry).replace("<name>", entry)
        for body in HOSTILE:
            for headers in ({}, auth.headers):
                _assert_error_shape(client.open(path, method=method, headers=headers, **body))
                tried += 1
    assert tried > 300


def test_every_guarded_route_asks_for_a_token(app, client):
    open_routes = {
        ("GET", "/products"),
        ("GET", "/products/<product_id>"),
        ("POST", "/user/signup"),
        ("POST", "/user/login"),
        ("GET", "/health"),
        ("GET", "/ready"),
        ("GET", "/uploads/<name>"),
        ("GET", "/openapi.json"),
        ("GET", "/docs"),
    }
    guarded = set(_routes(app)) - open_routes
    assert len(guarded) == 8
    for method, rule in guarded:
        answer = client.open(rule, method=method)
        assert (answer.status_code, answer.json) == (401, {"message": "Auth failed"})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("PUT", "/products"),
        ("PATCH", "/orders/x"),
        ("GET", "/users"),
        ("GET", "//products"),
    ],
)
def test_unknown_path_or_method_is_not_found(client, method, path):
    answer = client.open(path, method=method)
    assert (answer.status_code, answer.json) == (404, {"error": {"message": "Not found"}})


def test_a_body_that_is_too_large_is_refused(client):
    answer = client.post("/user/login", json={"email": "x" * 102_400})
    assert answer.status_code == 413
    assert answer.json == {"error": {"message": "request entity too large"}}


def test_a_bug_is_told_without_its_details(app, client):
    @app.get("/bug")
    def bug():
        raise KeyError("secret detail")

    answer = client.get("/bug")
    assert (answer.status_code, answer.json) == (
        500,
        {"error": {"message": "Internal server error"}},
    )
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_store_that_does_not_answer_is_503(client, tmp_path):
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("DROP TABLE alembic_version")
        connection.execute("DROP TABLE catalogue_seed")
        connection.execute('DROP TABLE "order"')
        connection.execute("DROP TABLE product")
    connection.close()
    for path in ("/products", "/ready"):
        answer = client.get(path)
        assert answer.status_code == 503
        assert "product" not in answer.json["error"]["message"]
    assert client.get("/health").status_code == 200
