"""Products: list, add, show, change, delete."""

from typing import Any

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import delete, select

from app.auth import login_required
from app.errors import Invalid, NotFound
from app.images import IMAGE_LIMIT_BYTES, current_images
from app.payload import BODY_LIMIT_BYTES, number, read_body, read_fields, text
from app.store import Product, find, session

_IMAGE_FIELD = "productImage"

bp = Blueprint("products", __name__, url_prefix="/products")


@bp.get("")
def index() -> ResponseReturnValue:
    products = session().scalars(select(Product).order_by(Product.id)).all()
    return {
        "count": len(products),
        "products": [
            {
                "name": product.name,
                "price": price_json(product),
                "productImage": product.image,
                "_id": product.id,
                "request": _link_to(product.id),
            }
            for product in products
        ],
    }


@bp.post("")
@login_required
def create() -> ResponseReturnValue:
    if request.mimetype == "multipart/form-data":
        request.max_content_length = IMAGE_LIMIT_BYTES + BODY_LIMIT_BYTES
    fields = read_fields()
    product = Product(name=_name(fields.get("name")), price=_price(fields.get("price")))
    product.image = _receive_image()
    session().add(product)
    session().commit()
    return {
        "message": "Created product successfully",
        "createdProduct": {
            "name": product.name,
            "price": price_json(product),
            "_id": product.id,
            "request": _link_to(product.id),
        },
    }, 201


@bp.get("/<product_id>")
def show(product_id: str) -> ResponseReturnValue:
    product = find(Product, product_id)
    if product is None:
        raise NotFound("No valid entry found for provided ID")
    return {
        "product": {
            "_id": product.id,
            "name": product.name,
            "price": price_json(product),
            "productImage": product.image,
        },
        "request": {"type": "GET", "url": url_for("products.index", _external=True)},
    }


@bp.patch("/<product_id>")
@login_required
def change(product_id: str) -> ResponseReturnValue:
    """Apply `[{"propName": name, "value": value}, ...]`; other names are ignored."""
    changes = read_body()
    if not isinstance(changes, list) or not all(isinstance(item, dict) for item in changes):
        raise Invalid('expected a list of {"propName": name, "value": value}')
    product = find(Product, product_id)
    if product is None:
        raise NotFound("No valid entry found for provided ID")
    for item in changes:
        match item.get("propName"):
            case "name":
                product.name = _name(item.get("value"))
            case "price":
                product.price = _price(item.get("value"))
    session().commit()
    return {"message": "Product updated", "request": _link_to(product_id)}


@bp.delete("/<product_id>")
@login_required
def remove(product_id: str) -> ResponseReturnValue:
    removed = session().execute(
        delete(Product).where(Product.id == product_id).returning(Product.id)
    )
    if removed.first() is None:
        raise NotFound("No valid entry found for provided ID")
    session().commit()
    return {
        "message": "Product deleted",
        "request": {
            "type": "POST",
            "url": url_for("products.index", _external=True),
            "body": {"name": "String", "price": "Number"},
        },
    }


def price_json(product: Product) -> float | int:
    """The price as JSON shows numbers elsewhere: 12, not 12.0."""
    return int(product.price) if product.price.is_integer() else product.price


def _link_to(product_id: str) -> dict[str, Any]:
    return {"type": "GET", "url": url_for("products.show", product_id=product_id, _external=True)}


def _name(value: object) -> str:
    return text("name", value, longest=200)


def _price(value: object) -> float:
    return number("price", value, low=0, high=1e9)


def _receive_image() -> str | None:
    """Save the image that came along, if any; return its address."""
    unexpected = set(request.files) - {_IMAGE_FIELD}
    if unexpected:
        raise Invalid(f"Unexpected field: send the image as {_IMAGE_FIELD}")
    file = request.files.get(_IMAGE_FIELD)
    # One byte more than allowed tells too large without reading it all.
    return current_images().save(file.read(IMAGE_LIMIT_BYTES + 1)) if file else None
