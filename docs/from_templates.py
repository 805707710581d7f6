"""Writes docs/alarms.md, docs/architecture.md and README.md's picture from the templates.

`make docs` runs it.

A test compares the files with what this gives.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from runbook.environment import LAYERS

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "sceptre" / "templates"
#: Any environment does: all have the same stacks and references.
CONFIG = ROOT / "sceptre" / "config" / "prod"
ALARM_TYPES = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")

#: What the picture shows, and as what; the rest (routes, roles, policies) would only fill it.
SHOWN = {
    "AWS::ApplicationAutoScaling::ScalableTarget": "Scalable target",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "Scaling policy",
    "AWS::CloudFront::Distribution": "CloudFront distribution",
    "AWS::CloudFront::Function": "Edge function",
    "AWS::CloudFront::KeyValueStore": "Key store",
    "AWS::CloudFront::VpcOrigin": "VPC origin",
    "AWS::CloudWatch::Alarm": "Alarm",
    "AWS::CloudWatch::CompositeAlarm": "Composite alarm",
    "AWS::Cognito::UserPool": "User pool",
    "AWS::EC2::NatGateway": "NAT gateway",
    "AWS::EC2::Subnet": "Subnet",
    "AWS::EC2::VPC": "VPC",
    "AWS::ECR::Repository": "Image repository",
    "AWS::ECS::Cluster": "ECS cluster",
    "AWS::ECS::Service": "ECS service",
    "AWS::ECS::TaskDefinition": "Task definition",
    "AWS::ElasticLoadBalancingV2::Listener": "Listener",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "Load balancer",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "Target group",
    "AWS::RDS::DBInstance": "PostgreSQL",
    "AWS::Route53::HealthCheck": "Health check",
    "AWS::S3::Bucket": "Bucket",
    "AWS::SNS::Topic": "Topic",
    "AWS::SQS::Queue": "Dead-letter queue",
    "AWS::Scheduler::Schedule": "Schedule",
    "AWS::SecretsManager::Secret": "Secret",
    "AWS::WAFv2::IPSet": "Address set",
    "AWS::WAFv2::WebACL": "Web ACL",
}

#: What alarms act on.
CALLED = (*ALARM_TYPES, "AWS::SNS::Topic", "AWS::ApplicationAutoScaling::ScalingPolicy")

#: Around README.md's picture.
BEGIN, END = "<!-- from the templates, by make docs -->", "<!-- end -->"

Template = dict[str, Any]
Node = tuple[str, str]
"""A stack and a resource type."""


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as their long ones."""


def _long_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)  # type: ignore[arg-type]
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)


def templates() -> dict[str, Template]:
    """Every layer's template, in launch order."""
    read = {name: (TEMPLATES / f"{name}.yaml").read_text(encoding="utf-8") for name in LAYERS}
    return {name: yaml.load(text, Loader=_Loader) for name, text in read.items()}


# --- alarms


def alarms() -> str:
    """docs/alarms.md."""
    rows = [row for name, template in templates().items() for row in _alarms_of(name, template)]
    head = [
        "# Alarms\n",
        "Made from the templates by `make docs`; a test holds it to them. Do not edit by hand.\n",
        "A *page* wakes somebody: it is one composite alarm over what clients notice, so that one",
        "incident is one call. A *ticket* is read in the morning. Thresholds in `code` are",
        "parameters of the stack, with their defaults; periods follow `MetricPeriodS`.\n",
        "Target tracking makes alarms of its own, and so do the steps on CPU of a proposal",
        "([policy lab](policy-lab.md#taking-a-proposal-over)); they scale and tell nobody.\n",
        "| stack | alarm | what it does | metric | threshold | why, and what to do |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def _alarms_of(stack: str, template: Template) -> Iterator[str]:
    found = {n: r for n, r in template["Resources"].items() if r["Type"] in ALARM_TYPES}
    rules = " ".join(str(r["Properties"].get("AlarmRule", "")) for r in found.values())
    for name, resource in found.items():
        properties = resource["Properties"]
        paged = f"${{{name}}}" in rules
        cells = (
            stack,
            f"`{name}`",
            "page, as part of the composite" if paged else _effect(properties),
            _metric(properties),
            _threshold(properties, template),
            _filled(properties["AlarmDescription"], template),
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _effect(properties: dict[str, Any]) -> str:
    heard = str(properties.get("AlarmActions", ""))
    if "Page" in heard:
        return "page"
    if "Ticket" in heard:
        return "ticket"
    return "adds tasks" if "Policy" in heard else "rolls a deployment back"


def _metric(properties: dict[str, Any]) -> str:
    if "AlarmRule" in properties:
        return "other alarms"
    if "Metrics" in properties:
        expression = next(m["Expression"] for m in properties["Metrics"] if "Expression" in m)
        return f"`{_text(expression)}`"
    statistic = properties.get("Statistic") or properties["ExtendedStatistic"]
    return f"`{properties['MetricName']}`, {statistic}"


_SIGNS = {
    "GreaterThanThreshold": ">",
    "GreaterThanOrEqualToThreshold": ">=",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "<=",
}


def _threshold(properties: dict[str, Any], template: Template) -> str:
    if "AlarmRule" in properties:
        return "any of them in ALARM"
    sign = _SIGNS[properties["ComparisonOperator"]]
    points, periods = (
        _value(properties[name], template) for name in ("DatapointsToAlarm", "EvaluationPeriods")
    )
    limit = properties["Threshold"]
    named = f" (`{limit['Ref']}`)" if isinstance(limit, dict) else ""
    return f"{sign} {_value(limit, template)}{named}, in {points} of {periods} periods"


def _value(given: Any, template: Template) -> str:
    if isinstance(given, dict) and "Ref" in given:
        return str(template["Parameters"][given["Ref"]]["Default"])
    return str(given)


def _text(given: Any) -> str:
    return str(given["Fn::Sub"] if isinstance(given, dict) else given)


def _filled(given: Any, template: Template) -> str:
    """A description with its parameters' defaults in place."""
    text = " ".join(_text(given).split())
    return re.sub(r"\$\{(\w+)\}", lambda m: _value({"Ref": m[1]}, template), text)


# --- architecture


def architecture() -> str:
    """docs/architecture.md: the picture, as Mermaid text that code hosts render."""
    read = templates()
    edges = sorted(set(_edges(read)))
    lines = ["flowchart LR"]
    for stack, template in read.items():
        nodes = _nodes(stack, template)
        region = " (us-east-1)" if stack == "edge" else ""
        lines.append(f'  subgraph {stack}["{stack}{region}"]')
        lines += [f'    {_identifier(node)}["{label}"]' for node, label in nodes.items()]
        lines.append("  end")
    lines += [f"  {_identifier(a)} --> {_identifier(b)}" for a, b in edges]
    picture = "\n".join(lines)
    return (
        "# Architecture\n\n"
        "Made from the templates by `make docs`; a test holds it to them. Do not edit by hand.\n\n"
        "Every box is a type of resource in its stack, with how many a template holds at most; an\n"
        "arrow points from what refers to what is referred to, within a stack or through outputs.\n"
        "Routes, roles, policies and what alarms measure (alarms.md) are left out.\n\n"
        f"```mermaid\n{picture}\n```\n"
    )


def overview() -> str:
    """README.md's picture: a box a stack, with what it holds; arrows to the stacks it builds on."""
    read = templates()
    lines = ["flowchart TB"]
    for stack, template in read.items():
        held = "<br>".join([f"<b>{stack}</b>", *_nodes(stack, template).values()])
        lines.append(f'  {stack}["{held}"]')
    below = {(a[0], b[0]) for a, b in _edges(read) if a[0] != b[0]}
    return "\n".join([*lines, *(f"  {a} --> {b}" for a, b in sorted(below))])


def with_overview(readme: str) -> str:
    """`readme` with today's picture between its marks."""
    picture = f"{BEGIN}\n```mermaid\n{overview()}\n```\n{END}"
    return re.sub(f"{BEGIN}.*{END}", lambda _: picture, readme, count=1, flags=re.DOTALL)


def _nodes(stack: str, template: Template) -> dict[Node, str]:
    counted: dict[Node, int] = {}
    for resource in template["Resources"].values():
        if resource["Type"] in SHOWN:
            node = (stack, resource["Type"])
            counted[node] = counted.get(node, 0) + 1
    return {
        node: SHOWN[node[1]] + (f" x {count}" if count > 1 else "")
        for node, count in counted.items()
    }


def _identifier(node: Node) -> str:
    return f"{node[0]}_{node[1].rpartition('::')[2]}"


def _edges(read: dict[str, Template]) -> Iterator[tuple[Node, Node]]:
    for stack, template in read.items():
        for name, resource in template["Resources"].items():
            if resource["Type"] not in SHOWN:
                continue
            source = (stack, resource["Type"])
            for target in _targets(read, stack, resource.get("Properties", {}), {(stack, name)}):
                # What an alarm measures is in alarms.md; here counts whom it calls.
                calls = resource["Type"] not in ALARM_TYPES or target[1] in CALLED
                if target != source and calls:
                    yield source, target


def _targets(
    read: dict[str, Template], stack: str, content: Any, seen: set[tuple[str, str]]
) -> Iterator[Node]:
    """The shown resources that something refers to, through hidden ones and outputs too."""
    template = read[stack]
    for name in _names(content):
        if name in template["Resources"] and (stack, name) not in seen:
            resource = template["Resources"][name]
            if resource["Type"] in SHOWN:
                yield stack, resource["Type"]
        elif name in template.get("Parameters", {}):
            upstream = _references(stack).get(name)
            if upstream is not None:
                below, key = upstream
                yield from _targets(read, below, read[below]["Outputs"][key]["Value"], set())


def _names(content: Any) -> Iterator[str]:
    """Every logical id that a part of a template names."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key == "Ref":
                yield str(value)
            elif key == "Fn::GetAtt":
                yield str(value).split(".")[0] if isinstance(value, str) else str(value[0])
            elif key == "Fn::Sub":
                text = value if isinstance(value, str) else value[0]
                yield from re.findall(r"\$\{(\w+)[.}]", text)
                if not isinstance(value, str):
                    yield from _names(value[1])
            else:
                yield from _names(value)
    elif isinstance(content, list):
        for item in content:
            yield from _names(item)


def _references(stack: str) -> dict[str, tuple[str, str]]:
    """Parameters that take an output: the stack below and its key."""
    text = (CONFIG / f"{stack}.yaml").read_text(encoding="utf-8")
    found = re.findall(r"^  (\w+): !stack_output \w+/(\w+)\.yaml::(\w+)$", text, re.MULTILINE)
    return {name: (below, key) for name, below, key in found}


PAGES = {"alarms.md": alarms, "architecture.md": architecture}

if __name__ == "__main__":
    for page, make in PAGES.items():
        (ROOT / "docs" / page).write_text(make(), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(with_overview(readme.read_text(encoding="utf-8")), encoding="utf-8")
