"""The products a fresh store starts with: the same ones, in the same order, everywhere."""

from app.database import Store
from app.images import PLACEHOLDER_PNG, Images
from app.store import CatalogueSeed, Product

_GOODS = (  # with a usual price
    ("desk lamp", 49.0),
    ("bookshelf", 189.0),
    ("coffee table", 229.0),
    ("dining chair", 119.0),
    ("side table", 79.0),
    ("picture frame", 19.0),
    ("wall clock", 39.0),
    ("storage box", 24.0),
    ("plant stand", 34.0),
    ("serving tray", 29.0),
    ("cutting board", 32.0),
    ("fruit bowl", 27.0),
    ("candle holder", 16.0),
    ("coat rack", 89.0),
    ("bedside table", 99.0),
    ("writing desk", 349.0),
    ("bar stool", 139.0),
    ("shoe rack", 59.0),
    ("magazine holder", 22.0),
    ("umbrella stand", 45.0),
)
_MATERIALS = ("Oak", "Walnut", "Ash", "Beech", "Birch", "Cherry", "Maple", "Pine", "Elm")
_FINISHES = (
    "natural",
    "oiled",
    "waxed",
    "white",
    "black",
    "smoked",
    "grey",
    "sage green",
    "navy blue",
    "terracotta",
    "mustard yellow",
)
# Ids of the form `store.new_id` gives, from 2024-01-01 on: older than any other product.
_FIRST_SECOND = 1_704_067_200


def seed(store: Store, images: Images, products: int) -> int:
    """Bring the store's seed up to that many products; return how many were added.

    Each seed product is added once in the life of a store: one that was deleted
    or changed stays so, and a smaller number removes nothing. Safe when several
    tasks start on one store at once.
    """
    with store.exclusive() as session:
        done = session.get(CatalogueSeed, 1)
        if done is None:
            done = CatalogueSeed(id=1, products=0)
            session.add(done)
        added = range(done.products, products)
        if added:
            image = images.save(PLACEHOLDER_PNG)
            session.add_all(seed_product(index, image) for index in added)
            done.products = products
    return len(added)


def seed_product(index: int, image: str) -> Product:
    """The seed product of that index, from 0; names repeat after 1,980 products."""
    round_number, good = divmod(index, len(_GOODS))
    name, usual_price = _GOODS[good]
    # Lengths without a common factor, so every pair of them comes up.
    material = round_number % len(_MATERIALS)
    finish = round_number % len(_FINISHES)
    return Product(
        id=f"{_FIRST_SECOND + index:08x}{index:016x}",
        name=f"{_MATERIALS[material]} {name}, {_FINISHES[finish]}",
        price=round(usual_price * (0.85 + 0.05 * material + 0.02 * finish)) - 0.05,
        image=image,
    )
