"""The stacks as Sceptre reads them and the templates as CloudFormation does, read once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from sceptre.config.reader import ConfigReader
from sceptre.context import SceptreContext
from sceptre.resolvers import Resolver
from sceptre.resolvers.stack_output import StackOutput

SCEPTRE_DIR = Path(__file__).parents[2] / "sceptre"
TEMPLATES = sorted((SCEPTRE_DIR / "templates").glob("*.yaml"))


@dataclass(frozen=True)
class StackConfig:
    """One stack of one environment: `values` as given, `references` as (stack, output key)."""

    environment: str
    layer: str
    stack_name: str
    template: str
    tags: dict[str, str]
    user_data: dict[str, Any]
    region: str
    protected: bool
    values: dict[str, Any] = field(default_factory=dict)
    resolved: frozenset[str] = frozenset()
    references: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def parameters(self) -> set[str]:
        """Names of all parameters passed."""
        return self.values.keys() | self.references.keys() | self.resolved


class _TemplateLoader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as their long ones."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_TemplateLoader.add_multi_constructor("!", _long_form)


def _stack_config(stack: Any) -> StackConfig:
    environment, layer = stack.name.split("/")
    # Behind the property, which would ask AWS for the outputs.
    given = stack._parameters
    return StackConfig(
        environment=environment,
        layer=layer,
        stack_name=stack.external_name,
        template=stack.template_handler_config["path"],
        tags=dict(stack.tags),
        user_data=dict(stack.sceptre_user_data),
        region=stack.region,
        protected=bool(stack.protected),
        values={k: v for k, v in given.items() if not isinstance(v, Resolver)},
        resolved=frozenset(k for k, v in given.items() if isinstance(v, Resolver)),
        references={
            k: tuple(v.argument.split("::")) for k, v in given.items() if isinstance(v, StackOutput)
        },
    )


def read_stacks(
    sceptre_dir: Path = SCEPTRE_DIR, **variables: str
) -> dict[tuple[str, str], StackConfig]:
    """Every stack by (environment, layer); `variables` as --var gives them."""
    context = SceptreContext(
        project_path=str(sceptre_dir), command_path="", user_variables=variables
    )
    found, _ = ConfigReader(context).construct_stacks()
    configs = [_stack_config(stack) for stack in found]
    return {(config.environment, config.layer): config for config in configs}


@pytest.fixture(scope="session")
def stacks() -> dict[tuple[str, str], StackConfig]:
    """The stacks as they are without any --var."""
    return read_stacks()


@pytest.fixture(scope="session")
def unprotected() -> dict[tuple[str, str], StackConfig]:
    """The stacks as `--var protect=` makes them."""
    return read_stacks(protect="")


@pytest.fixture(scope="session")
def templates() -> dict[str, dict[str, Any]]:
    """Every template in long form, by layer."""
    return {
        path.stem: yaml.load(path.read_text(encoding="utf-8"), Loader=_TemplateLoader)
        for path in TEMPLATES
    }


@pytest.fixture(scope="session")
def resources(templates: dict[str, Any]) -> Callable[[str], dict[str, dict[str, Any]]]:
    """Gives the properties of all resources of a type, by `layer.LogicalId`."""

    def of_type(kind: str) -> dict[str, dict[str, Any]]:
        return {
            f"{layer}.{name}": resource.get("Properties", {})
            for layer, template in templates.items()
            for name, resource in template["Resources"].items()
            if resource["Type"] == kind
        }

    return of_type


@pytest.fixture(scope="session")
def stacks_of() -> Callable[[Path], dict[tuple[str, str], StackConfig]]:
    """Reads the stacks of another Sceptre folder."""
    return read_stacks
