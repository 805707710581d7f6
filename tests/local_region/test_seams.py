"""Each name of the emulator this package reaches for; one fails when an upgrade moves it."""

import http.client
import json
import threading
from importlib.metadata import version
from pathlib import Path

import pytest

from local_region import ports
from local_region.errors import AwsError, SeamMoved
from local_region.seams import cloudformation, cloudwatch, core
from local_region.server import Server

SCOPE = ("000000000000", "eu-west-1")


@pytest.fixture
def restore():
    """`restore(owner, name)` puts a name back after the test."""
    kept = []

    def keep(owner, name):
        kept.append((owner, name, core.attribute(owner, name)))
        return owner

    yield keep
    for owner, name, old in reversed(kept):
        core.replace(owner, name, old)


@pytest.fixture
def cw():
    module = core.module("services.cloudwatch")
    module.reset()
    with core.request_scope(*SCOPE):
        yield module
    module.reset()


def test_the_installed_version_is_the_one_the_seams_were_made_for():
    assert version("ministack") == core.VERSION


# --- core


def test_a_name_that_moved_is_told_with_what_to_install():
    with pytest.raises(SeamMoved, match=r"no nowhere in .*; install ministack==1\.5\.33"):
        core.attribute(core.module("core.router"), "nowhere")
    with pytest.raises(SeamMoved, match=r"no module ministack\.services\.nowhere"):
        core.module("services.nowhere")


def test_replace_and_wrap_give_back_what_was_there():
    class Owner:
        value = 1

    assert core.replace(Owner, "value", 2) == 1
    assert core.wrap(Owner, "value", lambda old: old + 1) == 2
    assert Owner.value == 3
    table = {"a": 1}
    core.replace(table, "a", 5)
    assert table == {"a": 5}
    with pytest.raises(SeamMoved):
        core.replace(table, "b", 1)


def test_the_environment_keeps_everything_on_loopback_and_docker_out(tmp_path):
    environment = core.launch_environment(
        port=4566, region="eu-west-1", account_id="0" * 12, directory=tmp_path
    )
    assert environment["BIND_HOST"] == "127.0.0.1"
    assert environment["IOT_MTLS_ENABLED"] == environment["SFTP_ENABLED"] == "0"
    socket = environment["DOCKER_HOST"].removeprefix("unix://")
    assert socket.startswith(str(tmp_path))
    assert environment["PERSIST_STATE"] == "0"


def test_the_variables_are_those_the_emulator_reads(tmp_path):
    package = Path(core.module("app").__file__).parent
    source = "".join(path.read_text() for path in package.rglob("*.py"))
    for name in core.launch_environment(port=1, region="r", account_id="a", directory=tmp_path):
        assert f'"{name}"' in source, f"the emulator does not read {name} any more"


def test_scopes(cw):
    assert core.current_scope() == SCOPE
    with core.request_scope("111111111111", "us-east-1"):
        cw._alarms["a"] = {}
    assert core.scopes_of(cw._alarms) == {("111111111111", "us-east-1")}
    assert cloudwatch.alarm_scopes() == {("111111111111", "us-east-1")}


def test_stores_may_be_read_while_they_change(restore):
    responses = core.module("core.responses")
    for store in (responses.AccountScopedDict, responses.AccountRegionScopedDict):
        for name in ("keys", "values", "items", "__len__", "__bool__", "__iter__"):
            restore(store, name)
    for name in ("values_scoped", "items_scoped", "all_values", "all_items"):
        restore(responses.AccountRegionScopedDict, name)
    core.tolerate_concurrent_iteration()

    class Unruly(dict):
        """Fails like a dictionary that grew under its reader, twice."""

        failures = 2

        def items(self):
            if self.failures:
                self.failures -= 1
                raise RuntimeError("dictionary changed size during iteration")
            return super().items()

    store = responses.AccountRegionScopedDict()
    store._data = Unruly()
    with core.request_scope(*SCOPE):
        store["a"] = 1
        assert store.items() == [("a", 1)]
        assert list(store) == ["a"]


def test_a_connection_closed_by_its_client_is_given_back(restore):
    import hypercorn.asyncio.tcp_server

    restore(hypercorn.asyncio.tcp_server.TCPServer, "_read_data")
    core.give_back_closed_connections()
    waiting = []

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        import asyncio

        waiting.append(sum("TCPServer" in repr(t) or "_server_callback" in repr(t)
                           for t in asyncio.all_tasks()))  # fmt: skip
        await send({"type": "http.response.start", "status": 200,
                    "headers": [(b"content-length", b"0")]})  # fmt: skip
        await send({"type": "http.response.body", "body": b""})

    server = Server(ports.bind(0), app)
    server.start(10)
    try:
        for _ in range(5):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            threading.Event().wait(0.05)
    finally:
        server.stop(5)
    assert waiting[-1] <= 2, f"connections pile up: {waiting}"


def test_a_service_is_routed_by_its_target(restore):
    import asyncio

    router, app = core.module("core.router"), core.module("app")
    called = []

    def answer(operation, body):
        called.append((operation, body, core.current_scope()))
        return 200, {}, b"{}"

    try:
        core.register_service("shop-service", "ShopFrontend", answer)
        headers = {"x-amz-target": "ShopFrontend.DoIt"}
        assert router.detect_service("POST", "/", headers, {}) == "shop-service"
        with core.request_scope(*SCOPE):
            handle = app.SERVICE_HANDLERS["shop-service"]
            asyncio.run(handle("POST", "/", headers, b"{}", {}))
    finally:
        router.SERVICE_PATTERNS.pop("shop-service", None)
        app.SERVICE_HANDLERS.pop("shop-service", None)
    assert called == [("DoIt", b"{}", SCOPE)]


def test_the_emulators_application_is_there():
    assert callable(core.asgi_app())


# --- CloudFormation


@pytest.fixture
def provisioners(restore):
    module = core.module("services.cloudformation.provisioners")
    for table in ("_RESOURCE_HANDLERS", "_REPLACING_PROPERTIES", "_STACK_TAG_PROPERTY"):
        restore(module, table)
        core.replace(module, table, dict(core.attribute(module, table)))
    return module


def thing(**more):
    return cloudformation.ResourceType(
        lambda logical_id, properties, stack: (f"{stack}-{logical_id}", {"Size": properties["S"]}),
        lambda physical_id, properties: None,
        **more,
    )


def test_a_registered_type_is_made_changed_and_deleted(provisioners):
    changes = []

    def update(physical_id, old, new, stack_name, logical_id=None):
        changes.append((old, new, logical_id))
        return physical_id, {"Size": new["S"]}

    cloudformation.register_type("Own::Thing", thing(update=update, replacing=("N",), tags="Tags"))
    made = provisioners._provision_resource("Own::Thing", "L", {"S": 1}, "stack")
    assert made == ("stack-L", {"Size": 1})
    changed = provisioners._update_resource(
        "Own::Thing", "stack-L", {"S": 1}, {"S": 2}, "stack", "L"
    )
    assert changed == ("stack-L", {"Size": 2})
    assert changes == [({"S": 1}, {"S": 2}, "L")]
    provisioners._delete_resource("Own::Thing", "stack-L", {"S": 2})
    assert provisioners._property_recreation("Own::Thing", "N") == "Always"
    assert provisioners._property_recreation("Own::Thing", "S") == "Never"
    assert cloudformation.has_replacing_properties("Own::Thing")
    tagged = provisioners._with_stack_tags(
        "Own::Thing", {"S": 1}, [{"Key": "k", "Value": "v"}], "stack", "id", "L"
    )
    assert {"Key": "k", "Value": "v"} in tagged["Tags"]


def test_a_type_nobody_makes_fails_the_template(provisioners):
    engine = core.module("services.cloudformation.engine")
    template = {"Resources": {"X": {"Type": "AWS::CloudFormation::Unheard"}}}
    with pytest.raises(ValueError, match="Unrecognized resource types"):
        engine.validate_template_support(template, {})
    assert "AWS::CloudFormation::Unheard" not in cloudformation.emulated_types()


def test_attributes_are_mended_after_creation_and_update(provisioners):
    name = "AWS::EC2::VPC"
    provisioners._RESOURCE_HANDLERS[name] = {
        "create": lambda logical_id, properties, stack: ("vpc-1", {"VpcId": "vpc-1"}),
        "update": lambda physical_id, old, new, stack, logical_id=None: (physical_id, {}),
    }
    cloudformation.mend_attributes(name, lambda pid, properties: {"Cidr": properties["C"]})
    handler = provisioners._RESOURCE_HANDLERS[name]
    assert handler["create"]("L", {"C": "10/8"}, "s") == (
        "vpc-1",
        {"VpcId": "vpc-1", "Cidr": "10/8"},
    )
    assert handler["update"]("vpc-1", {}, {"C": "11/8"}, "s", "L") == ("vpc-1", {"Cidr": "11/8"})


def test_the_types_that_are_mended_exist():
    handlers = core.module("services.cloudformation.provisioners")._RESOURCE_HANDLERS
    for name in ("AWS::EC2::VPC", "AWS::ElasticLoadBalancingV2::TargetGroup"):
        assert {"create", "update"} <= set(handlers[name])


def test_names_are_stable():
    name = cloudformation.physical_name("shop-local-service", "Service", 255)
    assert name == cloudformation.physical_name("shop-local-service", "Service", 255)
    assert name.startswith("shop-local-service-Service-")
    assert len(cloudformation.physical_name("s" * 300, "L", 32)) == 32


def test_handlers_run_on_worker_threads(restore):
    stacks = restore(core.module("services.cloudformation.stacks"), "_runs_on_worker_thread")
    cloudformation.run_handlers_on_worker_threads()
    assert stacks._runs_on_worker_thread("AWS::EC2::VPC")


def test_a_failed_update_is_sent_back(restore):
    stacks = restore(core.module("services.cloudformation.stacks"), "_sends_back_failed_update")
    cloudformation.revert_failed_updates_of("AWS::ECS::Service")
    assert stacks._sends_back_failed_update("AWS::ECS::Service")
    assert stacks._sends_back_failed_update("Custom::X")
    assert not stacks._sends_back_failed_update("AWS::EC2::VPC")


def test_describe_stacks_lists_notification_arns(restore):
    handlers = restore(core.module("services.cloudformation.handlers"), "_xml")
    cloudformation.list_notification_arns()
    service = core.module("services.cloudformation")
    with core.request_scope(*SCOPE):
        service._stacks["s"] = {"StackName": "s", "StackId": "id", "StackStatus": "CREATE_COMPLETE"}
        try:
            _, _, body = handlers._describe_stacks({"StackName": ["s"]})
        finally:
            service._stacks.pop("s")
    assert b"<NotificationARNs/>" in body


def test_resources_of_living_stacks_are_listed():
    service = core.module("services.cloudformation")
    resource = {"PhysicalResourceId": "p", "ResourceType": "T", "ResourceStatus": "CREATE_COMPLETE"}
    with core.request_scope(*SCOPE):
        for name, status in (("alive", "CREATE_COMPLETE"), ("gone", "DELETE_COMPLETE")):
            service._stacks[name] = {"StackName": name, "StackStatus": status,
                                     "_resources": {"L": resource}}  # fmt: skip
        try:
            listed = cloudformation.stack_resources()
        finally:
            service._stacks.clear()
    assert listed == [
        {"stack": "alive", "logical_id": "L", "physical_id": "p", "type": "T",
         "status": "CREATE_COMPLETE"}
    ]  # fmt: skip


# --- CloudWatch


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("PutMetricData", "_put_metric_data"),
        ("ListMetrics", "_list_metrics"),
        ("GetMetricStatistics", "_get_metric_statistics"),
        ("GetMetricData", "_get_metric_data"),
        ("PutMetricAlarm", "_put_metric_alarm"),
        ("DescribeAlarmsForMetric", "_describe_alarms_for_metric"),
    ],
)
def test_an_operation_is_answered_by_ours_in_both_protocols(cw, restore, action, name):
    import asyncio

    restore(cw, name)
    seen = []

    def operation(request):
        seen.append(request)
        if "Fail" in request:
            raise AwsError("ValidationError", "no")
        return {"Answer": 1}

    cloudwatch.replace_operation(action, operation)

    def ask(headers, body):
        return asyncio.run(cw.handle_request("POST", "/", headers, body, {}))

    target = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"G.{action}"}
    assert ask(target, b'{"A": [1]}')[2] == b'{"Answer": 1}'
    status, _, body = ask(target, b'{"Fail": 1}')
    assert (status, json.loads(body)["__type"]) == (400, "ValidationError")
    status, headers, body = ask({"content-type": "application/x-www-form-urlencoded"},
                                f"Action={action}&A.member.1=x".encode())  # fmt: skip
    assert (status, headers["Content-Type"]) == (200, "text/xml")
    assert f"<{action}Result><Answer>1</Answer>".encode() in body
    assert seen[0] == {"A": [1]}
    assert seen[-1]["A"] == ["x"]
    assert ask({"content-type": "application/cbor"}, b"")[0] in (400, 415)


def test_the_emulators_own_evaluator_is_silent(cw, restore):
    restore(cw, "_evaluate_alarm")
    restore(cw, "_evaluate_all_alarms")
    cloudwatch.silence_own_evaluator()
    cw._evaluate_all_alarms()
    assert cw._evaluate_alarm({}) is None


def test_metrics_of_other_services_come_to_us(cw, restore):
    restore(cw, "record_metric")
    got = []
    cloudwatch.publish_service_metrics_to(lambda *arguments, **more: got.append((arguments, more)))
    cw.record_metric("AWS/Lambda", "Errors", 1.0, dimensions={"FunctionName": "f"})
    assert got == [(("AWS/Lambda", "Errors", 1.0), {"dimensions": {"FunctionName": "f"}})]


def alarm(name="a"):
    return {
        "AlarmName": name,
        "AlarmArn": f"arn:aws:cloudwatch:eu-west-1:000000000000:alarm:{name}",
        "StateValue": "OK",
        "StateReason": "",
        "ActionsEnabled": True,
        "AlarmActions": ["arn:aws:sns:eu-west-1:000000000000:page"],
        "OKActions": [],
        "InsufficientDataActions": [],
    }


def test_alarms_are_kept_tagged_and_deleted(cw):
    cloudwatch.put_alarm(alarm())
    cloudwatch.tag_alarm("a", {"k": "v"})
    assert cw._resource_tags[alarm()["AlarmArn"]] == {"k": "v"}
    assert set(cloudwatch.alarms()) == {"a"}
    cloudwatch.delete_alarm("a")
    cloudwatch.delete_alarm("a")
    assert cloudwatch.alarms() == {}


def test_a_transition_is_recorded_notified_and_passed_up(cw, monkeypatch):
    sent = []
    sns = core.module("services.sns")
    monkeypatch.setattr(sns, "_fanout", lambda topic, *rest: sent.append(topic))
    cloudwatch.put_alarm(alarm())
    cw._composite_alarms["page"] = {**alarm("page"), "AlarmRule": 'ALARM("a")'}
    cloudwatch.record_transition(cloudwatch.alarms()["a"], "ALARM", "hot", {"x": 1}, 12.5)
    assert cloudwatch.alarms()["a"]["StateValue"] == "ALARM"
    assert json.loads(cloudwatch.alarms()["a"]["StateReasonData"]) == {"x": 1}
    assert cloudwatch.composite_alarms()["page"]["StateValue"] == "ALARM"
    entry = next(e for e in cw._history_entries() if "from OK to ALARM" in e["HistorySummary"])
    assert (entry["AlarmName"], entry["Timestamp"]) == ("a", 12.5)
    assert sent == ["arn:aws:sns:eu-west-1:000000000000:page"] * 2


def test_the_history_is_described_with_its_fractions(cw):
    cloudwatch.put_alarm(alarm())
    cloudwatch.record_transition(cloudwatch.alarms()["a"], "INSUFFICIENT_DATA", "x", {}, 12.5)
    cloudwatch.record_action(cloudwatch.alarms()["a"], "did it", {}, 13.5)
    _, _, body = cw._describe_alarm_history({}, {"AlarmName": "a"}, False, True)
    times = [item["Timestamp"] for item in json.loads(body)["AlarmHistoryItems"]]
    assert times[:2] == [13.5, 12.5]
