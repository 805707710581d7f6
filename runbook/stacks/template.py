"""What a template says about itself, read without CloudFormation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from runbook.errors import InputInvalid

#: Types that hold what cannot be made again: their replacement or removal is shouted.
STATEFUL_TYPES = frozenset(
    {
        "AWS::Cognito::UserPool",
        "AWS::DynamoDB::GlobalTable",
        "AWS::DynamoDB::Table",
        "AWS::EC2::Volume",
        "AWS::ECR::Repository",
        "AWS::EFS::FileSystem",
        "AWS::KMS::Key",
        "AWS::Logs::LogGroup",
        "AWS::RDS::DBCluster",
        "AWS::RDS::DBInstance",
        "AWS::S3::Bucket",
        "AWS::SSM::Parameter",
        "AWS::SecretsManager::Secret",
        "AWS::CloudFront::KeyValueStore",
    }
)


@dataclass(frozen=True)
class Resource:
    """A resource a template declares; `condition` is empty when it always exists."""

    logical_id: str
    resource_type: str
    condition: str


def parse(body: str) -> dict[str, Any]:
    """A template as plain data; intrinsic functions in short form stay opaque.

    Raises InputInvalid for what is no YAML.
    """
    try:
        content = yaml.load(body, Loader=_ShortForms)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        at = f", line {where.line + 1}" if where else ""
        raise InputInvalid(
            "A template cannot be read",
            f"{getattr(error, 'problem', None) or error}{at}",
            "mend it in sceptre/templates",
        ) from error
    return content if isinstance(content, dict) else {}


def resources(body: str) -> tuple[Resource, ...]:
    """The resources of a template, in its order."""
    declared = parse(body).get("Resources") or {}
    return tuple(
        Resource(name, str(item.get("Type", "")), str(item.get("Condition", "") or ""))
        for name, item in declared.items()
    )


def secret_parameters(body: str) -> frozenset[str]:
    """The parameters marked NoEcho, whose values are never shown."""
    declared = parse(body).get("Parameters") or {}
    return frozenset(
        name for name, item in declared.items() if str(item.get("NoEcho", "")).lower() == "true"
    )


def parameter_defaults(body: str) -> dict[str, str]:
    """The defaults of the parameters that have one, as CloudFormation tells them."""
    declared = parse(body).get("Parameters") or {}
    return {name: str(item["Default"]) for name, item in declared.items() if "Default" in item}


def handed_on(body: str) -> dict[str, str]:
    """By output, the parameter (String or Number) that it always hands on as it is."""
    template = parse(body)
    plain = {
        name
        for name, item in (template.get("Parameters") or {}).items()
        if item.get("Type") in ("String", "Number")
    }
    found = {}
    for key, output in (template.get("Outputs") or {}).items():
        value = output.get("Value")
        if isinstance(value, dict) and value.get("Ref") in plain and "Condition" not in output:
            found[str(key)] = str(value["Ref"])
    return found


#: The parser in C takes a tenth of the time, where PyYAML was built with it.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _ShortForms(_Base):  # type: ignore[misc]  # one of two
    """A safe loader that accepts `!Ref`, `!GetAtt` and the like without meaning."""


def _opaque(loader: Any, suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    else:
        value = None
    return {suffix: value}


_ShortForms.add_multi_constructor("!", _opaque)
