import re
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from app.store import Order, Product, current_store

UNKNOWN = "5a1d2d000000000000000000"


@pytest.fixture
def product(client):
    return client.get("/products").json["products"][0]


def _order(client, auth, **values):
    return client.post("/orders", json=values, headers=auth.headers)


def test_create(client, auth, product):
    answer = _order(client, auth, productId=product["_id"], quantity=2)
    assert answer.status_code == 201
    order_id = answer.json["createdOrder"]["_id"]
    assert answer.json == {
        "message": "Order stored",
        "createdOrder": {"_id": order_id, "product": product["_id"], "quantity": 2},
        "request": {"type": "GET", "url": f"http://localhost/orders/{order_id}"},
    }


def test_one_is_ordered_unless_said_otherwise(client, auth, product):
    answer = client.post("/orders", data={"productId": product["_id"]}, headers=auth.headers)
    assert answer.json["createdOrder"]["quantity"] == 1


@pytest.mark.parametrize("quantity", ["abc", 0, -3, 2.5, 10**30, None])
def test_create_checks_the_quantity(client, auth, product, quantity):
    answer = _order(client, auth, productId=product["_id"], quantity=quantity)
    assert answer.status_code == 422
    assert client.get("/orders", headers=auth.headers).json["count"] == 0


@pytest.mark.parametrize("product_id", [UNKNOWN, "abc", None, {}])
def test_an_unknown_product_cannot_be_ordered(client, auth, product_id):
    answer = _order(client, auth, productId=product_id)
    assert (answer.status_code, answer.json) == (404, {"message": "Product not found"})


def test_a_product_deleted_in_between_cannot_be_ordered(app, client, auth, product):
    with app.app_context():
        engine = current_store().engine

    @contextmanager
    def deleting_before_the_insert():
        def before(connection, cursor, statement, *_rest):
            if statement.startswith("INSERT"):
                cursor.execute("DELETE FROM product WHERE id = ?", (product["_id"],))

        event.listen(engine, "before_cursor_execute", before)
        yield
        event.remove(engine, "before_cursor_execute", before)

    with deleting_before_the_insert():
        answer = _order(client, auth, productId=product["_id"])
    assert (answer.status_code, answer.json) == (404, {"message": "Product not found"})


def test_list(client, auth, product):
    order = _order(client, auth, productId=product["_id"], quantity=2).json
    assert client.get("/orders", headers=auth.headers).json == {
        "count": 1,
        "orders": [
            {
                "_id": order["createdOrder"]["_id"],
                "product": {"_id": product["_id"], "name": product["name"]},
                "quantity": 2,
                "request": order["request"],
            }
        ],
    }


def test_show(client, auth, product):
    order = _order(client, auth, productId=product["_id"]).json
    assert client.get(order["request"]["url"], headers=auth.headers).json == {
        "order": {
            "_id": order["createdOrder"]["_id"],
            "product": {
                "_id": product["_id"],
                "name": product["name"],
                "price": product["price"],
                "productImage": product["productImage"],
                "__v": 0,
            },
            "quantity": 1,
            "__v": 0,
        },
        "request": {"type": "GET", "url": "http://localhost/orders"},
    }


def test_an_order_outlives_its_product(client, auth, admin, product):
    order = _order(client, auth, productId=product["_id"]).json
    client.delete(f"/products/{product['_id']}", headers=admin.headers)
    shown = client.get(order["request"]["url"], headers=auth.headers).json
    assert shown["order"]["product"] is None
    listed = client.get("/orders", headers=auth.headers).json["orders"][0]
    assert listed["product"] is None


def test_delete(client, auth, product):
    order = _order(client, auth, productId=product["_id"]).json
    assert client.delete(order["request"]["url"], headers=auth.headers).json == {
        "message": "Order deleted",
        "request": {
            "type": "POST",
            "url": "http://localhost/orders",
            "body": {"productId": "ID", "quantity": "Number"},
        },
    }
    assert client.get(order["request"]["url"], headers=auth.headers).status_code == 404


def test_an_unknown_order_is_not_found(client, auth):
    for entry in (UNKNOWN, "abc"):
        for method in ("GET", "DELETE"):
            answer = client.open(f"/orders/{entry}", method=method, headers=auth.headers)
            assert (answer.status_code, answer.json) == (404, {"message": "Order not found"})


def test_an_order_is_its_users_and_an_admins(client, auth, other, admin, product):
    path = _order(client, auth, productId=product["_id"]).json["request"]["url"]
    hidden = (404, {"message": "Order not found"})
    for answer in (
        client.get(path, headers=other.headers),
        client.delete(path, headers=other.headers),
    ):
        assert (answer.status_code, answer.json) == hidden
    assert client.get("/orders", headers=other.headers).json == {"count": 0, "orders": []}
    assert client.get("/orders", headers=admin.headers).json["count"] == 1
    assert client.get(path, headers=admin.headers).status_code == 200
    assert client.delete(path, headers=admin.headers).status_code == 200


def test_an_order_outlives_its_user_for_admins(client, auth, admin, product):
    path = _order(client, auth, productId=product["_id"]).json["request"]["url"]
    client.delete(f"/user/{auth.user_id()}", headers=auth.headers)
    assert client.get(path, headers=admin.headers).status_code == 200


def test_pages(client, auth, product):
    for _ in range(3):
        _order(client, auth, productId=product["_id"])
    whole = client.get("/orders", headers=auth.headers).json["orders"]
    first = client.get("/orders?limit=2", headers=auth.headers)
    assert first.json == {"count": 2, "orders": whole[:2]}
    following = re.fullmatch('<(.*)>; rel="next"', first.headers["Link"])[1]
    assert client.get(following, headers=auth.headers).json == {"count": 1, "orders": whole[2:]}


def test_the_list_costs_one_query_however_long(app, client, auth, product):
    for _ in range(5):
        _order(client, auth, productId=product["_id"])
    statements = []
    with app.app_context():
        engine = current_store().engine
    event.listen(
        engine,
        "before_cursor_execute",
        lambda _c, _cur, statement, *_: statements.append(statement),
    )
    client.get("/orders", headers=auth.headers)
    tables = (Order.__tablename__, Product.__tablename__)
    assert (
        len(
            [
                line
                for line in statements
                if any(f"FROM {t}" in line or f'FROM "{t}"' in line for t in tables)
            ]
        )
        == 1
    )
