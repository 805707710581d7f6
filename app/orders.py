"""Orders: list, place, show, delete. All need a token."""

from typing import Any

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from app.auth import login_required
from app.errors import NotFound
from app.payload import read_fields, whole_number
from app.products import price_json
from app.store import Order, Product, find, session

bp = Blueprint("orders", __name__, url_prefix="/orders")


@bp.get("")
@login_required
def index() -> ResponseReturnValue:
    orders = session().scalars(select(Order).options(joinedload(Order.product)).order_by(Order.id))
    listed = [
        {
            "_id": order.id,
            "product": order.product and {"_id": order.product.id, "name": order.product.name},
            "quantity": order.quantity,
            "request": _link_to(order.id),
        }
        for order in orders
    ]
    return {"count": len(listed), "orders": listed}


@bp.post("")
@login_required
def create() -> ResponseReturnValue:
    fields = read_fields()
    quantity = whole_number("quantity", fields.get("quantity", 1), low=1, high=1_000_000)
    product = find(Product, fields.get("productId"))
    if product is None:
        raise NotFound("Product not found")
    order = Order(product_id=product.id, quantity=quantity)
    session().add(order)
    try:
        session().commit()
    except IntegrityError:  # deleted since it was looked up
        raise NotFound("Product not found") from None
    return {
        "message": "Order stored",
        "createdOrder": {"_id": order.id, "product": order.product_id, "quantity": quantity},
        "request": _link_to(order.id),
    }, 201


@bp.get("/<order_id>")
@login_required
def show(order_id: str) -> ResponseReturnValue:
    order = find(Order, order_id)
    if order is None:
        raise NotFound("Order not found")
    return {
        "order": {
            "_id": order.id,
            "product": order.product and _whole(order.product),
            "quantity": order.quantity,
            "__v": 0,
        },
        "request": {"type": "GET", "url": url_for("orders.index", _external=True)},
    }


@bp.delete("/<order_id>")
@login_required
def remove(order_id: str) -> ResponseReturnValue:
    removed = session().execute(delete(Order).where(Order.id == order_id).returning(Order.id))
    if removed.first() is None:
        raise NotFound("Order not found")
    session().commit()
    return {
        "message": "Order deleted",
        "request": {
            "type": "POST",
            "url": url_for("orders.index", _external=True),
            "body": {"productId": "ID", "quantity": "Number"},
        },
    }


def _whole(product: Product) -> dict[str, Any]:
    """The product with every field; `__v` is a revision number that clients may expect."""
    return {
        "_id": product.id,
        "name": product.name,
        "price": price_json(product),
        "productImage": product.image,
        "__v": 0,
    }


def _link_to(order_id: str) -> dict[str, Any]:
    return {"type": "GET", "url": url_for("orders.show", order_id=order_id, _external=True)}
