"""Products: list, add, show, change, delete.

Whoever is signed up adds products, and changes and deletes those; an admin all.
"""

from flask import Blueprint, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from app import answers
from app.auth import current_user, may_change, require_user_still
from app.bodies import Changes, ImageChange, NameChange, NewProduct, Page, PriceChange
from app.errors import Forbidden, Invalid, NotFound
from app.images import IMAGE_LIMIT_BYTES, current_images
from app.operation import operation
from app.paging import page_of, with_next_page
from app.store import Product, find, session

_IMAGE_FIELD = "productImage"

bp = Blueprint("products", __name__, url_prefix="/products")


@bp.get("")
@operation("List the products, oldest first", answers.ProductList, query=Page)
def index(query: Page) -> ResponseReturnValue:
    # Columns, not entities, and one address to start from: this is the busiest route.
    columns = select(Product.name, Product.price, Product.image, Product.id)
    rows = session().execute(page_of(columns, Product.id, query)).all()
    address = _address()
    listed: list[answers.ListedProduct] = [
        {
            "name": name,
            "price": price_json(price),
            "productImage": image,
            "_id": product_id,
            "request": {"type": "GET", "url": f"{address}/{product_id}"},
        }
        for name, price, image, product_id in rows
    ]
    answer: answers.ProductList = {"count": len(listed), "products": listed}
    return with_next_page(answer, query, [product["_id"] for product in listed])


@bp.post("")
@operation(
    "Add a product, with its image when sent as a multipart form",
    answers.ProductCreated,
    status=201,
    login=True,
    body=NewProduct,
    upload=_IMAGE_FIELD,
    upload_limit_bytes=IMAGE_LIMIT_BYTES,
)
def create(body: NewProduct) -> ResponseReturnValue:
    product = Product(
        name=body.name, price=body.price, image=_receive_image(), owner_id=current_user().id
    )
    session().add(product)
    try:
        session().commit()
    except IntegrityError:
        session().rollback()
        require_user_still()
        raise
    answer: answers.ProductCreated = {
        "message": "Created product successfully",
        "createdProduct": {
            "name": body.name,
            "price": price_json(body.price),
            "_id": product.id,
            "request": _link_to(product.id),
        },
    }
    return answer, 201


@bp.get("/<product_id>")
@operation("Show a product", answers.ProductShown, errors=(NotFound,))
def show(product_id: str) -> ResponseReturnValue:
    product = _found(product_id)
    answer: answers.ProductShown = {
        "product": {
            "_id": product.id,
            "name": product.name,
            "price": price_json(product.price),
            "productImage": product.image,
        },
        "request": {"type": "GET", "url": _address()},
    }
    return answer


@bp.patch("/<product_id>")
@operation(
    "Change a product; properties that products do not have are ignored",
    answers.ProductUpdated,
    login=True,
    body=Changes,
    errors=(Forbidden, NotFound),
)
def change(product_id: str, body: Changes) -> ResponseReturnValue:
    product = _own(product_id)
    for item in body.root:
        if isinstance(item, NameChange):
            product.name = item.value
        elif isinstance(item, PriceChange):
            product.price = item.value
        elif isinstance(item, ImageChange):
            product.image = _kept_image(item.value)
    session().commit()
    answer: answers.ProductUpdated = {
        "message": "Product updated",
        "request": _link_to(product_id),
    }
    return answer


@bp.delete("/<product_id>")
@operation("Delete a product", answers.ProductDeleted, login=True, errors=(Forbidden, NotFound))
def remove(product_id: str) -> ResponseReturnValue:
    product = _own(product_id)
    removed = session().execute(
        delete(Product).where(Product.id == product.id).returning(Product.id)
    )
    if removed.first() is None:  # deleted since it was looked up
        raise _no_entry()
    session().commit()
    answer: answers.ProductDeleted = {
        "message": "Product deleted",
        "request": {
            "type": "POST",
            "url": _address(),
            "body": {"name": "String", "price": "Number"},
        },
    }
    return answer


def price_json(price: float) -> float | int:
    """The price as JSON shows numbers elsewhere: 12, not 12.0."""
    return int(price) if price.is_integer() else price


def _address() -> str:
    return url_for("products.index", _external=True)


def _link_to(product_id: str) -> answers.Link:
    return {"type": "GET", "url": f"{_address()}/{product_id}"}


def _no_entry() -> NotFound:
    return NotFound("No valid entry found for provided ID")


def _found(product_id: str) -> Product:
    product = find(Product, product_id)
    if product is None:
        raise _no_entry()
    return product


def _own(product_id: str) -> Product:
    product = _found(product_id)
    if not may_change(product.owner_id):
        raise Forbidden("Only who added the product, or an admin, may do this")
    return product


def _receive_image() -> str | None:
    """Save the image that came along, if any; return its address."""
    unexpected = set(request.files) - {_IMAGE_FIELD}
    if unexpected:
        raise Invalid(f"Unexpected field: send the image as {_IMAGE_FIELD}")
    file = request.files.get(_IMAGE_FIELD)
    # One byte more than allowed tells too large without reading it all.
    return current_images().save(file.read(IMAGE_LIMIT_BYTES + 1)) if file else None


def _kept_image(address: str) -> str:
    if current_images().load(address.rpartition("/")[2]) is None:
        raise NotFound("Image not found")
    return address
