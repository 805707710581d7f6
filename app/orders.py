"""Orders: list, place, show, delete.

An order belongs to the user who placed it; others are told there is none. An
admin sees and deletes all.
"""

from flask import Blueprint, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import joinedload

from app import answers
from app.auth import ADMIN, current_user, may_change, require_user_still
from app.bodies import NewOrder, Page
from app.errors import NotFound
from app.operation import operation
from app.paging import page_of, with_next_page
from app.products import price_json
from app.store import Order, Product, find, session

bp = Blueprint("orders", __name__, url_prefix="/orders")


@bp.get("")
@operation("List one's orders, oldest first", answers.OrderList, login=True, query=Page)
def index(query: Page) -> ResponseReturnValue:
    visible = select(Order).options(joinedload(Order.product))
    user = current_user()
    if user.role != ADMIN:
        visible = visible.where(Order.user_id == user.id)
    address = _address()
    listed: list[answers.ListedOrder] = [
        {
            "_id": order.id,
            "product": {"_id": order.product.id, "name": order.product.name}
            if order.product
            else None,
            "quantity": order.quantity,
            "request": {"type": "GET", "url": f"{address}/{order.id}"},
        }
        for order in session().scalars(page_of(visible, Order.id, query))
    ]
    answer: answers.OrderList = {"count": len(listed), "orders": listed}
    return with_next_page(answer, query, [order["_id"] for order in listed])


@bp.post("")
@operation(
    "Place an order",
    answers.OrderCreated,
    status=201,
    login=True,
    body=NewOrder,
    errors=(NotFound,),
)
def create(body: NewOrder) -> ResponseReturnValue:
    product = find(Product, body.product_id)
    if product is None:
        raise NotFound("Product not found")
    order = Order(product_id=product.id, quantity=body.quantity, user_id=current_user().id)
    session().add(order)
    try:
        session().commit()
    except IntegrityError:  # the product or the user was deleted since it was looked up
        session().rollback()
        require_user_still()
        raise NotFound("Product not found") from None
    answer: answers.OrderCreated = {
        "message": "Order stored",
        "createdOrder": {"_id": order.id, "product": product.id, "quantity": body.quantity},
        "request": {"type": "GET", "url": f"{_address()}/{order.id}"},
    }
    return answer, 201


@bp.get("/<order_id>")
@operation("Show an order", answers.OrderShown, login=True, errors=(NotFound,))
def show(order_id: str) -> ResponseReturnValue:
    order = _own(order_id)
    answer: answers.OrderShown = {
        "order": {
            "_id": order.id,
            "product": _whole(order.product) if order.product else None,
            "__v": 0,
            "quantity": order.quantity,
        },
        "request": {"type": "GET", "url": _address()},
    }
    return answer


@bp.delete("/<order_id>")
@operation("Delete an order", answers.OrderDeleted, login=True, errors=(NotFound,))
def remove(order_id: str) -> ResponseReturnValue:
    order = _own(order_id)
    removed = session().execute(delete(Order).where(Order.id == order.id).returning(Order.id))
    if removed.first() is None:  # deleted since it was looked up
        raise NotFound("Order not found")
    session().commit()
    answer: answers.OrderDeleted = {
        "message": "Order deleted",
        "request": {
            "type": "POST",
            "url": _address(),
            "body": {"productId": "ID", "quantity": "Number"},
        },
    }
    return answer


def _address() -> str:
    return url_for("orders.index", _external=True)


def _own(order_id: str) -> Order:
    order = find(Order, order_id)
    if order is None or not may_change(order.user_id):
        raise NotFound("Order not found")
    return order


def _whole(product: Product) -> answers.WholeProduct:
    return {
        "_id": product.id,
        "name": product.name,
        "price": price_json(product.price),
        "productImage": product.image,
        "__v": 0,
    }
