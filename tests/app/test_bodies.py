import pytest
from pydantic import TypeAdapter, ValidationError

from app import bodies

NAME = TypeAdapter(bodies.Name)
PRICE = TypeAdapter(bodies.Price)
QUANTITY = TypeAdapter(bodies.Quantity)


@pytest.mark.parametrize(("value", "expected"), [("Lamp", "Lamp"), (12.5, "12.5"), (" a ", " a ")])
def test_a_name_may_be_a_number(value, expected):
    assert NAME.validate_python(value) == expected


@pytest.mark.parametrize("value", [None, "", "  ", True, [], "x" * 201, "a\x00", "\udfff"])
def test_what_is_no_name(value):
    with pytest.raises(ValidationError):
        NAME.validate_python(value)


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 1.0), ("12.99", 12.99), (".5", 0.5), (0, 0.0), (1e9, 1e9)]
)
def test_a_price_may_be_text(value, expected):
    assert PRICE.validate_python(value) == expected


@pytest.mark.parametrize(
    "value",
    [None, "abc", "", True, -0.01, 1e9 + 1, "nan", "٣", float("inf"), 10**400, "1_0", "1\n", [1]],
    ids=lambda value: str(value)[:9],
)
def test_what_is_no_price(value):
    with pytest.raises(ValidationError):
        PRICE.validate_python(value)


@pytest.mark.parametrize(("value", "expected"), [(3, 3), ("3", 3), (2.0, 2), ("1000000", 10**6)])
def test_a_quantity_is_whole(value, expected):
    assert QUANTITY.validate_python(value) == expected


@pytest.mark.parametrize("value", [0, -3, 2.5, "0", "2.5", 1_000_001, None, True])
def test_what_is_no_quantity(value):
    with pytest.raises(ValidationError):
        QUANTITY.validate_python(value)


@pytest.mark.parametrize("address", ["a@b.co", "A.b+c@x-y.example", "o'neil@example.com"])
def test_addresses(address):
    assert bodies.is_email(address)


@pytest.mark.parametrize(
    "address", ["nope", "<x>a@b.co junk", "a@b", "a@-b.co", "a@b.co\n", "a\x00@b.co", ".a@b.co", 7]
)
def test_what_is_no_address(address):
    assert not bodies.is_email(address)


def test_other_properties_are_ignored():
    changes = bodies.Changes.model_validate([{"propName": "colour", "value": []}, {}])
    assert [type(change) for change in changes.root] == [bodies.IgnoredChange] * 2
