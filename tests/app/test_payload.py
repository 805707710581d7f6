import pytest

from app import payload
from app.errors import Invalid, Malformed

JSON = "application/json"


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
        assert payload.read_body() == expected


@pytest.mark.parametrize("raw", [b"{", b'"text"', b"null", b"\xff", b"[" * 50_000])
def test_json_that_cannot_be_used_is_malformed(app, raw):
    with (
        app.test_request_context(method="POST", data=raw, content_type=JSON),
        pytest.raises(Malformed, match=r"^Malformed JSON: "),
    ):
        payload.read_body()


def test_fields_need_an_object(app):
    with app.test_request_context(method="POST", json=[1]), pytest.raises(Invalid):
        payload.read_fields()


@pytest.mark.parametrize(("value", "expected"), [("Lamp", "Lamp"), (12.5, "12.5"), (" a ", " a ")])
def test_text(value, expected):
    assert payload.text("name", value, longest=5) == expected


@pytest.mark.parametrize("value", [None, "", "  ", True, [], "123456", "a\x00", "\udfff"])
def test_text_refuses(value):
    with pytest.raises(Invalid, match=r"^name "):
        payload.text("name", value, longest=5)


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 1.0), ("12.99", 12.99), (0, 0.0), (100, 100.0)]
)
def test_number(value, expected):
    assert payload.number("price", value, low=0, high=100) == expected


@pytest.mark.parametrize(
    "value", [None, "abc", "", True, -0.01, 100.01, "nan", float("inf"), 10**400, "1_0", [1]]
)
def test_number_refuses(value):
    with pytest.raises(Invalid, match=r"^price must be a number from 0 to 100$"):
        payload.number("price", value, low=0, high=100)


def test_whole_number():
    assert payload.whole_number("quantity", "3", low=1, high=9) == 3
    with pytest.raises(Invalid, match=r"^quantity must be a whole number$"):
        payload.whole_number("quantity", 2.5, low=1, high=9)
