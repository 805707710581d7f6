"""What has a name of our choice: nothing, but for what CloudFormation makes us name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from local_region.cloudformation.schemas import schema_of

Templates = dict[str, dict[str, Any]]
Resources = Callable[[str], dict[str, dict[str, Any]]]

# Properties by which a resource would get a name of our choice. A name collides when the resource
# is replaced or the stack is made twice.
NAMES = {
    "AWS::CloudWatch::Alarm": "AlarmName",
    "AWS::CloudWatch::CompositeAlarm": "AlarmName",
    "AWS::CloudWatch::Dashboard": "DashboardName",
    "AWS::Cognito::UserPool": "UserPoolName",
    "AWS::Cognito::UserPoolClient": "ClientName",
    "AWS::EC2::SecurityGroup": "GroupName",
    "AWS::ECR::Repository": "RepositoryName",
    "AWS::ECS::Cluster": "ClusterName",
    "AWS::ECS::Service": "ServiceName",
    "AWS::ECS::TaskDefinition": "Family",
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "Name",
    "AWS::ElasticLoadBalancingV2::TargetGroup": "Name",
    "AWS::Events::Rule": "Name",
    "AWS::IAM::Role": "RoleName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::RDS::DBInstance": "DBInstanceIdentifier",
    "AWS::RDS::DBSubnetGroup": "DBSubnetGroupName",
    "AWS::S3::Bucket": "BucketName",
    "AWS::SNS::Topic": "TopicName",
    "AWS::SQS::Queue": "QueueName",
    "AWS::Scheduler::Schedule": "Name",
    "AWS::Scheduler::ScheduleGroup": "Name",
    "AWS::SecretsManager::Secret": "Name",
    "AWS::WAFv2::IPSet": "Name",
    "AWS::WAFv2::WebACL": "Name",
}
# Those that CloudFormation wants to be told.
GIVEN_NAMES = {
    "AWS::ApplicationAutoScaling::ScalingPolicy": ("PolicyName",),
    "AWS::CloudFront::Function": ("Name",),
    "AWS::CloudFront::KeyValueStore": ("Name",),
    "AWS::CloudFront::ResponseHeadersPolicy": ("ResponseHeadersPolicyConfig", "Name"),
    "AWS::CloudFront::VpcOrigin": ("VpcOriginEndpointConfig", "Name"),
    "AWS::Cognito::UserPoolDomain": ("Domain",),
}


def test_nothing_has_a_name_of_our_choice(resources: Resources) -> None:
    for kind, name in NAMES.items():
        for where, properties in resources(kind).items():
            assert name not in properties, f"{where}.{name}"


def test_names_that_must_be_given_derive_from_the_stacks(resources: Resources) -> None:
    for kind, path in GIVEN_NAMES.items():
        assert resources(kind), kind
        for where, properties in resources(kind).items():
            name: Any = properties
            for key in path:
                name = name[key]
            assert name["Fn::Sub"].startswith("${AWS::StackName}-"), where


def test_no_type_with_a_name_is_forgotten(templates: Templates) -> None:
    used = {r["Type"] for template in templates.values() for r in template["Resources"].values()}
    for kind in used - NAMES.keys() - GIVEN_NAMES.keys():
        schema = schema_of(kind)
        own = {"Name", f"{kind.rpartition('::')[2]}Name"}
        assert schema is None or not own & set(schema.create_only), kind
