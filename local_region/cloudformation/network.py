"""AWS::EC2::EIP, NatGateway, FlowLog, SecurityGroupIngress and SecurityGroupEgress.

A change of tags alone is left to the next replacement, as for the emulator's own types without
an update; every other change replaces the resource.
"""

from __future__ import annotations

from typing import Any

from local_region.cloudformation.clients import stack_client
from local_region.cloudformation.failures import gone_is_fine, reported
from local_region.cloudformation.shapes import api_request
from local_region.context import RegionContext
from local_region.seams.cloudformation import Created, Properties, ResourceType

EIP = "AWS::EC2::EIP"
NAT_GATEWAY = "AWS::EC2::NatGateway"
FLOW_LOG = "AWS::EC2::FlowLog"
RULES = {
    "AWS::EC2::SecurityGroupIngress": "ingress",
    "AWS::EC2::SecurityGroupEgress": "egress",
}
_RULE_PEERS = {
    "CidrIp": ("IpRanges", "CidrIp"),
    "CidrIpv6": ("Ipv6Ranges", "CidrIpv6"),
    "SourceSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "DestinationSecurityGroupId": ("UserIdGroupPairs", "GroupId"),
    "SourcePrefixListId": ("PrefixListIds", "PrefixListId"),
    "DestinationPrefixListId": ("PrefixListIds", "PrefixListId"),
}


def elastic_ip(context: RegionContext) -> ResourceType:
    """Ref is the address."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        ec2 = stack_client(context, "ec2")
        with reported(EIP):
            request = api_request(
                ec2, "AllocateAddress", properties, ignored=["Tags", "InstanceId"]
            )
            address = ec2.allocate_address(**request | _tagged(properties, "elastic-ip"))
        attributes = {name: address[name] for name in ("AllocationId", "PublicIp")}
        return address["PublicIp"], attributes

    def delete(physical_id: str, properties: Properties) -> None:
        ec2 = stack_client(context, "ec2")
        with reported(EIP), gone_is_fine():
            for address in ec2.describe_addresses()["Addresses"]:
                if address["PublicIp"] == physical_id:
                    ec2.release_address(AllocationId=address["AllocationId"])

    return ResourceType(
        create,
        delete,
        tags="Tags",
        replacing=("Address", "NetworkBorderGroup", "PublicIpv4Pool", "Domain"),
    )


def nat_gateway(context: RegionContext) -> ResourceType:
    """Ref is its id."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        ec2 = stack_client(context, "ec2")
        with reported(NAT_GATEWAY):
            request = api_request(
                ec2, "CreateNatGateway", properties, ignored=["Tags", "MaxDrainDurationSeconds"]
            )
            made = ec2.create_nat_gateway(**request | _tagged(properties, "natgateway"))
        gateway_id = made["NatGateway"]["NatGatewayId"]
        return gateway_id, {"NatGatewayId": gateway_id}

    def delete(physical_id: str, properties: Properties) -> None:
        with reported(NAT_GATEWAY), gone_is_fine():
            stack_client(context, "ec2").delete_nat_gateway(NatGatewayId=physical_id)

    return ResourceType(
        create,
        delete,
        tags="Tags",
        replacing=("SubnetId", "AllocationId", "ConnectivityType", "PrivateIpAddress", "VpcId"),
    )


def flow_log(context: RegionContext) -> ResourceType:
    """Ref is its id; as nothing flows through the region's network, nothing is logged."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        ec2 = stack_client(context, "ec2")
        with reported(FLOW_LOG):
            request = api_request(
                ec2,
                "CreateFlowLogs",
                properties | {"ResourceIds": [properties["ResourceId"]]},
                ignored=["Tags", "ResourceId"],
            )
            made = ec2.create_flow_logs(**request | _tagged(properties, "vpc-flow-log"))
        flow_log_id = made["FlowLogIds"][0]
        return flow_log_id, {"Id": flow_log_id}

    def delete(physical_id: str, properties: Properties) -> None:
        with reported(FLOW_LOG), gone_is_fine():
            stack_client(context, "ec2").delete_flow_logs(FlowLogIds=[physical_id])

    return ResourceType(
        create,
        delete,
        tags="Tags",
        replacing=(
            "ResourceId", "ResourceType", "TrafficType", "LogGroupName", "LogDestination",
            "LogDestinationType", "LogFormat", "MaxAggregationInterval",
            "DeliverLogsPermissionArn", "DeliverCrossAccountRole", "DestinationOptions",
        ),
    )  # fmt: skip


def security_group_rule(context: RegionContext, resource_type: str) -> ResourceType:
    """A rule of a group made elsewhere; Ref is its id. A change replaces it."""
    direction = RULES[resource_type]

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        ec2 = stack_client(context, "ec2")
        authorize = getattr(ec2, f"authorize_security_group_{direction}")
        with reported(resource_type):
            rules = authorize(
                GroupId=properties["GroupId"], IpPermissions=[_permission(properties)]
            ).get("SecurityGroupRules")
        if not rules:
            raise ValueError(f"{resource_type}: EC2 named no rule for it")
        rule_id = rules[0]["SecurityGroupRuleId"]
        return rule_id, {"Id": rule_id}

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        # Only a description changes in place, and EC2 keys rules without it.
        delete(physical_id, old)
        return create(logical_id or physical_id, new, stack_name)

    def delete(physical_id: str, properties: Properties) -> None:
        revoke = getattr(stack_client(context, "ec2"), f"revoke_security_group_{direction}")
        with reported(resource_type), gone_is_fine():
            revoke(GroupId=properties["GroupId"], IpPermissions=[_permission(properties)])

    return ResourceType(
        create,
        delete,
        update,
        replacing=("GroupId", "IpProtocol", "FromPort", "ToPort", *_RULE_PEERS),
    )


def _permission(properties: Properties) -> dict[str, Any]:
    permission: dict[str, Any] = {"IpProtocol": str(properties["IpProtocol"])}
    for port in ("FromPort", "ToPort"):
        if port in properties:
            permission[port] = int(properties[port])
    described = {"Description": properties["Description"]} if properties.get("Description") else {}
    for name, (member, key) in _RULE_PEERS.items():
        if properties.get(name):
            permission[member] = [{key: properties[name], **described}]
    return permission


def _tagged(properties: Properties, resource_type: str) -> dict[str, Any]:
    tags = [{"Key": t["Key"], "Value": str(t.get("Value", ""))} for t in properties.get("Tags", [])]
    return {"TagSpecifications": [{"ResourceType": resource_type, "Tags": tags}]} if tags else {}
