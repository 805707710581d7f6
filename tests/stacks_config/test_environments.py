"""Environments have the same stacks, and Sceptre understands every word of their files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jinja2
import pytest
import yaml
from sceptre.config.reader import STACK_CONFIG_ATTRIBUTES, STACK_GROUP_CONFIG_ATTRIBUTES
from sceptre.plan.actions import StackActions

from runbook.environment import LAYERS, load_environment

CONFIG = Path(__file__).parents[2] / "sceptre" / "config"
ENVIRONMENTS = sorted(path.parent.name for path in CONFIG.glob("*/config.yaml"))
FILES = sorted(path for path in CONFIG.rglob("*") if path.is_file())

# Sceptre reads these too, but lists them nowhere.
UNLISTED_KEYS = {"ignore", "obsolete", "disable_rollback", "region"}
HOOKED = [
    "create",
    "update",
    "delete",
    "launch",
    "validate",
    "generate",
    "dump_template",
    "dump_config",
    "diff",
    "drift_detect",
    "drift_show",
    "create_change_set",
    "execute_change_set",
]
HOOK_POINTS = {f"{when}_{action}" for when in ("before", "after") for action in HOOKED}
GROUP_ONLY = STACK_GROUP_CONFIG_ATTRIBUTES.required | STACK_GROUP_CONFIG_ATTRIBUTES.optional
STACK_KEYS = set(STACK_CONFIG_ATTRIBUTES.optional) | UNLISTED_KEYS
# Read by Sceptre and deprecated, or written by people who mean `protect`.
REFUSED_KEYS = {"template_path", "iam_role", "iam_role_session_duration", "role_arn"}


class _OpaqueLoader(yaml.SafeLoader):
    """Keeps resolvers as text."""


_OpaqueLoader.add_multi_constructor("!", lambda loader, suffix, node: f"!{suffix}")


def wrong_words(content: dict[str, Any], *, is_group: bool) -> set[str]:
    """Keys and hook points that Sceptre would accept and never act on."""
    known = STACK_KEYS | (GROUP_ONLY if is_group else set())
    wrong = {key for key in content if key not in known or key in REFUSED_KEYS}
    return wrong | {point for point in content.get("hooks") or {} if point not in HOOK_POINTS}


def parsed(path: Path) -> dict[str, Any]:
    content = yaml.load(path.read_text(encoding="utf-8"), Loader=_OpaqueLoader)
    assert isinstance(content, dict), path
    return content


def test_there_are_environments() -> None:
    assert ENVIRONMENTS == ["dev", "local", "prod", "staging"]


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_has_every_layer_from_the_template_of_its_name(
    name: str, stacks: dict[tuple[str, str], Any]
) -> None:
    mine = [config for config in stacks.values() if config.environment == name]
    assert {config.layer for config in mine} == set(LAYERS)
    for config in mine:
        assert config.template == f"{config.layer}.yaml"
        assert config.stack_name == f"shop-{name}-{config.layer}"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_the_runbook_reads_the_same_environment(
    name: str, stacks: dict[tuple[str, str], Any]
) -> None:
    environment = load_environment(name, CONFIG.parents[1])
    user_data = stacks[name, "network"].user_data
    assert user_data["environment"] == name
    assert environment.account_id == user_data["account_id"]
    assert environment.metric_period_s == user_data["metric_period_s"]
    # CloudWatch refuses alarms on AWS's own metrics with less; the local region has less.
    assert (environment.metric_period_s >= 60) == (name != "local")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_account_is_an_id_or_not_pinned_yet(
    name: str, stacks: dict[tuple[str, str], Any]
) -> None:
    account_id = stacks[name, "network"].user_data["account_id"]
    assert isinstance(account_id, str)
    assert re.fullmatch(r"(\d{12})?", account_id)


def test_every_resource_is_tagged_with_whose_it_is(stacks: dict[tuple[str, str], Any]) -> None:
    for config in stacks.values():
        assert {"project", "managed-by", "environment", "owner", "cost-centre"} <= set(config.tags)
        assert config.tags["environment"] == config.environment


def test_what_cannot_be_made_again_is_protected(
    stacks: dict[tuple[str, str], Any], unprotected: dict[tuple[str, str], Any]
) -> None:
    for (name, layer), config in stacks.items():
        keeps_data = layer == "data" and config.values.get("StoreEngine") == "postgresql"
        assert config.protected == (name == "prod" or keeps_data), f"{name}/{layer}"
    assert not any(config.protected for config in unprotected.values())


def test_tasks_get_out_wherever_they_are_no_processes_of_this_machine(
    stacks: dict[tuple[str, str], Any],
) -> None:
    # Without a way out a Fargate task cannot even pull its image; no template knows where it is.
    for (name, layer), config in stacks.items():
        if layer == "network":
            assert (config.values["Egress"] == "none") == (name == "local"), name


def test_only_the_edge_lives_in_another_region(stacks: dict[tuple[str, str], Any]) -> None:
    for config in stacks.values():
        expected = "us-east-1" if config.layer == "edge" else "eu-west-1"
        assert config.region == expected, config.stack_name


def test_sceptre_sees_every_file() -> None:
    # It ignores *.yml without a word.
    assert [path for path in FILES if path.suffix != ".yaml"] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIG)))
def test_every_key_means_something_to_sceptre(path: Path) -> None:
    assert wrong_words(parsed(path), is_group=path.name == "config.yaml") == set()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ({"template": {}, "protected": True}, {"protected"}),
        ({"stack_timout": 5}, {"stack_timout"}),
        ({"template_path": "x.yaml"}, {"template_path"}),
        ({"region": "us-east-1"}, set()),
        ({"regoin": "us-east-1"}, {"regoin"}),
        ({"hooks": {"before_lanch": []}}, {"before_lanch"}),
        ({"hooks": {"before_launch": [], "after_execute_change_set": []}}, set()),
        ({"protect": True, "parameters": {}}, set()),
    ],
)
def test_a_misspelt_word_is_found(content: dict[str, Any], wrong: set[str]) -> None:
    assert wrong_words(content, is_group=False) == wrong


def test_the_hook_points_are_those_of_this_sceptre() -> None:
    hooked = {
        name
        for name, method in vars(StackActions).items()
        if hasattr(method, "__wrapped__") and not name.startswith("_")
    }
    # An alias of dump_template's points.
    assert hooked | {"generate"} == set(HOOKED)


@pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
def test_a_webhook_that_is_not_there_stops_instead_of_ending_the_subscription(
    environment: str,
) -> None:
    text = (CONFIG / environment / "monitoring.yaml").read_text(encoding="utf-8")
    (form,) = re.findall(r'%\}"(\{\{ environment_variable.*\}\})"', text)
    # As Sceptre renders it (sceptre/config/reader.py).
    shown = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(form)
    given = {"SHOP_PAGE_ENDPOINT": "https://pages.example/key"}
    assert shown.render(environment_variable=given) == "https://pages.example/key"
    for missing in ({}, {"SHOP_PAGE_ENDPOINT": ""}):
        with pytest.raises(jinja2.UndefinedError):
            shown.render(environment_variable=missing)
