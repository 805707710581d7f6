"""The edge turned on, in both of its ways, and what a scheduled notebook asks AWS for."""

from __future__ import annotations

import base64
import fnmatch
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import boto3
import pytest

from runbook import aws
from runbook.environment import LAYERS, load_environment
from runbook.keys import key_store

pytestmark = [pytest.mark.e2e, pytest.mark.scenario, pytest.mark.timeout(600)]

EdgeFunction = Callable[[str, dict[str, Any], dict[str, Any]], dict[str, Any]]
EDGE_REGION = "us-east-1"
#: Written into a process by Python itself: every AWS call it makes, and in which region.
RECORDER = """
import os
from botocore.client import BaseClient

make = BaseClient._make_api_call

def record(self, operation, arguments):
    service = self.meta.service_model.service_name
    with open(os.environ["RECORDED_CALLS"], "a") as stream:
        stream.write(f"{service} {operation} {self.meta.region_name}\\n")
    return make(self, operation, arguments)

BaseClient._make_api_call = record
"""
#: Where IAM's words differ from the SDK's.
PREFIXES = {"elbv2": "elasticloadbalancing"}
ACTIONS = {"s3:ListObjectsV2": "s3:ListBucket", "s3:HeadObject": "s3:GetObject"}
#: Nobody needs a right to ask who he is.
FREE = "sts:GetCallerIdentity"


@pytest.fixture
def ask(project: Any) -> Callable[..., Any]:
    """A boto3 client of the region, as somebody who did not write this would have it."""

    def client(service: str, region: str = EDGE_REGION) -> Any:
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=project.state()["endpoint_url"],
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    return client


@pytest.fixture
def names(ask: Callable[..., Any]) -> dict[str, str]:
    """A certificate for the balancer and a zone, which a project brings along."""
    certificate = ask("acm", "eu-west-1").request_certificate(DomainName="origin.example")
    zone = ask("route53").create_hosted_zone(Name="example.", CallerReference=os.urandom(8).hex())
    return {
        "certificate": certificate["CertificateArn"],
        "zone": zone["HostedZone"]["Id"].rpartition("/")[2],
    }


def give(project: Any, layer: str, **values: object) -> None:
    """Parameters of a stack, whether its file has them already or not."""
    path = project.root / f"sceptre/config/local/{layer}.yaml"
    kept = [
        line
        for line in path.read_text().splitlines()
        if not any(line.startswith(f"  {name}:") for name in values)
    ]
    given = [f"  {name}: {json.dumps(str(value))}" for name, value in values.items()]
    path.write_text("\n".join([*kept, *given]) + "\n")


def create(project: Any) -> None:
    created = project.run("create", "local", "--json")
    assert created.code == 0, created.err
    outcomes = json.loads(created.out)["outcomes"]
    assert {item["layer"] for item in outcomes if item["result"] == "created"} == set(LAYERS)
    in_step(project)


def change(project: Any, name: str, *layers: str) -> set[tuple[str, str]]:
    """Review a change and execute it; the review's (logical id, action), all in place."""
    reviewed = project.run("change", "local", name, "--json")
    assert reviewed.code == 0, reviewed.err
    approved = project.run("approve", "local", name, "--json")
    assert approved.code == 0, approved.err
    outcomes = json.loads(approved.out)["outcomes"]
    assert [item["layer"] for item in outcomes if item["result"] == "updated"] == list(layers)
    in_step(project)
    shown = [item for layer in json.loads(reviewed.out)["layers"] for item in layer["changes"]]
    assert {item["replacement"] for item in shown if item["action"] == "Modify"} == {"False"}
    return {(item["logical_id"], item["action"]) for item in shown}


def in_step(project: Any) -> None:
    drift = project.run("drift", "local", "--json")
    assert drift.code == 0, drift.out
    assert {item["layer"] for item in json.loads(drift.out)} == set(LAYERS)


def outputs(project: Any, layer: str) -> dict[str, str]:
    return aws.outputs(load_environment("local", project.root), layer)


def distribution(project: Any, ask: Callable[..., Any]) -> dict[str, Any]:
    found: dict[str, Any] = ask("cloudfront").get_distribution_config(
        Id=outputs(project, "edge")["DistributionId"]
    )["DistributionConfig"]
    return found


def status_of(url: str, **headers: str) -> int:
    request = urllib.request.Request(
        url, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def passes(
    project: Any, ask: Callable[..., Any], edge_function: EdgeFunction, **headers: str
) -> bool:
    """Whether the function that is live lets a request in, by the store that it is bound to."""
    behaviour = distribution(project, ask)["DefaultCacheBehavior"]
    (bound,) = behaviour["FunctionAssociations"]["Items"]
    cloudfront, name = ask("cloudfront"), bound["FunctionARN"].rpartition("/")[2]
    live = cloudfront.get_function(Name=name, Stage="LIVE")["FunctionCode"].read().decode()
    config = cloudfront.describe_function(Name=name, Stage="LIVE")["FunctionSummary"]
    (store,) = config["FunctionConfig"]["KeyValueStoreAssociations"]["Items"]
    assert store["KeyValueStoreARN"] == outputs(project, "edge")["KeyStoreArn"]
    kept = key_store(load_environment("local", project.root)).entries()
    sent = {name.replace("_", "-"): {"value": value} for name, value in headers.items()}
    request = {"method": "GET", "uri": "/products", "querystring": {}, "headers": sent}
    answer = edge_function(live, {"request": request | {"cookies": {}}}, kept)
    assert answer.get("statusCode", 401) == 401
    return "uri" in answer


def issued(project: Any, *arguments: str) -> dict[str, Any]:
    answer = project.run("keys", *arguments, "--json")
    assert answer.code == 0, answer.err
    found: dict[str, Any] = json.loads(answer.out)
    return found


def test_a_public_origin_launches(
    project: Any, ask: Callable[..., Any], names: dict[str, str]
) -> None:
    give(project, "data", OriginHeader="enabled")
    give(
        project, "balancer", Exposure="cloudfront", CertificateArn=names["certificate"],
        DomainName="origin.example", HostedZoneId=names["zone"],
    )  # fmt: skip
    give(
        project, "edge", EdgeMode="public-origin", AccessControl="api-key",
        DomainName="shop.example", HostedZoneId=names["zone"], EndpointHealthCheck="enabled",
        BlockedCidrs="198.51.100.0/24,203.0.113.0/24",
    )  # fmt: skip
    create(project)
    assert outputs(project, "edge")["EdgeUrl"] == "https://shop.example"
    (origin,) = distribution(project, ask)["Origins"]["Items"]
    assert origin["DomainName"] == "origin.example"
    assert origin["CustomOriginConfig"]["OriginProtocolPolicy"] == "https-only"
    (check,) = ask("route53").list_health_checks()["HealthChecks"]
    called = check["HealthCheckConfig"]
    assert (called["Type"], called["Port"]) == ("HTTPS", 443)
    assert called["FullyQualifiedDomainName"] == "shop.example"


def test_the_balancer_knows_cloudfront_by_its_header(project: Any, ask: Callable[..., Any]) -> None:
    """The secret came through both regions; only who shows it reaches a task."""
    url, secret = listener(project), secret_header(project, ask)
    assert status_of(f"{url}/health") == 403
    assert status_of(f"{url}/health", x_origin_secret="guessed") == 403
    assert status_of(f"{url}/health", x_origin_secret=secret) == 200


def listener(project: Any) -> str:
    """Where the HTTPS listener answers. TLS is a record here: in plain HTTP."""
    status = json.loads(project.run("local", "status", "--json").out)
    (found,) = [item for item in status["listeners"] if item["listener_port"] == 443]
    return f"http://127.0.0.1:{found['port']}"


def secret_header(project: Any, ask: Callable[..., Any]) -> str:
    (origin,) = distribution(project, ask)["Origins"]["Items"]
    (header,) = origin["CustomHeaders"]["Items"]
    assert header["HeaderName"] == "x-origin-secret"
    return str(header["HeaderValue"])


def test_a_task_believes_two_proxies(project: Any, ask: Callable[..., Any]) -> None:
    definition = ask("ecs", "eu-west-1").describe_task_definition(
        taskDefinition=outputs(project, "service")["TaskDefinitionArn"]
    )["taskDefinition"]
    (container,) = definition["containerDefinitions"]
    variables = {item["name"]: item["value"] for item in container["environment"]}
    assert variables["TRUSTED_PROXIES"] == "2"


def test_keys_open_the_edge_until_they_are_revoked(
    project: Any, ask: Callable[..., Any], edge_function: EdgeFunction
) -> None:
    def opens(credential: str) -> bool:
        return passes(project, ask, edge_function, x_api_key=credential)

    assert project.run("keys", "issue", "local", "eve", "--dry-run").code == 0
    ann = issued(project, "issue", "local", "ann", "--days", "90")
    bob = issued(project, "issue", "local", "bob")
    assert opens(ann["credential"])
    assert opens(bob["credential"])
    assert not opens("guessed")
    told = project.run("keys", "list", "local").out
    assert ann["id"] in told
    assert "eve" not in told
    assert ann["credential"] not in told

    renewed = issued(project, "rotate", "local", ann["id"])
    assert opens(ann["credential"]), "for the days of grace"
    assert opens(renewed["credential"])
    assert issued(project, "rotate", "local", renewed["id"], "--grace-days", "0")
    assert not opens(renewed["credential"])
    assert project.run("keys", "revoke", "local", bob["id"]).code == 0
    assert not opens(bob["credential"])
    assert project.run("keys", "revoke", "local", bob["id"]).code == 2


def test_the_role_allows_what_the_scheduled_notebooks_ask_for(
    project: Any, ask: Callable[..., Any]
) -> None:
    """Run what both schedules run by default, and compare its calls with the task's role."""
    schedules = ask("scheduler", "eu-west-1")
    group = outputs(project, "runbooks")["ScheduleGroupName"]
    for name in outputs(project, "runbooks")["ScheduleNames"].split(","):
        target = schedules.get_schedule(GroupName=group, Name=name)["Target"]
        (container,) = json.loads(target["Input"])["containerOverrides"]
        weekly = container["command"]
    assert weekly[:3] == ["python", "-m", "runbook"]
    recorded = project.root / "calls.txt"
    (project.root / "recorder").mkdir()
    (project.root / "recorder" / "sitecustomize.py").write_text(RECORDER)
    done = subprocess.run(
        [sys.executable, *weekly[1:]], cwd=project.root, capture_output=True, text=True,
        check=False, env={**os.environ, "PYTHONPATH": str(project.root / "recorder"),
                          "RECORDED_CALLS": str(recorded)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    calls = {tuple(line.split()) for line in recorded.read_text().splitlines()}
    asked = {(iam_action(service, operation), region) for service, operation, region in calls}
    assert ("cloudformation:DescribeStacks", EDGE_REGION) in asked
    statements = role_statements(project, ask)
    for action, region in asked - {(FREE, "eu-west-1")}:
        assert allowed(action, region, statements), f"{action} in {region} would be refused"
    allowed_actions = {action for s in statements for action in s["Action"]}
    assert allowed_actions == {action for action, _ in asked} - {FREE}, "more than is asked for"


def iam_action(service: str, operation: str) -> str:
    action = f"{PREFIXES.get(service, service)}:{operation}"
    return ACTIONS.get(action, action)


def role_statements(project: Any, ask: Callable[..., Any]) -> list[dict[str, Any]]:
    """The deployed role's own statements, actions and resources as lists."""
    iam = ask("iam")
    role = outputs(project, "runbooks")["RunbookTaskRoleArn"].rpartition("/")[2]
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    return [
        {**statement, **{
            key: value if isinstance(value, list) else [value]
            for key, value in statement.items() if key in ("Action", "Resource")
        }}
        for statement in document["Statement"]
    ]  # fmt: skip


def allowed(action: str, region: str, statements: list[dict[str, Any]]) -> bool:
    """Whether a statement allows an action for something in a region."""
    return any(
        action in statement["Action"]
        and any(
            resource == "*" or fnmatch.fnmatch(resource.split(":")[3] or region, region)
            for resource in statement["Resource"]
        )
        for statement in statements
    )


def test_another_access_control_is_a_reviewed_change(
    project: Any, ask: Callable[..., Any], edge_function: EdgeFunction
) -> None:
    give(project, "balancer", Login="cognito")
    give(project, "edge", AccessControl="basic", BlockedCidrs="198.51.100.0/24", RateLimit=500)
    shown = change(project, "basic", "balancer", "edge")
    assert ("BrowserHeaders", "Remove") in shown
    assert ("OpenWithoutLogin", "Add") in shown
    name, set_id, scope = outputs(project, "edge")["BlockedAddressesId"].split("|")
    found = ask("wafv2").get_ip_set(Name=name, Id=set_id, Scope=scope)["IPSet"]["Addresses"]
    assert found == ["198.51.100.0/24"]
    arn = outputs(project, "balancer")["ListenerArn"]
    rules = ask("elbv2", "eu-west-1").describe_rules(ListenerArn=arn)["Rules"]
    assert {rule["Priority"]: [a["Type"] for a in rule["Actions"]] for rule in rules} == {
        "10": ["forward"],
        "20": ["authenticate-cognito", "forward"],
        "default": ["fixed-response"],
    }
    url, secret = listener(project), secret_header(project, ask)
    assert status_of(f"{url}/health", x_origin_secret=secret) == 200
    # Asking for a login is not emulated: the rule is there, and nobody passes it.
    assert status_of(f"{url}/products", x_origin_secret=secret) == 501
    assert status_of(f"{url}/health") == 403
    credentials_open_the_edge(project, ask, edge_function)


def credentials_open_the_edge(
    project: Any, ask: Callable[..., Any], edge_function: EdgeFunction
) -> None:
    carol = issued(project, "issue", "local", "carol")
    login = base64.b64encode(carol["credential"].encode()).decode()
    assert passes(project, ask, edge_function, authorization=f"Basic {login}")
    assert not passes(project, ask, edge_function, x_api_key=carol["credential"])
    assert project.run("keys", "revoke", "local", carol["id"]).code == 0
    assert not passes(project, ask, edge_function, authorization=f"Basic {login}")


def test_it_goes_as_a_whole(project: Any) -> None:
    gone = project.run("delete", "local")
    assert gone.code == 0, gone.err
    assert set(project.statuses().values()) == {None}


def test_an_internal_origin_in_a_small_network_launches(
    project: Any, ask: Callable[..., Any], edge_function: EdgeFunction
) -> None:
    give(project, "network", Egress="endpoints", AppZones=1)
    give(project, "data", OriginHeader="disabled")
    give(
        project, "balancer", Exposure="vpc-origin", CertificateArn="", DomainName="",
        HostedZoneId="", Login="none",
    )  # fmt: skip
    give(
        project, "edge", EdgeMode="vpc-origin", AccessControl="basic", DomainName="",
        HostedZoneId="", BlockedCidrs="",
    )  # fmt: skip
    create(project)
    network, balancer = outputs(project, "network"), outputs(project, "balancer")
    assert "," not in network["AppSubnetIds"]
    found = ask("ec2", "eu-west-1").describe_vpc_endpoints(
        Filters=[{"Name": "vpc-id", "Values": [network["VpcId"]]}]
    )["VpcEndpoints"]
    services = {item["ServiceName"].removeprefix("com.amazonaws.eu-west-1.") for item in found}
    assert services == {"s3", "ecr.api", "ecr.dkr", "logs", "secretsmanager"}
    (described,) = ask("elbv2", "eu-west-1").describe_load_balancers(
        LoadBalancerArns=[balancer["BalancerArn"]]
    )["LoadBalancers"]
    assert described["Scheme"] == "internal"
    endpoint = vpc_origin(project, ask)
    assert endpoint["Arn"] == balancer["BalancerArn"]
    assert endpoint["OriginProtocolPolicy"] == "http-only"
    credentials_open_the_edge(project, ask, edge_function)


def test_the_edge_follows_a_certificate_of_the_balancer(
    project: Any, ask: Callable[..., Any], names: dict[str, str]
) -> None:
    certificate = names["certificate"]
    give(project, "balancer", CertificateArn=certificate, DomainName="origin.example")
    assert project.run("change", "local", "tls").code == 0
    # What goes at the edge only shows when the balancer has told it of the certificate.
    stopped = project.run("approve", "local", "tls")
    assert stopped.code == 1, stopped.err
    assert "OriginOverHttp (Remove)" in stopped.err
    shown = change(project, "tls-edge", "edge")
    assert {("OriginOverTls", "Add"), ("OriginOverHttp", "Remove")} <= shown
    assert vpc_origin(project, ask)["OriginProtocolPolicy"] == "https-only"
    (origin,) = distribution(project, ask)["Origins"]["Items"]
    assert origin["DomainName"] == "origin.example"


def vpc_origin(project: Any, ask: Callable[..., Any]) -> dict[str, Any]:
    (origin,) = distribution(project, ask)["Origins"]["Items"]
    reached = ask("cloudfront").get_vpc_origin(Id=origin["VpcOriginConfig"]["VpcOriginId"])
    endpoint: dict[str, Any] = reached["VpcOrigin"]["VpcOriginEndpointConfig"]
    return endpoint


def test_that_goes_too(project: Any) -> None:
    test_it_goes_as_a_whole(project)
