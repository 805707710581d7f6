"""Each name of the emulator that `seams.cloudformation` reaches for."""

import asyncio
import threading

import pytest

from local_region.seams import cloudformation, core

SCOPE = ("000000000000", "eu-west-1")


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


def test_a_review_compares_what_conditions_want(restore):
    changesets = restore(
        core.module("services.cloudformation.changesets"), "_resolve_props_for_diff"
    )
    cloudformation.review_what_conditions_leave_out()
    template = {
        "Conditions": {"On": {"Fn::Equals": [{"Ref": "P"}, "on"]}},
        "Resources": {
            "Always": {"Type": "AWS::SNS::Topic"},
            "Sometimes": {"Type": "AWS::SNS::Topic", "Condition": "On"},
        },
    }

    def resolved(template, value):
        given = {"P": {"Value": value}}
        return changesets._resolve_props_for_diff(template, given, "stack", "id")

    off, on = resolved(template, "off"), resolved(template, "on")
    assert set(off["Resources"]) == {"Always"}
    assert set(on["Resources"]) == {"Always", "Sometimes"}
    actions = [item["ResourceChange"] for item in changesets._diff_resources(off, on)]
    assert [(item["Action"], item["LogicalResourceId"]) for item in actions] == [
        ("Add", "Sometimes")
    ]
    assert resolved({}, "on") == {}


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


@pytest.fixture
def drift(restore):
    module = restore(core.module("services.cloudformation.drift"), "_DRIFT_READERS")
    core.replace(module, "_DRIFT_READERS", dict(core.attribute(module, "_DRIFT_READERS")))
    return module


def test_a_registered_reader_finds_what_was_changed_and_what_is_gone(drift):
    there = {"here": {"Size": 2, "Colour": "red"}}
    cloudformation.register_drift_reader(
        "Own::Thing", lambda physical_id, properties: there.get(physical_id), frozenset({"Size"})
    )
    wanted = {"Size": 1, "Colour": "blue"}

    def detect(physical_id):
        record = {"ResourceType": "Own::Thing", "PhysicalResourceId": physical_id,
                  "Properties": wanted}  # fmt: skip
        return drift.detect_resource_drift({}, "L", record, "now")

    found = detect("here")
    assert found["StackResourceDriftStatus"] == "MODIFIED"
    assert [d["PropertyPath"] for d in found["PropertyDifferences"]] == ["/Size"]
    assert detect("gone")["StackResourceDriftStatus"] == "DELETED"
    there["here"] = {"Size": "1"}
    assert detect("here")["StackResourceDriftStatus"] == "IN_SYNC"


def test_drift_is_detected_on_a_worker_thread_and_its_answer_awaited(restore):
    handlers = core.module("services.cloudformation.handlers")
    services = core.attribute(core.module("app"), "SERVICE_HANDLERS")
    threads = []

    def detect(parameters):
        threads.append(threading.get_ident())
        return 200, {}, b"found"

    for action in ("DetectStackDrift", "DetectStackResourceDrift"):
        restore(handlers._ACTION_HANDLERS, action)
        core.replace(handlers._ACTION_HANDLERS, action, detect)
    restore(services, "cloudformation")
    cloudformation.detect_drift_on_a_worker_thread()

    async def ask(action):
        body = f"Action={action}&StackName=s".encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return await services["cloudformation"]("POST", "/", headers, body, {})

    assert asyncio.run(ask("DetectStackDrift")) == (200, {}, b"found")
    assert asyncio.run(ask("DetectStackResourceDrift")) == (200, {}, b"found")
    assert asyncio.run(ask("ListStacks"))[0] == 200, "what is answered at once still is"
    assert len(threads) == 2
    assert threading.get_ident() not in threads
