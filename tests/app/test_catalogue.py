import subprocess
import sys

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.catalogue import seed, seed_product
from app.database import Store
from app.images import PLACEHOLDER_PNG, Images
from app.schema import migrate
from app.store import Product, new_id

PREPARE = """
import sys, time
from pathlib import Path
from app.config import Config
from app.start import prepare
config = Config(jwt_key="k" * 32, store_url=sys.argv[1], upload_dir=Path(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
prepare(config)
"""


@pytest.fixture
def store(store_url):
    store = Store(store_url)
    migrate(store)
    yield store
    store.close()


@pytest.fixture
def images(tmp_path):
    return Images(tmp_path / "uploads")


def _products(store):
    with Session(store.engine) as session:
        return session.scalars(select(Product).order_by(Product.id)).all()


def test_the_catalogue_is_the_same_everywhere_and_realistic():
    products = [seed_product(index, "uploads/x.png") for index in range(1980)]
    assert products[0].name == "Oak desk lamp, natural"
    assert products[0].id == "659200800000000000000000"
    assert len({product.name for product in products}) == len(products)
    assert [product.id for product in products] == sorted({product.id for product in products})
    assert all(10 < product.price < 600 for product in products)
    assert all(round(product.price, 2) == product.price for product in products)
    assert products[-1].id < new_id()


def test_seed_adds_once(store, images):
    assert seed(store, images, 5) == 5
    assert seed(store, images, 5) == 0
    products = _products(store)
    assert [product.name for product in products] == [
        seed_product(index, "").name for index in range(5)
    ]
    assert images.load(products[0].image.removeprefix("uploads/")) == PLACEHOLDER_PNG


def test_seed_grows_but_never_brings_back_or_removes(store, images):
    seed(store, images, 5)
    with Session(store.engine) as session:
        session.execute(delete(Product).where(Product.id == seed_product(0, "").id))
        session.commit()
    assert seed(store, images, 8) == 3
    assert len(_products(store)) == 7
    assert seed(store, images, 2) == 0
    assert len(_products(store)) == 7


def test_an_empty_catalogue_needs_no_image(store, images, tmp_path):
    assert seed(store, images, 0) == 0
    assert not (tmp_path / "uploads").exists()


def test_tasks_that_start_at_once_on_one_store_make_and_seed_it_once(store_url, tmp_path):
    command = [sys.executable, "-c", PREPARE, store_url, str(tmp_path / "uploads")]
    tasks = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    for task in tasks:
        assert task.stdout.readline() == "ready\n"
    for task in tasks:
        task.stdin.write("\n")
        task.stdin.flush()
    outcomes = [(task.communicate(timeout=60)[1], task.returncode) for task in tasks]
    assert outcomes == [("", 0)] * len(tasks)
    store = Store(store_url)
    assert len(_products(store)) == 100
    store.close()
