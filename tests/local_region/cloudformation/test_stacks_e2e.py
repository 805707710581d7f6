"""Stacks of the types the emulator lacks, through the endpoint."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError

pytestmark = pytest.mark.e2e


@pytest.fixture
def region(shared_region):
    return shared_region


NETWORK: dict[str, Any] = {
    "V": {"Type": "AWS::EC2::VPC", "Properties": {"CidrBlock": "10.1.0.0/16"}},
    "S": {"Type": "AWS::EC2::Subnet",
          "Properties": {"VpcId": {"Ref": "V"}, "CidrBlock": "10.1.1.0/24"}},
    "G": {"Type": "AWS::EC2::SecurityGroup",
          "Properties": {"VpcId": {"Ref": "V"}, "GroupDescription": "d"}},
    "E": {"Type": "AWS::EC2::EIP", "Properties": {"Domain": "vpc"}},
    "N": {"Type": "AWS::EC2::NatGateway",
          "Properties": {"SubnetId": {"Ref": "S"},
                         "AllocationId": {"Fn::GetAtt": ["E", "AllocationId"]}}},
    "R": {"Type": "AWS::EC2::RouteTable", "Properties": {"VpcId": {"Ref": "V"}}},
    "RR": {"Type": "AWS::EC2::Route",
           "Properties": {"RouteTableId": {"Ref": "R"}, "DestinationCidrBlock": "0.0.0.0/0",
                          "NatGatewayId": {"Ref": "N"}}},
    "L": {"Type": "AWS::Logs::LogGroup"},
    "F": {"Type": "AWS::EC2::FlowLog",
          "Properties": {"ResourceId": {"Ref": "V"}, "ResourceType": "VPC", "TrafficType": "ALL",
                         "LogDestinationType": "cloud-watch-logs", "LogGroupName": {"Ref": "L"},
                         "DeliverLogsPermissionArn": "arn:aws:iam::000000000000:role/x",
                         "MaxAggregationInterval": "60"}},
    "I": {"Type": "AWS::EC2::SecurityGroupIngress",
          "Properties": {"GroupId": {"Ref": "G"}, "IpProtocol": "tcp", "FromPort": "80",
                         "ToPort": 80, "CidrIp": "10.0.0.0/8"}},
    "O": {"Type": "AWS::EC2::SecurityGroupEgress",
          "Properties": {"GroupId": {"Ref": "G"}, "IpProtocol": "tcp", "FromPort": 443,
                         "ToPort": 443, "DestinationSecurityGroupId": {"Ref": "G"}}},
    "B": {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
          "Properties": {"Subnets": [{"Ref": "S"}]}},
    "T": {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
          "Properties": {"VpcId": {"Ref": "V"}, "Port": 80, "Protocol": "HTTP",
                         "TargetType": "ip"}},
    "H": {"Type": "AWS::Route53::HealthCheck",
          "Properties": {"HealthCheckConfig": {"Type": "HTTP", "Port": "80",
                                               "FullyQualifiedDomainName": "x.example"}}},
    "P": {"Type": "AWS::WAFv2::IPSet",
          "Properties": {"Scope": "REGIONAL", "IPAddressVersion": "IPV4",
                         "Addresses": ["10.0.0.0/8"]}},
    "A": {"Type": "AWS::WAFv2::WebACL",
          "Properties": {"Scope": "REGIONAL", "DefaultAction": {"Allow": {}},
                         "VisibilityConfig": {"SampledRequestsEnabled": True,
                                              "CloudWatchMetricsEnabled": True,
                                              "MetricName": "m"}}},
    "AB": {"Type": "AWS::WAFv2::WebACLAssociation",
           "Properties": {"ResourceArn": {"Ref": "B"},
                          "WebACLArn": {"Fn::GetAtt": ["A", "Arn"]}}},
    "VO": {"Type": "AWS::CloudFront::VpcOrigin",
           "Properties": {"VpcOriginEndpointConfig": {"Name": "o", "Arn": {"Ref": "B"}}}},
}  # fmt: skip


def test_the_types_the_emulator_lacks_are_real(region):
    stack = region.launch(
        "net",
        NETWORK,
        Cidr={"Fn::GetAtt": ["V", "CidrBlock"]},
        Nat={"Ref": "N"},
        FlowLog={"Ref": "F"},
        Group={"Ref": "G"},
        Ip={"Ref": "E"},
        Health={"Ref": "H"},
        TargetGroup={"Fn::GetAtt": ["T", "TargetGroupFullName"]},
    )
    assert stack["StackStatus"] == "CREATE_COMPLETE", region.failures("net")
    out = stack["outputs"]
    ec2 = region.client("ec2")
    assert out["Cidr"] == "10.1.0.0/16"
    assert out["TargetGroup"].startswith("targetgroup/")
    [nat] = ec2.describe_nat_gateways(NatGatewayIds=[out["Nat"]])["NatGateways"]
    assert nat["State"] == "available"
    assert ec2.describe_flow_logs(FlowLogIds=[out["FlowLog"]])["FlowLogs"]
    assert out["Ip"] in {a["PublicIp"] for a in ec2.describe_addresses()["Addresses"]}
    [group] = ec2.describe_security_groups(GroupIds=[out["Group"]])["SecurityGroups"]
    assert [p["FromPort"] for p in group["IpPermissions"]] == [80]
    assert 443 in [p.get("FromPort") for p in group["IpPermissionsEgress"]]
    assert region.client("route53").get_health_check(HealthCheckId=out["Health"])
    assert region.client("wafv2").list_ip_sets(Scope="REGIONAL")["IPSets"]
    region.remove("net")
    assert out["Ip"] not in {a["PublicIp"] for a in ec2.describe_addresses()["Addresses"]}
    assert region.client("wafv2").list_ip_sets(Scope="REGIONAL")["IPSets"] == []


def test_a_type_nobody_makes_fails_and_a_recorded_one_is_named(region):
    with pytest.raises(ClientError, match="Unrecognized resource types"):
        region.launch("unknown", {"X": {"Type": "AWS::Nothing::AtAll"}})
    properties = {"MonitorName": "m", "MonitorType": "DIMENSIONAL"}
    resources = {"X": {"Type": "AWS::CE::AnomalyMonitor", "Properties": properties}}
    stack = region.launch("recorded", resources, Arn={"Ref": "X"})
    assert stack["Outputs"][0]["OutputValue"].startswith("arn:aws:ce:")
    [record] = region.status()["recorded"]
    assert (record["stack"], record["type"]) == ("recorded", "AWS::CE::AnomalyMonitor")
    region.remove("recorded")
    assert region.status()["recorded"] == []


def test_a_failed_resource_rolls_its_stack_back_with_the_services_reason(region):
    policy = {
        "PolicyName": "p",
        "PolicyType": "StepScaling",
        "ScalingTargetId": "service/no/no|ecs:service:DesiredCount|ecs",
        "StepScalingPolicyConfiguration": {
            "AdjustmentType": "ChangeInCapacity",
            "StepAdjustments": [{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}],
        },
    }
    resources = {
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Policy": {"Type": "AWS::ApplicationAutoScaling::ScalingPolicy", "DependsOn": "Topic",
                   "Properties": policy},
    }  # fmt: skip
    stack = region.launch("failing", resources)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "ObjectNotFoundException" in region.failures("failing")["Policy"]
    assert stack["NotificationARNs"] == []
    region.remove("failing")
