"""A client of the API that this one stands in for, step by step on its success paths.

Methods, bodies and expected answers are those observed on the original
(branch 13-controllers); only hosts, ids and tokens differ from run to run.
"""

import json
import re
from io import BytesIO

import pytest

from app.images import PLACEHOLDER_PNG

ID = "<id>"
CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "Origin, X-Requested-With, Content-Type, Accept, Authorization",
}
USER = {"email": "test@test.com", "password": "a test password"}
PRODUCTS = "http://localhost/products"
ORDERS = "http://localhost/orders"


class ReferenceClient:
    """Knows the API from the original alone; keeps its token."""

    def __init__(self, client):
        self._client = client
        self._headers = {}

    def request(self, method, path, status=200, **body):
        answer = self._client.open(path, method=method, headers=self._headers, **body)
        assert answer.status_code == status, answer.text
        assert answer.content_type == "application/json; charset=utf-8"
        assert CORS.items() <= dict(answer.headers).items()
        return answer.json

    def log_in(self):
        answer = self.request("POST", "/user/login", json=USER)
        self._headers = {"Authorization": f"Bearer {answer['token']}"}
        return answer


def _without_ids(body):
    """The body as text, ids replaced: order of fields counts too."""
    return re.sub(r"\b[0-9a-f]{24}\b", ID, json.dumps(body))


def _is(body, expected):
    assert _without_ids(body) == json.dumps(expected)


@pytest.fixture
def config(config):
    return config.__class__(**vars(config) | {"catalogue_seed": 0})


@pytest.fixture
def reference(client):
    return ReferenceClient(client)


@pytest.fixture
def shop(reference):
    """Signed up, logged in, one product there; its id."""
    reference.request("POST", "/user/signup", 201, json=USER)
    reference.log_in()
    form = {"name": "Book", "price": "12.99", "productImage": (BytesIO(PLACEHOLDER_PNG), "b c.png")}
    created = reference.request("POST", "/products", 201, data=form)
    return reference, created["createdProduct"]["_id"]


def test_options(client):
    answer = client.options("/anything")
    assert (answer.status_code, answer.json) == (200, {})
    assert answer.headers["Access-Control-Allow-Methods"] == "PUT, POST, PATCH, DELETE, GET"
    assert CORS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("PUT", "/products"),
        ("GET", "/nope"),
        ("GET", "/users"),
        ("GET", "/uploads/none.png"),
        ("PATCH", "/orders/5a1d2d000000000000000000"),
    ],
)
def test_what_is_not_there(reference, method, path):
    _is(reference.request(method, path, 404), {"error": {"message": "Not found"}})


def test_empty_lists(reference):
    _is(reference.request("GET", "/products"), {"count": 0, "products": []})
    reference.request("POST", "/user/signup", 201, data=USER)
    reference.log_in()
    _is(reference.request("GET", "/orders"), {"count": 0, "orders": []})


@pytest.mark.parametrize("kind", ["json", "data"])
def test_users(reference, kind):
    _is(reference.request("POST", "/user/signup", 201, **{kind: USER}), {"message": "User created"})
    _is(reference.request("POST", "/user/signup", 409, **{kind: USER}), {"message": "Mail exists"})
    answer = reference.request("POST", "/user/login", **{kind: USER})
    assert list(answer) == ["message", "token"]
    assert answer["message"] == "Auth successful"
    for wrong in ({"email": "x@test.com"}, {"password": "wrong password"}):
        body = {kind: USER | wrong}
        _is(reference.request("POST", "/user/login", 401, **body), {"message": "Auth failed"})


@pytest.mark.parametrize(("method", "path"), [("POST", "/products"), ("GET", "/orders")])
def test_without_a_token(reference, method, path):
    _is(reference.request(method, path, 401), {"message": "Auth failed"})


def test_add_and_list_products(shop, client):
    reference, product_id = shop
    form = {"name": "Pen", "price": "2", "productImage": (BytesIO(PLACEHOLDER_PNG), "p.png")}
    _is(
        reference.request("POST", "/products", 201, data=form),
        {
            "message": "Created product successfully",
            "createdProduct": {
                "name": "Pen",
                "price": 2,
                "_id": ID,
                "request": {"type": "GET", "url": f"{PRODUCTS}/{ID}"},
            },
        },
    )
    listing = reference.request("GET", "/products")
    image = listing["products"][0]["productImage"]
    assert listing["products"][0]["_id"] == product_id
    entry = {
        "productImage": image,
        "_id": ID,
        "request": {"type": "GET", "url": f"{PRODUCTS}/{ID}"},
    }
    _is(
        listing,
        {
            "count": 2,
            "products": [
                {"name": "Book", "price": 12.99} | entry,
                {"name": "Pen", "price": 2} | entry,
            ],
        },
    )
    assert image.startswith("uploads/")
    with client.get(f"/{image}") as shown:
        assert (shown.status_code, shown.data) == (200, PLACEHOLDER_PNG)
    head = client.head("/products")
    assert (head.status_code, head.data) == (200, b"")


def test_show_change_and_delete_a_product(shop):
    reference, product_id = shop
    path = f"/products/{product_id}"
    shown = reference.request("GET", path)
    image = shown["product"]["productImage"]
    _is(
        shown,
        {
            "product": {"_id": ID, "name": "Book", "price": 12.99, "productImage": image},
            "request": {"type": "GET", "url": PRODUCTS},
        },
    )
    updated = {
        "message": "Product updated",
        "request": {"type": "GET", "url": f"{PRODUCTS}/{ID}"},
    }
    for changes in (
        [],
        [{"propName": "name", "value": "Harry Potter 6"}],
        [{"propName": "price", "value": "9.99"}],
        [{"propName": "unknown", "value": 1}],
    ):
        _is(reference.request("PATCH", path, json=changes), updated)
    changed = reference.request("GET", path)["product"]
    assert (changed["name"], changed["price"]) == ("Harry Potter 6", 9.99)
    _is(
        reference.request("DELETE", path),
        {
            "message": "Product deleted",
            "request": {
                "type": "POST",
                "url": PRODUCTS,
                "body": {"name": "String", "price": "Number"},
            },
        },
    )
    gone = {"message": "No valid entry found for provided ID"}
    _is(reference.request("GET", path, 404), gone)


@pytest.mark.parametrize("kind", ["json", "data"])
def test_place_show_and_delete_an_order(shop, kind):
    reference, product_id = shop
    missing = {kind: {"productId": "5a1d2d000000000000000000"}}
    _is(reference.request("POST", "/orders", 404, **missing), {"message": "Product not found"})
    stored = reference.request("POST", "/orders", 201, **{kind: {"productId": product_id}})
    order_link = {"type": "GET", "url": f"{ORDERS}/{ID}"}
    _is(
        stored,
        {
            "message": "Order stored",
            "createdOrder": {"_id": ID, "product": ID, "quantity": 1},
            "request": order_link,
        },
    )
    body = {"productId": product_id, "quantity": "2"}
    reference.request("POST", "/orders", 201, **{kind: body})
    order = {"_id": ID, "product": {"_id": ID, "name": "Book"}}
    _is(
        reference.request("GET", "/orders"),
        {
            "count": 2,
            "orders": [
                order | {"quantity": 1, "request": order_link},
                order | {"quantity": 2, "request": order_link},
            ],
        },
    )
    path = f"/orders/{stored['createdOrder']['_id']}"
    shown = reference.request("GET", path)
    image = shown["order"]["product"]["productImage"]
    whole = {"_id": ID, "name": "Book", "price": 12.99, "productImage": image, "__v": 0}
    _is(
        shown,
        {
            "order": {"_id": ID, "product": whole, "__v": 0, "quantity": 1},
            "request": {"type": "GET", "url": ORDERS},
        },
    )
    reference.request("DELETE", f"/products/{product_id}")
    assert reference.request("GET", path)["order"]["product"] is None
    assert [entry["product"] for entry in reference.request("GET", "/orders")["orders"]] == [
        None
    ] * 2
    _is(
        reference.request("DELETE", path),
        {
            "message": "Order deleted",
            "request": {
                "type": "POST",
                "url": ORDERS,
                "body": {"productId": "ID", "quantity": "Number"},
            },
        },
    )
    _is(reference.request("GET", path, 404), {"message": "Order not found"})


def test_delete_the_user(shop, auth):
    reference, _ = shop
    own = type(auth)(auth.client, **USER)
    own.login()
    _is(reference.request("DELETE", f"/user/{own.user_id()}"), {"message": "User deleted"})
    _is(reference.request("POST", "/user/login", 401, json=USER), {"message": "Auth failed"})


def test_a_body_that_cannot_be_read(reference):
    broken = {"data": b"{", "content_type": "application/json"}
    answer = reference.request("POST", "/user/signup", 400, **broken)
    assert list(answer) == ["error"]
    assert list(answer["error"]) == ["message"]
    large = {"json": {"email": "x" * 110_000}}
    answer = reference.request("POST", "/user/signup", 413, **large)
    _is(answer, {"error": {"message": "request entity too large"}})
