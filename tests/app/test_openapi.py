import re

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from app import answers, operation
from app.openapi import current_description, describe, in_words

UNDESCRIBED = {"/openapi.json", "/docs"}


@pytest.fixture
def document(client):
    return client.get("/openapi.json").json


def test_the_document_is_valid_openapi(document):
    assert document["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_route_is_described(app, document):
    routes = {re.sub("<(.*?)>", r"{\1}", rule.rule) for rule in app.url_map.iter_rules()}
    assert set(document["paths"]) == routes - UNDESCRIBED
    methods = [method for methods in document["paths"].values() for method in methods]
    assert len(methods) == 15


def test_operations_are_told_apart_and_said_in_words(document):
    operations = [op for methods in document["paths"].values() for op in methods.values()]
    assert len({op["operationId"] for op in operations}) == len(operations)
    assert all(op["summary"] for op in operations)


def test_every_schema_is_used(document):
    used = set(re.findall(r"#/components/schemas/(\w+)", str(document)))
    assert used == set(document["components"]["schemas"])


def test_limits_are_those_that_are_enforced(document):
    schemas = document["components"]["schemas"]
    assert schemas["NewUser"]["properties"]["password"]["minLength"] == 8
    price = schemas["NewProduct"]["properties"]["price"]["anyOf"][0]
    assert (price["minimum"], price["maximum"]) == (0, 1_000_000_000)
    assert schemas["NewUser"]["required"] == ["email", "password"]
    create = document["paths"]["/products"]["post"]
    assert create["security"] == [{"token": []}]
    assert list(create["requestBody"]["content"]) == [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ]
    assert list(create["responses"]) == ["201", "400", "401", "413", "422", "503"]
    login = document["paths"]["/user/login"]["post"]
    assert "Retry-After" in login["responses"]["429"]["headers"]
    assert "security" not in login


def test_the_server_is_the_one_that_answers(client):
    answer = client.get("/openapi.json", headers={"Host": "shop.example:81"})
    assert answer.json["servers"] == [{"url": "http://shop.example:81"}]
    assert answer.content_type == "application/json; charset=utf-8"
    assert answer.cache_control.max_age == 300


def test_the_version_is_the_services(document):
    assert document["info"]["version"] == "1.2.3"


def test_the_page_shows_every_operation_and_loads_nothing(app, client, document):
    answer = client.get("/docs")
    assert answer.content_type == "text/html; charset=utf-8"
    page = answer.text
    for path, methods in document["paths"].items():
        assert len(re.findall(f"</span>{re.escape(path)}</h3>", page)) == len(methods)
    for name in document["components"]["schemas"]:
        assert f'<h3 id="{name}">' in page
    links = set(re.findall(r'href="([^"]+)"', page))
    assert links - {"openapi.json"} <= {f"#{name}" for name in document["components"]["schemas"]}
    assert not re.search(r"<script|<img|<link|url\(|https?://", page)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert len(answer.data) < 50_000


def test_a_description_is_made_once(app):
    with app.test_request_context():
        assert current_description() is current_description()


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#/components/schemas/Link"}, "#Link"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "string or null"),
        ({"type": "array", "items": {"$ref": "#/a/Link"}}, "list of #Link"),
        ({"type": "string", "const": "GET"}, '"GET"'),
        ({"type": "integer", "const": 0}, "0"),
        ({"type": "integer", "minimum": 1, "maximum": 1000}, "integer from 1 to 1,000"),
        ({"type": "string", "minLength": 8, "maxLength": 9}, "string of 8 to 9 characters"),
        ({}, "anything"),
    ],
)
def test_schemas_in_words(schema, words):
    assert in_words(schema) == words


def test_a_new_operation_describes_itself(app):
    @app.get("/new/<thing_id>")
    @operation.operation("Show a thing", answers.Live, login=True)
    def new(thing_id):
        return {}

    described = describe(app)["paths"]["/new/{thing_id}"]["get"]
    assert described["summary"] == "Show a thing"
    assert list(described["responses"]) == ["200", "401", "404", "503"]
