import re
from io import BytesIO

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from app.images import PLACEHOLDER_PNG

UNKNOWN = "5a1d2d000000000000000000"
NO_ENTRY = {"message": "No valid entry found for provided ID"}


def _create(client, auth, **values):
    body = {"name": "Book", "price": 12.99} | values
    return client.post("/products", json=body, headers=auth.headers)


@pytest.fixture
def product(client, auth):
    return _create(client, auth).json["createdProduct"]


def test_list(client):
    listing = client.get("/products").json
    assert listing["count"] == len(listing["products"]) == 3
    first = listing["products"][0]
    assert list(first) == ["name", "price", "productImage", "_id", "request"]
    assert first["request"] == {
        "type": "GET",
        "url": f"http://localhost/products/{first['_id']}",
    }


def test_new_products_come_last(client, auth):
    names = [f"p{index}" for index in range(5)]
    for name in names:
        _create(client, auth, name=name)
    assert [item["name"] for item in client.get("/products").json["products"]][-5:] == names


def test_create(client, auth):
    answer = _create(client, auth)
    assert answer.status_code == 201
    created = answer.json["createdProduct"]
    link = {"type": "GET", "url": f"http://localhost/products/{created['_id']}"}
    assert answer.json == {
        "message": "Created product successfully",
        "createdProduct": {
            "name": "Book",
            "price": 12.99,
            "_id": created["_id"],
            "request": link,
        },
    }


def test_create_from_a_form(client, auth):
    answer = client.post("/products", data={"name": "Book", "price": "12"}, headers=auth.headers)
    assert answer.status_code == 201
    assert b'"price":12,' in answer.data


def test_create_with_an_image(client, auth):
    form = {"name": "Book", "price": "1", "productImage": (BytesIO(PLACEHOLDER_PNG), "b c.png")}
    answer = client.post("/products", data=form, headers=auth.headers)
    assert answer.status_code == 201
    shown = client.get(answer.json["createdProduct"]["request"]["url"]).json["product"]
    with client.get(f"/{shown['productImage']}") as image:
        assert (image.status_code, image.data) == (200, PLACEHOLDER_PNG)
        assert image.content_type == "image/png"
        assert image.cache_control.immutable


@pytest.mark.parametrize("more_bytes", [0, 1])
def test_an_image_of_five_mib_is_the_largest(client, auth, more_bytes):
    content = PLACEHOLDER_PNG.ljust(5 * 1024 * 1024 + more_bytes, b"\0")
    form = {"name": "Book", "price": "1", "productImage": FileStorage(BytesIO(content), "b.png")}
    # Encoded here: the test client would leave its temporary file open.
    boundary, body = encode_multipart(form)
    answer = client.post(
        "/products",
        data=body,
        content_type=f"multipart/form-data; boundary={boundary}",
        headers=auth.headers,
    )
    if more_bytes:
        assert (answer.status_code, answer.json) == (413, {"error": {"message": "File too large"}})
    else:
        assert answer.status_code == 201
        shown = client.get(answer.json["createdProduct"]["request"]["url"]).json["product"]
        assert shown["productImage"].endswith(".png")


@pytest.mark.parametrize(
    ("field", "content"), [("productImage", b"GIF89a"), ("wrong", PLACEHOLDER_PNG)]
)
def test_another_file_is_refused_and_nothing_is_kept(client, auth, config, field, content):
    before = sorted(config.upload_dir.iterdir())
    form = {"name": "Book", "price": "1", field: (BytesIO(content), "b.png", "image/png")}
    assert client.post("/products", data=form, headers=auth.headers).status_code == 422
    assert client.get("/products").json["count"] == 3
    assert sorted(config.upload_dir.iterdir()) == before


@pytest.mark.parametrize(
    "values",
    [{"name": None}, {"name": ""}, {"price": "abc"}, {"price": -1}, {"price": None}],
)
def test_create_checks_values(client, auth, values):
    answer = _create(client, auth, **values)
    assert answer.status_code == 422
    assert next(iter(values)) in answer.json["error"]["message"]
    assert client.get("/products").json["count"] == 3


def test_show(client, product):
    answer = client.get(f"/products/{product['_id']}")
    assert answer.json == {
        "product": {
            "_id": product["_id"],
            "name": "Book",
            "price": 12.99,
            "productImage": None,
        },
        "request": {"type": "GET", "url": "http://localhost/products"},
    }


def test_an_image_is_optional(client, product):
    listed = client.get("/products").json["products"][-1]
    assert (listed["_id"], listed["productImage"]) == (product["_id"], None)


def test_change(client, auth, product):
    path = f"/products/{product['_id']}"
    changes = [
        {"propName": "name", "value": "Pen"},
        {"propName": "price", "value": 2},
        {"propName": "colour", "value": "red"},
    ]
    answer = client.patch(path, json=changes, headers=auth.headers)
    assert answer.json == {
        "message": "Product updated",
        "request": {"type": "GET", "url": f"http://localhost{path}"},
    }
    changed = client.get(path).json["product"]
    assert (changed["name"], changed["price"]) == ("Pen", 2)


def test_an_image_is_changed_to_one_that_is_kept(client, auth, product):
    path = f"/products/{product['_id']}"
    kept = client.get("/products").json["products"][0]["productImage"]
    for value, status in ((kept, 200), (f"uploads/{'0' * 32}.png", 404), ("/etc/passwd", 422)):
        changes = [{"propName": "productImage", "value": value}]
        assert client.patch(path, json=changes, headers=auth.headers).status_code == status
    assert client.get(path).json["product"]["productImage"] == kept


def test_change_of_nothing_is_fine(client, auth, product):
    answer = client.patch(f"/products/{product['_id']}", json=[], headers=auth.headers)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Pen"},
        [1],
        [{"propName": "name", "value": None}],
        [{"propName": "name", "value": "Pen"}, {"propName": "price", "value": "abc"}],
    ],
)
def test_a_bad_change_changes_nothing(client, auth, product, body):
    path = f"/products/{product['_id']}"
    assert client.patch(path, json=body, headers=auth.headers).status_code == 422
    assert client.get(path).json["product"]["name"] == "Book"


def test_delete(client, auth, product):
    path = f"/products/{product['_id']}"
    assert client.delete(path, headers=auth.headers).json == {
        "message": "Product deleted",
        "request": {
            "type": "POST",
            "url": "http://localhost/products",
            "body": {"name": "String", "price": "Number"},
        },
    }
    assert client.get(path).status_code == 404
    assert client.delete(path, headers=auth.headers).status_code == 404


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_product_is_changed_by_who_added_it_or_an_admin(
    client, auth, other, admin, product, method
):
    path = f"/products/{product['_id']}"
    for who, status in ((other, 403), (admin, 200)):
        answer = client.open(path, method=method, json=[], headers=who.headers)
        assert answer.status_code == status
    seeded = client.get("/products").json["products"][0]["_id"]
    answer = client.open(f"/products/{seeded}", method=method, json=[], headers=auth.headers)
    assert answer.status_code == 403
    assert list(answer.json["error"]) == ["message"]


def test_pages_stay_the_same_whatever_is_added(client, auth):
    whole = client.get("/products").json["products"]
    first = client.get("/products?limit=2")
    assert first.json == {"count": 2, "products": whole[:2]}
    _create(client, auth)
    following = re.fullmatch('<(.*)>; rel="next"', first.headers["Link"])[1]
    second = client.get(following)
    assert second.json["products"][0] == whole[2]
    assert second.json["count"] == 2
    rest = client.get(f"/products?limit=3&after={whole[2]['_id']}")
    assert rest.json["count"] == 1
    assert "Link" not in rest.headers


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=abc"])
def test_a_page_that_cannot_be_is_refused(client, query):
    answer = client.get(f"/products?{query}")
    assert answer.status_code == 422
    assert query.split("=")[0] in answer.json["error"]["message"]


@pytest.mark.parametrize("entry", [UNKNOWN, "abc"])
def test_an_unknown_product_is_not_found(client, auth, entry):
    path = f"/products/{entry}"
    for answer in (
        client.get(path),
        client.patch(path, json=[], headers=auth.headers),
        client.delete(path, headers=auth.headers),
    ):
        assert (answer.status_code, answer.json) == (404, NO_ENTRY)
