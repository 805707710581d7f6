"""Images in a folder and in a bucket: the same outcomes from both."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import boto3
import pytest

from app import create_app, start
from app.errors import Invalid, StartError, TooLarge
from app.images import IMAGE_LIMIT_BYTES, PLACEHOLDER_PNG, Images

JPEG = b"\xff\xd8\xff\xe0 and the rest"


@pytest.fixture(scope="session")
def s3():
    """Address of an S3 of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "ministack"],
        env=os.environ | {"GATEWAY_PORT": str(port), "SERVICES": "s3"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline_s = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{address}/_ministack/health", timeout=1).close()
                break
            except OSError:
                assert server.poll() is None, "S3 ended while starting"
                assert time.monotonic() < deadline_s, "S3 did not answer in 30 s"
                time.sleep(0.05)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


@pytest.fixture
def bucket(s3, monkeypatch):
    """Name of a new bucket, with the environment that leads to it."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    name = f"images-{uuid.uuid4().hex}"
    boto3.client("s3", region_name="eu-west-1").create_bucket(
        Bucket=name, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
    )
    return name


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.e2e)])
def place(request, tmp_path):
    """What of a configuration names the place."""
    if request.param == "folder":
        return {"upload_dir": tmp_path / "new" / "images"}
    return {"image_bucket": request.getfixturevalue("bucket"), "upload_dir": tmp_path / "unused"}


@pytest.fixture
def images(place):
    return Images(place["upload_dir"], place.get("image_bucket"))


@pytest.fixture
def client(config, place):
    config = replace(config, **place)
    start.prepare(config)
    application = create_app(config)
    yield application.test_client()
    application.extensions["store"].close()


def test_saving_twice_is_saving_once(images):
    with ThreadPoolExecutor(4) as pool:
        addresses = set(pool.map(images.save, [PLACEHOLDER_PNG] * 20))
    assert len(addresses) == 1
    assert images.load(addresses.pop().removeprefix("uploads/")) == PLACEHOLDER_PNG


def test_what_was_never_saved_is_not_there(images):
    assert images.load("0" * 32 + ".png") is None


def test_the_type_is_told_by_content(images):
    assert images.save(PLACEHOLDER_PNG).endswith(".png")
    assert images.save(JPEG).endswith(".jpg")
    for content in (b"", b"GIF89a", b"<svg/>", b"<html>"):
        with pytest.raises(Invalid):
            images.save(content)


def test_the_limit_is_inclusive(images):
    images.save(JPEG.ljust(IMAGE_LIMIT_BYTES, b"\0"))
    with pytest.raises(TooLarge):
        images.save(JPEG.ljust(IMAGE_LIMIT_BYTES + 1, b"\0"))


@pytest.mark.e2e
def test_a_bucket_is_told_the_type(bucket, tmp_path):
    name = Images(tmp_path, bucket).save(JPEG).removeprefix("uploads/")
    kept = boto3.client("s3", region_name="eu-west-1").head_object(Bucket=bucket, Key=name)
    assert kept["ContentType"] == "image/jpeg"
    assert not list(tmp_path.iterdir())


def _seeded_image(client):
    return "/" + client.get("/products").json["products"][0]["productImage"]


def test_an_image_is_served_with_its_type_and_may_be_kept_for_ever(client):
    answer = client.get(_seeded_image(client))
    assert (answer.status_code, answer.data) == (200, PLACEHOLDER_PNG)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    again = client.get(_seeded_image(client), headers={"If-None-Match": answer.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == answer.headers["ETag"]
    other = client.get(_seeded_image(client), headers={"If-None-Match": '"other"'})
    assert other.status_code == 200


def test_a_part_of_an_image_is_served(client):
    answer = client.get(_seeded_image(client), headers={"Range": "bytes=1-3"})
    assert (answer.status_code, answer.data) == (206, b"PNG")
    assert answer.headers["Content-Range"] == f"bytes 1-3/{len(PLACEHOLDER_PNG)}"


@pytest.mark.parametrize(
    "name", ["none.png", "..%2fshop.db", "%2e%2e/shop.db", "..", "0" * 32 + ".png"]
)
def test_nothing_else_is_served(client, name):
    answer = client.get(f"/uploads/{name}")
    assert (answer.status_code, answer.json) == (404, {"error": {"message": "Not found"}})


@pytest.mark.e2e
def test_a_bucket_that_does_not_answer_is_503_and_nothing_of_it_is_told(
    client, bucket, config, monkeypatch, tmp_path
):
    away = create_app(replace(config, image_bucket="gone-bucket"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    answer = away.test_client().get(f"/uploads/{'0' * 32}.png")
    assert answer.status_code == 503
    assert answer.json == {"error": {"message": "The images' store does not answer; try again"}}
    away.extensions["store"].close()


@pytest.mark.e2e
def test_a_bucket_that_is_not_there_stops_the_start(config, bucket):
    with pytest.raises(StartError, match=r"the store cannot be used: .*IMAGE_BUCKET"):
        start.prepare(replace(config, image_bucket="no-such-bucket"))
