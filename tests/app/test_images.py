from concurrent.futures import ThreadPoolExecutor

import pytest

from app.errors import Invalid, TooLarge
from app.images import IMAGE_LIMIT_BYTES, PLACEHOLDER_PNG, ImageDirectory

JPEG = b"\xff\xd8\xff\xe0 and the rest"


def test_saving_twice_is_saving_once(tmp_path):
    images = ImageDirectory(tmp_path / "new")
    with ThreadPoolExecutor(4) as pool:
        addresses = set(pool.map(images.save, [PLACEHOLDER_PNG] * 20))
    assert len(addresses) == 1
    assert [f"uploads/{path.name}" for path in images.directory.iterdir()] == list(addresses)


def test_the_type_is_told_by_content(tmp_path):
    images = ImageDirectory(tmp_path)
    assert images.save(PLACEHOLDER_PNG).endswith(".png")
    assert images.save(JPEG).endswith(".jpg")
    for content in (b"", b"GIF89a", b"<svg/>", b"<html>"):
        with pytest.raises(Invalid):
            images.save(content)


def test_the_limit_is_inclusive(tmp_path):
    images = ImageDirectory(tmp_path)
    images.save(JPEG.ljust(IMAGE_LIMIT_BYTES, b"\0"))
    with pytest.raises(TooLarge):
        images.save(JPEG.ljust(IMAGE_LIMIT_BYTES + 1, b"\0"))


@pytest.mark.parametrize("name", ["none.png", "..%2fshop.db", "%2e%2e/shop.db", ".."])
def test_nothing_else_is_served(client, name):
    answer = client.get(f"/uploads/{name}")
    assert (answer.status_code, answer.json) == (404, {"error": {"message": "Not found"}})
