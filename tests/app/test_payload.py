import pytest
from pydantic import RootModel

from app import payload
from app.bodies import Changes, NewOrder, NewProduct
from app.errors import Invalid, Malformed

JSON = "application/json"


class Anything(RootModel[object]):
    pass


@pytest.mark.parametrize(
    ("request_body", "expected"),
    [
        ({"json": {"a": 1}}, {"a": 1}),
        ({"json": [1]}, [1]),
        ({"data": {"a": "1"}}, {"a": "1"}),
        ({"data": b"", "content_type": JSON}, {}),
        ({}, {}),
    ],
)
def test_json_and_forms_are_read_alike(app, request_body, expected):
    with app.test_request_context(method="POST", **request_body):
        assert payload.read_body(Anything).root == expected


@pytest.mark.parametrize("raw", [b"{", b'"text"', b"null", b"\xff", b'{"a": NaN}', b"[" * 50_000])
def test_json_that_cannot_be_used_is_malformed(app, raw):
    with (
        app.test_request_context(method="POST", data=raw, content_type=JSON),
        pytest.raises(Malformed, match=r"^Malformed JSON: "),
    ):
        payload.read_body(Anything)


@pytest.mark.parametrize(
    ("model", "body", "told"),
    [
        (NewOrder, [1], "expected an object with named fields"),
        (Changes, {"name": "x"}, "expected a list of objects"),
        (NewOrder, {"quantity": 0}, "quantity: Input should be greater than or equal to 1"),
        (NewProduct, {}, "name: Field required; price: Field required"),
    ],
)
def test_what_is_wrong_is_told_with_its_name(app, model, body, told):
    with app.test_request_context(method="POST", json=body), pytest.raises(Invalid) as caught:
        payload.read_body(model)
    assert str(caught.value) == told


def test_a_password_is_not_told(app, client):
    secret = "s" * 257
    answer = client.post("/user/signup", json={"email": "nope", "password": secret})
    assert answer.status_code == 422
    assert secret[:20] not in answer.text
