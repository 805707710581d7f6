from local_region.cloudformation import install
from local_region.cloudformation.recorded import RECORDED_TYPES
from local_region.cloudformation.schemas import schema_of

REQUIRED = {
    "AWS::EC2::EIP",
    "AWS::EC2::NatGateway",
    "AWS::EC2::FlowLog",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::ECS::TaskDefinition",
    "AWS::ECS::Service",
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Alarm",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::Route53::HealthCheck",
    "AWS::WAFv2::IPSet",
    "AWS::WAFv2::WebACLAssociation",
    "AWS::CloudFront::VpcOrigin",
    "AWS::Scheduler::Schedule",
}


def test_every_type_the_emulator_lacks_is_made(context):
    made = install.types(context, None, None)
    assert made.keys() - RECORDED_TYPES == REQUIRED


def test_what_replaces_a_resource_agrees_with_the_public_schema(context):
    # The schema lists nested properties, too, and the rules of a group have none of their own.
    exempt = {"AWS::Route53::HealthCheck", "AWS::CloudFront::VpcOrigin", "AWS::EC2::EIP",
              "AWS::WAFv2::IPSet", "AWS::EC2::NatGateway", "AWS::EC2::FlowLog",
              "AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress",
              "AWS::ECS::Service"}  # fmt: skip
    for name, resource in install.types(context, None, None).items():
        if name not in exempt:
            assert set(resource.replacing) == set(schema_of(name).create_only), name
