"""What the environments pass fits the templates: references, names, values, rules."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from runbook.environment import LAYERS

CONFIG = Path(__file__).parents[2] / "sceptre" / "config"
STACKS = sorted(
    (path.parent.name, path.stem) for path in CONFIG.glob("*/*.yaml") if path.name != "config.yaml"
)
Stacks = dict[tuple[str, str], Any]
Templates = dict[str, dict[str, Any]]

in_every_stack = pytest.mark.parametrize(
    ("environment", "layer"), STACKS, ids=[f"{env}/{layer}" for env, layer in STACKS]
)


def refusal(declared: dict[str, Any], value: str) -> str | None:
    """Why CloudFormation would refuse a value, or None."""
    allowed = declared.get("AllowedValues")
    if allowed is not None and value not in {str(item) for item in allowed}:
        return f"{value!r} is not one of {allowed}"
    pattern = declared.get("AllowedPattern")
    if pattern is not None and not re.fullmatch(pattern, value):
        return f"{value!r} does not match {pattern}"
    if declared["Type"] == "Number":
        number = float(value)
        if number < declared.get("MinValue", number) or number > declared.get("MaxValue", number):
            return f"{value} is out of bounds"
    return None


def holds(expression: Any, values: dict[str, str]) -> Any:
    """Evaluate the functions of the Rules section that the templates use."""
    if not isinstance(expression, dict):
        return expression
    ((name, argument),) = expression.items()
    if name == "Ref":
        return values[argument]
    if name == "Fn::Not":
        return not holds(argument[0], values)
    if name in ("Fn::Or", "Fn::And"):
        return {"Fn::Or": any, "Fn::And": all}[name](holds(item, values) for item in argument)
    left, right = (holds(item, values) for item in argument)
    if name == "Fn::Equals":
        return left == right
    if name == "Fn::Contains":
        return right in left
    raise AssertionError(f"a rule uses {name}, which this test does not know")


def broken_rules(template: dict[str, Any], values: dict[str, str]) -> list[str]:
    return [
        assertion["AssertDescription"]
        for rule in template.get("Rules", {}).values()
        if "RuleCondition" not in rule or holds(rule["RuleCondition"], values)
        for assertion in rule["Assertions"]
        if not holds(assertion["Assert"], values)
    ]


def effective(template: dict[str, Any], given: dict[str, str]) -> dict[str, str]:
    """Values as CloudFormation sees them: given ones over defaults."""
    declared = template["Parameters"].items()
    defaults = {name: str(spec["Default"]) for name, spec in declared if "Default" in spec}
    return {**defaults, **given}


@in_every_stack
def test_every_output_it_asks_for_exists(
    environment: str, layer: str, stacks: Stacks, templates: Templates
) -> None:
    for name, (path, key) in stacks[environment, layer].references.items():
        group, _, file = path.partition("/")
        below = file.removesuffix(".yaml")
        assert group == environment, f"{name} comes from another environment"
        assert (group, below) in stacks, f"{name}: no stack {path}"
        assert key in templates[below]["Outputs"], f"{name}: {path} has no output {key}"
        assert LAYERS.index(below) < LAYERS.index(layer), f"{name} comes from a layer above"


@in_every_stack
def test_it_passes_what_the_template_asks_for_and_nothing_else(
    environment: str, layer: str, stacks: Stacks, templates: Templates
) -> None:
    declared = templates[layer]["Parameters"]
    passed = stacks[environment, layer].parameters
    needed = {name for name, spec in declared.items() if "Default" not in spec}
    assert passed - declared.keys() == set()
    assert needed - passed == set()


@in_every_stack
def test_every_value_is_within_its_constraints(
    environment: str, layer: str, stacks: Stacks, templates: Templates
) -> None:
    for name, value in stacks[environment, layer].values.items():
        assert refusal(templates[layer]["Parameters"][name], value) is None, name


def test_defaults_are_within_their_constraints(templates: Templates) -> None:
    for template in templates.values():
        for name, declared in template["Parameters"].items():
            if "Default" in declared:
                assert refusal(declared, str(declared["Default"])) is None, name


@in_every_stack
def test_the_metric_period_is_the_environments(
    environment: str, layer: str, stacks: Stacks, templates: Templates
) -> None:
    config = stacks[environment, layer]
    if "MetricPeriodS" in templates[layer]["Parameters"]:
        assert config.values["MetricPeriodS"] == str(config.user_data["metric_period_s"])


@pytest.mark.parametrize("environment", sorted({env for env, _ in STACKS}))
def test_no_rule_is_broken(environment: str, stacks: Stacks, templates: Templates) -> None:
    data = effective(templates["data"], stacks[environment, "data"].values)
    service = effective(templates["service"], stacks[environment, "service"].values)
    resolution_s = service["MetricResolutionS"]
    is_shared = data["StoreEngine"] == "postgresql" or data["SqliteVolumeShared"] == "true"
    for layer, template in templates.items():
        given = {**stacks[environment, layer].values, "StoreShared": str(is_shared).lower()}
        if layer == "scaling":
            given["ServiceMetricResolutionS"] = resolution_s
        assert broken_rules(template, effective(template, given)) == []


@pytest.mark.parametrize("environment", sorted({env for env, _ in STACKS}))
def test_counts_do_not_contradict_each_other(
    environment: str, stacks: Stacks, templates: Templates
) -> None:
    def numbers(layer: str) -> dict[str, str]:
        return effective(templates[layer], stacks[environment, layer].values)

    scaling, monitoring, balancer = (numbers(x) for x in ("scaling", "monitoring", "balancer"))
    assert int(scaling["MinTasks"]) <= int(scaling["MaxTasks"])
    assert int(balancer["HealthCheckTimeoutS"]) < int(balancer["HealthCheckIntervalS"])
    assert balancer["ContainerPort"] == numbers("service")["ContainerPort"]
    assert float(monitoring["P95ThresholdS"]) == float(scaling["P95StepThresholdS"])


@pytest.mark.parametrize(
    ("layer", "datapoints", "periods"),
    [
        ("monitoring", "DatapointsToAlarm", "EvaluationPeriods"),
        ("scaling", "StepDatapointsToAlarm", "StepEvaluationPeriods"),
        ("balancer", "DeploymentAlarmDatapoints", "DeploymentAlarmPeriods"),
    ],
)
def test_an_alarm_needs_no_more_datapoints_than_it_looks_at(
    layer: str, datapoints: str, periods: str, templates: Templates
) -> None:
    template = templates[layer]
    most = template["Parameters"][periods]["MaxValue"]
    assert template["Parameters"][datapoints]["MaxValue"] == most
    for needed, looked_at in product(range(1, most + 1), repeat=2):
        given = {datapoints: str(needed), periods: str(looked_at), "StoreShared": "true"}
        told = broken_rules(template, effective(template, given))
        assert bool(told) == (needed > looked_at), (needed, looked_at)


@pytest.mark.parametrize(
    ("shared", "max_tasks", "refused"),
    [("false", "1", False), ("false", "2", True), ("true", "2", False)],
)
def test_a_store_of_its_own_means_one_task(
    shared: str, max_tasks: str, refused: bool, templates: Templates
) -> None:
    values = {"StoreShared": shared, "MaxTasks": max_tasks}
    scaling = templates["scaling"]
    assert bool(broken_rules(scaling, effective(scaling, values))) is refused


@pytest.mark.parametrize(
    ("period_s", "resolution_s", "refused"),
    [("60", "60", False), ("60", "20", False), ("20", "20", False), ("20", "60", True)],
)
def test_scaling_does_not_wait_for_finer_metrics_than_there_are(
    period_s: str, resolution_s: str, refused: bool, templates: Templates
) -> None:
    values = {"EcsMetricPeriodS": period_s, "ServiceMetricResolutionS": resolution_s}
    scaling = templates["scaling"]
    broken = broken_rules(scaling, effective(scaling, {"StoreShared": "true", **values}))
    assert bool(broken) is refused
    assert all("MetricResolutionS 20 in service.yaml" in told for told in broken)


@pytest.mark.parametrize(
    ("cpu", "memory", "refused"),
    [
        ("256", "512", False),
        ("256", "3072", True),
        ("512", "512", True),
        ("512", "4096", False),
        ("1024", "8192", False),
        ("2048", "16384", False),
        ("2048", "2048", True),
    ],
)
def test_task_sizes_are_those_fargate_sells(
    cpu: str, memory: str, refused: bool, templates: Templates
) -> None:
    values = {"TaskCpu": cpu, "TaskMemory": memory}
    assert bool(broken_rules(templates["service"], values)) is refused


def test_every_task_size_on_offer_has_a_rule(templates: Templates) -> None:
    service = templates["service"]
    for cpu in service["Parameters"]["TaskCpu"]["AllowedValues"]:
        assert broken_rules(service, {"TaskCpu": str(cpu), "TaskMemory": "513"})


def test_a_certificate_needs_the_name_it_is_for(templates: Templates) -> None:
    arn = "arn:aws:acm:eu-west-1:1:certificate/x"
    given = effective(templates["balancer"], {"CertificateArn": arn})
    assert broken_rules(templates["balancer"], given)
    assert not broken_rules(templates["balancer"], {**given, "DomainName": "shop.example"})


@pytest.mark.parametrize(
    ("layer", "given", "missing"),
    [
        ("balancer", {"Exposure": "cloudfront"}, "OriginSecretArn"),
        ("balancer", {"Login": "cognito"}, "CertificateArn"),
        ("balancer", {"HostedZoneId": "Z1"}, "DomainName"),
        (
            "balancer",
            {
                "Login": "cognito",
                "Exposure": "vpc-origin",
                "CertificateArn": "arn:aws:acm:eu-west-1:1:certificate/x",
                "DomainName": "shop.example",
            },
            "Cognito",
        ),
        ("edge", {"EdgeMode": "public-origin"}, "OriginSecretArn"),
        ("edge", {"DomainName": "shop.example"}, "CertificateArn"),
        ("edge", {"AccessControl": "api-key"}, "EdgeMode"),
        ("edge", {"AccessControl": "basic"}, "EdgeMode"),
        (
            "edge",
            {
                "EdgeMode": "vpc-origin",
                "AccessControl": "basic",
                "EndpointHealthCheck": "enabled",
                "EndpointHealthPath": "/products",
            },
            "OpenPath",
        ),
        ("runbooks", {"DailyState": "ENABLED"}, "RunbookImageReference"),
        ("runbooks", {"WeeklyState": "ENABLED"}, "RunbookImageReference"),
    ],
)
def test_what_needs_something_else_says_what(
    layer: str, given: dict[str, str], missing: str, templates: Templates
) -> None:
    (refused,) = broken_rules(templates[layer], effective(templates[layer], given))
    assert missing in refused


def test_nothing_at_the_edge_is_on_by_accident(templates: Templates) -> None:
    defaults = effective(templates["edge"], {}) | effective(templates["balancer"], {})
    assert (defaults["EdgeMode"], defaults["AccessControl"]) == ("none", "none")
    assert (defaults["Exposure"], defaults["Login"]) == ("internet", "none")


@pytest.mark.parametrize("environment", sorted({env for env, _ in STACKS}))
def test_the_balancer_and_the_edge_agree(
    environment: str, stacks: Stacks, templates: Templates
) -> None:
    matching = {"none": "internet", "vpc-origin": "vpc-origin", "public-origin": "cloudfront"}
    edge = effective(templates["edge"], stacks[environment, "edge"].values)
    balancer = effective(templates["balancer"], stacks[environment, "balancer"].values)
    assert balancer["Exposure"] == matching[edge["EdgeMode"]]
    # A login answers a look from outside with a redirect, which counts as healthy.
    assert balancer["Login"] == "none" or edge["EndpointHealthPath"] == balancer["OpenPath"]


@pytest.mark.parametrize("environment", sorted({env for env, _ in STACKS}))
def test_what_depends_on_the_balancer_is_told_by_it(environment: str, stacks: Stacks) -> None:
    balancer = f"{environment}/balancer.yaml"
    service, edge = (stacks[environment, layer].references for layer in ("service", "edge"))
    assert service["TrustedProxies"] == (balancer, "ProxyCount")
    assert edge["BalancerCertificateName"] == (balancer, "CertificateName")


@pytest.mark.parametrize(
    ("reference", "accepted"),
    [
        ("@sha256:" + "0" * 64, True),
        (":1.2.0", True),
        (":007", True),
        ("", False),
        ("1.2.0", False),
        ("@sha256:abc", False),
        ("sha256:" + "0" * 64, False),
    ],
)
def test_an_image_reference_names_one_image(
    reference: str, accepted: bool, templates: Templates
) -> None:
    declared = templates["service"]["Parameters"]["ImageReference"]
    assert (refusal(declared, reference) is None) is accepted


def test_a_missing_image_says_what_to_do(templates: Templates) -> None:
    declared = templates["service"]["Parameters"]["ImageReference"]
    assert "10_deploy" in declared["ConstraintDescription"]
