"""The pages made from the templates are what the templates say."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    spec = importlib.util.spec_from_file_location("from_templates", DOCS / "from_templates.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", ["alarms.md", "architecture.md"])
def test_the_page_is_up_to_date(page: str, pages: ModuleType) -> None:
    written = (DOCS / page).read_text(encoding="utf-8")
    assert written == pages.PAGES[page](), f"run `make docs` and commit docs/{page}"


def test_the_readmes_picture_is_up_to_date(pages: ModuleType) -> None:
    readme = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    assert pages.overview() in readme, "run `make docs` and commit README.md"
    assert pages.with_overview(readme) == readme


def test_every_alarm_has_a_row(pages: ModuleType, templates: dict[str, Any]) -> None:
    text = pages.alarms()
    for template in templates.values():
        for name, resource in template["Resources"].items():
            if resource["Type"] in pages.ALARM_TYPES:
                assert f"| `{name}` |" in text


def test_the_picture_follows_references_through_outputs(pages: ModuleType) -> None:
    picture = pages.architecture()
    assert "service_Service --> balancer_TargetGroup" in picture
    assert "service_Service --> cluster_Cluster" in picture
    assert "edge_Distribution --> edge_WebACL" in picture
    assert "edge_VpcOrigin --> balancer_LoadBalancer" in picture
    assert "runbooks_Schedule --> runbooks_TaskDefinition" in picture
