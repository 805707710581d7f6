"""The service does what its OpenAPI document says, whatever is sent."""

from collections.abc import Iterator

import hypothesis
import pytest
import schemathesis
from flask import Flask
from schemathesis import GenerationMode

from app import create_app, start
from app.config import Config
from app.openapi import describe

EXAMPLES = 25
"""Requests to each operation as described, and as many that are not."""

CHECKS = {
    # A known path does not show: 404, where the check wants 405.
    "unsupported_method": {"enabled": False},
}
_BOUNDED = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    folder = tmp_path_factory.mktemp("fuzzed")
    config = Config(
        jwt_key="k" * 32,
        store_url=f"sqlite:///{folder / 'shop.db'}",
        upload_dir=folder / "uploads",
        catalogue_seed=3,
        credential_limit="1000000 per second",
    )
    start.prepare(config)
    application = create_app(config)
    yield application
    application.extensions["store"].close()


@pytest.fixture(scope="module")
def headers(fuzzed: Flask) -> dict[str, str]:
    client = fuzzed.test_client()
    user = {"email": "ada@example.com", "password": "a good password"}
    client.post("/user/signup", json=user)
    token = client.post("/user/login", json=user).json["token"]
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def document(fuzzed: Flask, headers: dict[str, str]) -> schemathesis.BaseSchema:
    config = {"headers": headers, "checks": CHECKS, "seed": 1}
    return schemathesis.openapi.from_wsgi(
        "/openapi.json", fuzzed, config=schemathesis.Config.from_dict(config)
    )


@pytest.fixture(scope="module")
def known(fuzzed: Flask, headers: dict[str, str]) -> dict[str, str]:
    """What is there to be found, by the name of the path's parameter."""
    client = fuzzed.test_client()
    seeded = client.get("/products").json["products"][0]
    product = client.post("/products", json={"name": "Book", "price": 1}, headers=headers)
    order = client.post("/orders", json={"productId": seeded["_id"]}, headers=headers)
    return {
        "product_id": product.json["createdProduct"]["_id"],
        "order_id": order.json["createdOrder"]["_id"],
    }


def _operations() -> Iterator[tuple[str, str, GenerationMode]]:
    described = describe(create_app(Config(jwt_key="k" * 32)))
    for path, methods in described["paths"].items():
        for method, details in methods.items():
            yield path, method, GenerationMode.POSITIVE
            # Any text may name a file, and some operations take nothing at all.
            takes_anything = path.startswith("/uploads") or not details["parameters"]
            if "requestBody" in details or not takes_anything:
                yield path, method, GenerationMode.NEGATIVE


@pytest.mark.parametrize(("path", "method", "mode"), [*_operations()])
def test_every_answer_is_as_described(
    document: schemathesis.BaseSchema,
    known: dict[str, str],
    path: str,
    method: str,
    mode: GenerationMode,
) -> None:
    operation = document[path][method.upper()]

    @_BOUNDED
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def fuzz(case: schemathesis.Case) -> None:
        if mode is GenerationMode.POSITIVE:
            case.path_parameters.update(
                (name, known[name]) for name in case.path_parameters if name in known
            )
        case.call_and_validate()

    fuzz()
