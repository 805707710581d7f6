"""Kinds of requests: bytes, classes, weights, and where they come from."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from app.catalogue import seed_product
from runbook.errors import InputInvalid
from runbook.load.kinds import Accounts, RequestKind, choose
from runbook.load.kinds_file import read_kinds
from runbook.load.plan import LoadPlan
from runbook.load.schedule import constant

OPENAPI = {
    "openapi": "3.1.0",
    "components": {
        "parameters": {
            "Id": {"name": "id", "in": "path", "required": True, "schema": {"example": "p1"}}
        },
        "schemas": {
            "Order": {
                "required": ["productId", "quantity"],
                "properties": {
                    "productId": {"type": "string", "example": "p1"},
                    "quantity": {"type": "integer", "default": 2},
                    "note": {"type": "string"},
                },
            }
        },
    },
    "paths": {
        "/products": {
            "get": {"operationId": "list"},
            "post": {"operationId": "create", "requestBody": {"required": True, "content": {}}},
        },
        "/products/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {"operationId": "show"},
            "delete": {"operationId": "remove"},
        },
        "/orders": {
            "post": {
                "operationId": "order",
                "x-load-weight": 0.5,
                "security": [{"bearer": []}],
                "requestBody": {
                    "content": {
                        "application/json": {"schema": {"$ref": "#/components/schemas/Order"}}
                    }
                },
            }
        },
        "/orders/{oid}": {"get": {"operationId": "showOrder"}},
    },
}


@pytest.mark.parametrize(
    ("kind", "route_class"),
    [
        (RequestKind("a", "/products"), "read"),
        (RequestKind("a", "/products", "POST"), "write"),
        (RequestKind("a", "/user/login", "POST"), "credential"),
        (RequestKind("a", "/user/signup", "POST", route_class="write"), "write"),
    ],
)
def test_a_kind_is_grouped_by_method_and_path_unless_it_says(kind, route_class) -> None:
    assert kind.grouped_as == route_class


def test_a_request_carries_token_body_and_its_numbers() -> None:
    kind = RequestKind(
        "a", "/x/{user}", "post", body='{"name": "é-{sequence}"}', authenticated=True
    )
    sent = kind.request_bytes("h:1", user=3, sequence=42, token="secret")
    head, body = sent.split(b"\r\n\r\n")
    assert head.startswith(b"POST /x/3 HTTP/1.1\r\nHost: h:1\r\n")
    assert json.loads(body) == {"name": "é-42"}
    assert b"Content-Length: %d" % len(body) in head
    assert b"Authorization: Bearer secret" in head
    # A write without a body still has a length, or a server would wait for one.
    assert b"Content-Length: 0" in RequestKind("d", "/x", "DELETE").request_bytes("h")
    assert b"Authorization" not in RequestKind("g", "/x").request_bytes("h", token="secret")


def test_kinds_are_drawn_by_weight_and_the_same_for_the_same_seed() -> None:
    kinds = [RequestKind("a", "/a", weight=3), RequestKind("b", "/b"), RequestKind("c", "/c")]
    which = choose(kinds, 20_000, seed=5)
    assert np.bincount(which) / 20_000 == pytest.approx([0.6, 0.2, 0.2], abs=0.015)
    np.testing.assert_array_equal(which, choose(kinds, 20_000, seed=5))
    with pytest.raises(InputInvalid, match="has a weight"):
        choose([RequestKind("a", "/a", weight=0)], 5, seed=1)


@pytest.mark.parametrize(
    "wrong",
    [{"path": "x"}, {"weight": -1}, {"weight": float("nan")}, {"route_class": "slow"},
     {"path": "/a b"}, {"method": "GET\r\nX: y"}, {"headers": {"X": "a\r\nY: b"}}],
)  # fmt: skip
def test_a_kind_that_cannot_be_is_refused(wrong) -> None:
    with pytest.raises(InputInvalid, match="request kind 'a' cannot be used"):
        RequestKind(**{"name": "a", "path": "/a", **wrong})


def test_the_example_in_the_documentation_orders_what_is_in_the_catalogue(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs" / "measuring.md"
    example = re.search(r"```python\n(# mix.py\n.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert example is not None
    mix = tmp_path / "mix.py"
    mix.write_text(example[1])
    orders = [kind for kind in read_kinds(mix).kinds if kind.path == "/orders"]
    assert [json.loads(kind.body)["productId"] for kind in orders] == [seed_product(0, "").id]


def test_openapi_reads_are_sent_and_writes_only_with_a_weight(tmp_path: Path) -> None:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(OPENAPI))
    found = read_kinds(path, {"list": 4})
    by_name = {kind.name: kind for kind in found.kinds}
    assert set(by_name) == {"list", "show", "order"}
    assert by_name["list"].weight == 4
    assert by_name["show"].path == "/products/p1"
    assert by_name["order"].weight == 0.5
    assert by_name["order"].authenticated
    assert not by_name["list"].authenticated
    assert json.loads(by_name["order"].body) == {"productId": "p1", "quantity": 2}
    left_out = "\n".join(found.left_out)
    assert "create changes data and has no weight" in left_out
    assert "remove changes data" in left_out
    assert "showOrder has no example for {oid}" in left_out
    with pytest.raises(InputInvalid, match="its body"):
        read_kinds(path, {"create": 1})


PARAMETERS = [
    {"in": "query", "name": "q", "required": True, "example": "a&b=c d/ü"},
    {"in": "query", "name": "tag", "required": True, "example": ["x y", "z"]},
    {"in": "query", "name": "ids", "required": True, "explode": False, "example": [1, 2]},
    {"in": "query", "name": "new", "required": True, "example": True},
    {"in": "query", "name": "page", "example": 3},
    {"in": "header", "name": "X-Shop", "required": True, "example": "north"},
    {"in": "header", "name": "X-Extra", "example": "left out"},
    {"in": "header", "name": "Authorization", "required": True},
    {"in": "cookie", "name": "lang", "required": True, "example": "de;at"},
]


def _only_kind(tmp_path: Path, document: dict) -> RequestKind:
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    (kind,) = read_kinds(path).kinds
    return kind


def test_parameters_are_encoded_and_headers_sent(tmp_path: Path) -> None:
    operation = {"operationId": "find", "parameters": PARAMETERS}
    item = {
        "get": operation,
        "parameters": [
            {"in": "path", "name": "id", "required": True, "example": "a/b {user} ?{sequence}"},
            # The operation's own is another: it counts.
            {"in": "header", "name": "X-Shop", "required": True, "example": "south"},
        ],
    }
    kind = _only_kind(tmp_path, {"paths": {"/find/{id}": item}})
    assert kind.path == (
        "/find/a%2Fb%20{user}%20%3F{sequence}"
        "?q=a%26b%3Dc%20d%2F%C3%BC&tag=x%20y&tag=z&ids=1%2C2&new=true"
    )
    assert kind.headers == {"X-Shop": "north", "Cookie": "lang=de%3Bat"}
    sent = kind.request_bytes("h", user=4, sequence=9)
    assert sent.startswith(b"GET /find/a%2Fb%204%20%3F9?q=a%26b%3Dc")
    assert b"\r\nX-Shop: north\r\n" in sent


@pytest.mark.parametrize("place", ["header", "cookie", "query"])
def test_a_required_parameter_without_an_example_leaves_its_operation_out(
    tmp_path: Path, place: str
) -> None:
    parameter = {"in": place, "name": "X-Key", "required": True}
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps({"paths": {"/a": {"get": {"parameters": [parameter]}}}}))
    with pytest.raises(InputInvalid, match="GET /a has no example for X-Key"):
        read_kinds(path)


@pytest.mark.parametrize(
    ("servers", "wanted"),
    [
        ([], "/list"),
        (["https://api.example.org/v2/", "/v3"], "/v2/list"),
        (["/shop/v 1"], "/shop/v%201/list"),
        (["https://example.org"], "/list"),
        (["/"], "/list"),
    ],
)
def test_the_first_servers_path_comes_first(tmp_path: Path, servers: list, wanted: str) -> None:
    document = {
        "servers": [{"url": url} for url in servers],
        "paths": {"/list": {"get": {"operationId": "list"}}},
    }
    assert _only_kind(tmp_path, document).path == wanted


def test_a_server_nearer_to_the_operation_counts_and_its_variables_are_filled_in(
    tmp_path: Path,
) -> None:
    server = {"url": "/{base}/x", "variables": {"base": {"default": "v4"}}}
    item = {"servers": [{"url": "/item"}], "get": {"operationId": "list", "servers": [server]}}
    document = {"servers": [{"url": "/all"}], "paths": {"/list": item}}
    assert _only_kind(tmp_path, document).path == "/v4/x/list"
    del item["get"]["servers"]
    assert _only_kind(tmp_path, document).path == "/item/list"


def test_python_files_give_kinds(tmp_path: Path) -> None:
    path = tmp_path / "mix.py"
    path.write_text("KINDS = [dict(name=f'p{i}', path=f'/products/{i}') for i in range(3)]")
    assert [kind.path for kind in read_kinds(path).kinds] == [f"/products/{i}" for i in range(3)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.py", "X = 1", "define KINDS"),
        ("a.py", "KINDS = [dict(name='a', path='a')]", "does not begin with /"),
        ("a.json", "[]", "is no OpenAPI document"),
        ("a.yaml", "paths: {}", "gives no load"),
        ("a.yaml", "a: [", "is no OpenAPI document"),
        ("a.yaml", "paths: {/a: {get: {parameters: [{$ref: '#/no/such'}]}}}", "is no OpenAPI doc"),
        ("a.yaml", "paths: {/a: {get: {x-load-weight: much}}}", "is no OpenAPI document"),
        ("a.txt", "", "none of"),
    ],
)
def test_a_file_that_gives_no_load_is_refused(tmp_path: Path, name, text, message) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputInvalid, match=message):
        read_kinds(tmp_path / name)
    with pytest.raises(InputInvalid, match="no such file"):
        read_kinds(tmp_path / "none.py")


def test_a_plan_with_tokens_needs_users() -> None:
    kinds = (RequestKind("a", "/a", authenticated=True),)
    with pytest.raises(InputInvalid, match="no users"):
        LoadPlan("http://h/", constant(5, 2), kinds=kinds)
    with pytest.raises(InputInvalid, match="no JSON"):
        Accounts(1, body="{user}!").body_of(1)


def test_a_plan_with_kinds_survives_its_file(tmp_path: Path) -> None:
    kinds = (RequestKind("a", "/a", authenticated=True), RequestKind("b", "/b", "PUT", 2.0))
    plan = LoadPlan("http://h/", constant(5, 2), kinds=kinds, accounts=Accounts(3))
    assert LoadPlan.load(plan.save(tmp_path / "plan.json")) == plan
