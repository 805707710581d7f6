import pytest

from local_region.cloudformation.recorded import RECORDED_TYPES, recorded
from local_region.cloudformation.schemas import schema_of
from local_region.seams import cloudformation, core

SCOPE = ("000000000000", "eu-west-1")
LAYERS_THAT_MUST_BE_REAL = (
    "AWS::EC2::",
    "AWS::ElasticLoadBalancingV2::",
    "AWS::ECS::",
    "AWS::ApplicationAutoScaling::",
    "AWS::CloudWatch::",
    "AWS::SNS::",
    "AWS::Route53::",
    "AWS::Logs::",
)


def test_nothing_of_the_working_layers_may_be_a_record():
    assert not [t for t in RECORDED_TYPES if t.startswith(LAYERS_THAT_MUST_BE_REAL)]


def test_nothing_the_emulator_makes_is_downgraded_to_a_record():
    assert not RECORDED_TYPES & cloudformation.emulated_types()


@pytest.mark.parametrize("name", sorted(RECORDED_TYPES))
def test_every_recorded_type_is_a_type(name):
    assert schema_of(name) is not None


def test_ref_and_getatt_answer_as_the_schema_says():
    with core.request_scope(*SCOPE):
        make = recorded("AWS::CE::AnomalyMonitor").create
        physical_id, attributes = make("Monitor", {"MonitorName": "m"}, "stack")
    assert physical_id == attributes["MonitorArn"]
    assert physical_id.startswith("arn:aws:ce:eu-west-1:000000000000:stack-Monitor-")
    assert set(attributes) == set(schema_of("AWS::CE::AnomalyMonitor").attributes)


def test_a_property_may_be_the_identifier():
    with core.request_scope(*SCOPE):
        physical_id, _ = recorded("AWS::ResourceGroups::Group").create("G", {"Name": "mine"}, "s")
    assert physical_id == "mine"


def test_an_update_keeps_the_identity():
    with core.request_scope(*SCOPE):
        resource = recorded("AWS::CE::AnomalyMonitor")
        physical_id, attributes = resource.create("M", {}, "s")
        assert resource.update(physical_id, {}, {"MonitorName": "x"}, "s", "M") == (
            physical_id,
            attributes,
        )
