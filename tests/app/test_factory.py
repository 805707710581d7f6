"""What every answer has in common."""

import pytest

ALLOWED = "Origin, X-Requested-With, Content-Type, Accept, Authorization"


@pytest.mark.parametrize("path", ["/products", "/orders", "/nope", "/", "/health"])
def test_every_answer_may_be_read_from_any_origin(client, path):
    answer = client.get(path)
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["Access-Control-Allow-Headers"] == ALLOWED
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize("path", ["/products", "/orders/x", "/nope", "/"])
def test_options_is_answered_on_any_path(client, path):
    answer = client.options(path)
    assert (answer.status_code, answer.json) == (200, {})
    assert answer.headers["Access-Control-Allow-Methods"] == "PUT, POST, PATCH, DELETE, GET"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_a_trailing_slash_makes_no_difference(client):
    assert client.get("/products/").json == client.get("/products").json


def test_head_is_get_without_body(client):
    answer = client.head("/products")
    assert (answer.status_code, answer.data) == (200, b"")


def test_links_follow_the_host_of_the_request(client):
    listed = client.get("/products", headers={"Host": "shop.example:81"}).json["products"][0]
    assert listed["request"]["url"] == f"http://shop.example:81/products/{listed['_id']}"


def test_no_header_tells_what_is_inside(client):
    assert set(client.get("/products").headers.keys()) == {
        "Access-Control-Allow-Headers",
        "Access-Control-Allow-Origin",
        "Content-Length",
        "Content-Type",
    }
