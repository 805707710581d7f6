"""The bodies of the answers, as types.

The views build them, mypy checks that they are built so, and the OpenAPI document
(`openapi.py`) describes them: one definition, and nothing to pay for per request.
"""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict

ID_PATTERN = r"^[0-9a-f]{24}$"
Id = Annotated[str, Field(pattern=ID_PATTERN, description="24 hex digits, by age")]


class Outcome(TypedDict):
    """What happened."""

    message: str


class ErrorText(TypedDict):
    message: str


class ErrorAnswer(TypedDict):
    """What went wrong."""

    error: ErrorText


class Link(TypedDict):
    """Where to read on."""

    type: Literal["GET"]
    url: str


class ListedProduct(TypedDict):
    name: str
    price: float
    productImage: str | None
    _id: Id
    request: Link


class ProductList(TypedDict):
    """`count` products; all of them unless a page was asked for."""

    count: int
    products: list[ListedProduct]


class CreatedProduct(TypedDict):
    name: str
    price: float
    _id: Id
    request: Link


class ProductCreated(TypedDict):
    message: Literal["Created product successfully"]
    createdProduct: CreatedProduct


class Product(TypedDict):
    _id: Id
    name: str
    price: float
    productImage: str | None


class ProductShown(TypedDict):
    product: Product
    request: Link


class ProductUpdated(TypedDict):
    message: Literal["Product updated"]
    request: Link


class ProductFields(TypedDict):
    name: Literal["String"]
    price: Literal["Number"]


class ProductInvitation(TypedDict):
    """How to add another."""

    type: Literal["POST"]
    url: str
    body: ProductFields


class ProductDeleted(TypedDict):
    message: Literal["Product deleted"]
    request: ProductInvitation


class NamedProduct(TypedDict):
    _id: Id
    name: str


class ListedOrder(TypedDict):
    _id: Id
    product: NamedProduct | None
    quantity: int
    request: Link


class OrderList(TypedDict):
    """`count` orders; all that one may see unless a page was asked for."""

    count: int
    orders: list[ListedOrder]


class CreatedOrder(TypedDict):
    _id: Id
    product: Id
    quantity: int


class OrderCreated(TypedDict):
    message: Literal["Order stored"]
    createdOrder: CreatedOrder
    request: Link


# `__v` is a revision number that clients may expect: always 0.
WholeProduct = TypedDict(
    "WholeProduct",
    {
        "_id": Id,
        "name": str,
        "price": float,
        "productImage": str | None,
        "__v": Literal[0],
    },
)

Order = TypedDict(
    "Order",
    {"_id": Id, "product": WholeProduct | None, "__v": Literal[0], "quantity": int},
)


class OrderShown(TypedDict):
    order: Order
    request: Link


class OrderFields(TypedDict):
    productId: Literal["ID"]
    quantity: Literal["Number"]


class OrderInvitation(TypedDict):
    """How to place another."""

    type: Literal["POST"]
    url: str
    body: OrderFields


class OrderDeleted(TypedDict):
    message: Literal["Order deleted"]
    request: OrderInvitation


class LoggedIn(TypedDict):
    message: Literal["Auth successful"]
    token: str


class Live(TypedDict):
    status: Literal["ok"]
    version: str


class Ready(TypedDict):
    status: Literal["ready"]
