"""The bodies of the requests: what is accepted, and how OpenAPI describes it.

JSON and forms are accepted alike, so numbers may come as text and names as
numbers. What no store could keep is refused.
"""

import re
from typing import Annotated, Any, Literal, Self, TypeGuard

from pydantic import (
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    RootModel,
    StrictStr,
    Tag,
    WithJsonSchema,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from app.answers import ID_PATTERN, Id

PRICE_MAX = 1_000_000_000
QUANTITY_MAX = 1_000_000

# The original's expression, anchored: there, anything that contains an address passes.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_EMAIL = rf"^{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+{_LABEL}$"
# As JavaScript and Python write numbers in this range, so with small exponents too.
_DECIMAL = (
    r"^(?:(?:[0-9]{1,9}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:e-[0-9]{1,3})?|1000000000(?:\.0*)?)$"
)
_WHOLE = r"^(?:[1-9][0-9]{0,5}|1000000)(?:\.0+)?$"
_NOT_BLANK = r"^[^\x00]*[^\x00\s][^\x00]*$"
_NO_NUL = r"^[^\x00]*$"


def is_email(value: object) -> TypeGuard[str]:
    """Whether a user could have signed up with it."""
    return isinstance(value, str) and re.fullmatch(_EMAIL, value) is not None


class _Also:
    """Tells the JSON schema of values that are taken besides those of the type."""

    def __init__(self, **schema: Any) -> None:
        self.schema = schema

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(core), self.schema]}


def _text_of_number(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value


def _number_from(pattern: str) -> BeforeValidator:
    """Text is a number when it matches; pydantic alone takes more, truth values too."""

    def check(value: object) -> object:
        if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(pattern, value)):
            raise ValueError("is not a number in range")
        return value

    return BeforeValidator(check)


Name = Annotated[
    str,
    Field(min_length=1, max_length=200, pattern=_NOT_BLANK),
    BeforeValidator(_text_of_number),
    _Also(type="number"),
]
Price = Annotated[
    float,
    Field(ge=0, le=PRICE_MAX, allow_inf_nan=False),
    _number_from(_DECIMAL),
    _Also(type="string", pattern=_DECIMAL),
]
Quantity = Annotated[
    int,
    Field(ge=1, le=QUANTITY_MAX),
    _number_from(_WHOLE),
    _Also(type="string", pattern=_WHOLE),
]
Email = Annotated[str, Field(max_length=254, pattern=_EMAIL)]
Password = Annotated[StrictStr, Field(min_length=8, max_length=256, pattern=_NO_NUL)]


class NewProduct(BaseModel):
    """A product to add."""

    name: Name
    price: Price


_CHANGES = ("name", "price", "productImage")


class NameChange(BaseModel):
    property: Annotated[Literal["name"], Field(alias="propName")]
    value: Name


class PriceChange(BaseModel):
    property: Annotated[Literal["price"], Field(alias="propName")]
    value: Price


class ImageChange(BaseModel):
    """Another image; it must have come with a product before."""

    property: Annotated[Literal["productImage"], Field(alias="propName")]
    value: Annotated[str, Field(pattern=r"^uploads/[0-9a-f]{32}\.(?:jpg|png)$")]


class IgnoredChange(BaseModel):
    """A property that products do not have."""

    property: Annotated[
        Any,
        Field(alias="propName"),
        WithJsonSchema({"type": "string", "not": {"enum": [*_CHANGES]}}),
    ] = None
    value: Any = None


def _kind_of_change(value: object) -> str:
    name = value.get("propName") if isinstance(value, dict) else None
    return name if name in _CHANGES else "other"


class Changes(
    RootModel[
        list[
            Annotated[
                Annotated[NameChange, Tag("name")]
                | Annotated[PriceChange, Tag("price")]
                | Annotated[ImageChange, Tag("productImage")]
                | Annotated[IgnoredChange, Tag("other")],
                Discriminator(_kind_of_change),
            ]
        ]
    ]
):
    """Changes of a product, applied in order."""


class NewOrder(BaseModel):
    """An order to place. A product that is not there, or not named, is not found."""

    product_id: Annotated[
        Any,
        Field(alias="productId"),
        WithJsonSchema({"type": "string", "pattern": ID_PATTERN}),
    ] = None
    quantity: Quantity = 1


class NewUser(BaseModel):
    """A user to sign up: 8 to 256 characters of any kind, but not the address itself."""

    email: Email
    password: Password

    @model_validator(mode="after")
    def _password_is_not_the_address(self) -> Self:
        if self.password.lower() == self.email.lower():
            raise ValueError("password must not be the email")
        return self


class Credentials(BaseModel):
    """Whatever is wrong with them, the answer is the same."""

    email: Annotated[Any, WithJsonSchema({"type": "string"})] = None
    password: Annotated[Any, WithJsonSchema({"type": "string"})] = None


class Page(BaseModel):
    """A part of a list, oldest first; without `limit` and `after` the list is whole."""

    limit: Annotated[int, Field(ge=1, le=1000)] | None = None
    after: Id | None = None
