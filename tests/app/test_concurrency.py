"""Requests that meet at the store, on both engines: real threads, real transactions."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app import create_app, start
from app.store import Order, Product, User

THREADS = 6
PASSWORD = "a good password"


@pytest.fixture
def app(config, store_url):
    config = replace(
        config, store_url=store_url, store_pool_size=THREADS, credential_limit="1000 per minute"
    )
    start.prepare(config)
    application = create_app(config)
    yield application
    application.extensions["store"].close()


def _at_once(work, count=THREADS):
    """The outcomes of `work(index)`, begun at the same time by as many threads."""
    gate = threading.Barrier(count)

    def run(index):
        gate.wait(timeout=20)
        return work(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def _count(app, query):
    with Session(app.extensions["store"].engine) as session:
        return session.scalar(query)


def _products(client):
    return [product["_id"] for product in client.get("/products").json["products"]]


def _order(app, headers, product_id):
    return app.test_client().post("/orders", json={"productId": product_id}, headers=headers)


def test_orders_placed_at_once_are_all_kept_and_counted_once(app, client, auth):
    product_id = _products(client)[0]

    def work(_index):
        return [_order(app, auth.headers, product_id).status_code for _ in range(10)]

    assert Counter(chain.from_iterable(_at_once(work))) == {201: THREADS * 10}
    listed = client.get("/orders?limit=100", headers=auth.headers).json["orders"]
    assert len({order["_id"] for order in listed}) == THREADS * 10
    assert _count(app, select(func.count()).select_from(Order)) == THREADS * 10


@pytest.mark.parametrize("attempt", range(3))
def test_one_address_signs_up_once(app, attempt):
    def work(index):
        email = "Ada@example.com" if index % 2 else "ada@example.com"
        body = {"email": email, "password": PASSWORD}
        return app.test_client().post("/user/signup", json=body).status_code

    assert Counter(_at_once(work)) == {201: 1, 409: THREADS - 1}
    assert _count(app, select(func.count()).select_from(User)) == 1


def test_a_product_deleted_while_it_is_ordered_leaves_no_order_of_nothing(app, client, admin):
    """Each order came before the deletion, and shows no product now, or was refused."""
    for product_id in _products(client):

        def work(index, product_id=product_id):
            if index == 0:
                answer = app.test_client().delete(f"/products/{product_id}", headers=admin.headers)
                assert answer.status_code == 200, answer.text
                return []
            return [_order(app, admin.headers, product_id).status_code for _ in range(5)]

        outcomes = Counter(chain.from_iterable(_at_once(work)))
        assert set(outcomes) <= {201, 404}, outcomes
    dangling = select(func.count()).where(
        Order.product_id.is_not(None), Order.product_id.not_in(select(Product.id))
    )
    assert _count(app, dangling) == 0
    assert _count(app, select(func.count()).select_from(Product)) == 0


def test_a_user_deleted_while_ordering_leaves_no_order_of_nobody_known(app, client, auth):
    product_id = _products(client)[0]

    def work(index):
        if index == 0:
            answer = app.test_client().delete(f"/user/{auth.user_id()}", headers=auth.headers)
            assert answer.status_code == 200, answer.text
            return []
        return [_order(app, auth.headers, product_id).status_code for _ in range(5)]

    outcomes = Counter(chain.from_iterable(_at_once(work)))
    assert set(outcomes) <= {201, 401}, outcomes
    dangling = select(func.count()).where(
        Order.user_id.is_not(None), Order.user_id.not_in(select(User.id))
    )
    assert _count(app, dangling) == 0


def test_one_of_two_that_delete_the_same_is_told_it_was_gone(app, client, admin):
    product_id = _products(client)[0]

    def work(_index):
        client = app.test_client()
        return client.delete(f"/products/{product_id}", headers=admin.headers).status_code

    assert Counter(_at_once(work)) == {200: 1, 404: THREADS - 1}
