"""AWS::WAFv2::IPSet, AWS::WAFv2::WebACLAssociation and AWS::CloudFront::VpcOrigin."""

from __future__ import annotations

from typing import Any

from local_region.cloudformation.clients import stack_client
from local_region.cloudformation.failures import gone_is_fine, reported
from local_region.cloudformation.shapes import api_request
from local_region.context import RegionContext
from local_region.seams.cloudformation import Created, Properties, ResourceType, physical_name

IP_SET = "AWS::WAFv2::IPSet"
ASSOCIATION = "AWS::WAFv2::WebACLAssociation"
VPC_ORIGIN = "AWS::CloudFront::VpcOrigin"
_MAX_NAME = 128
_DEFAULT_PORTS = {"HTTPPort": 80, "HTTPSPort": 443}


def ip_set(context: RegionContext) -> ResourceType:
    """Ref is `name|id|scope`."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        wafv2 = stack_client(context, "wafv2")
        name = properties.get("Name") or physical_name(stack_name, logical_id, _MAX_NAME)
        with reported(IP_SET):
            request = api_request(wafv2, "CreateIPSet", properties | {"Name": name})
            made = wafv2.create_ip_set(**request)["Summary"]
        physical_id = f"{made['Name']}|{made['Id']}|{properties['Scope']}"
        return physical_id, {"Arn": made["ARN"], "Id": made["Id"]}

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        wafv2 = stack_client(context, "wafv2")
        with reported(IP_SET):
            found = wafv2.get_ip_set(**_named(physical_id))
            changed = {n: new[n] for n in ("Addresses", "Description") if n in new}
            request = api_request(wafv2, "UpdateIPSet", changed | _named(physical_id))
            wafv2.update_ip_set(**request, LockToken=found["LockToken"])
        return physical_id, {"Arn": found["IPSet"]["ARN"], "Id": found["IPSet"]["Id"]}

    def delete(physical_id: str, properties: Properties) -> None:
        wafv2 = stack_client(context, "wafv2")
        with reported(IP_SET), gone_is_fine():
            found = wafv2.get_ip_set(**_named(physical_id))
            wafv2.delete_ip_set(**_named(physical_id), LockToken=found["LockToken"])

    return ResourceType(
        create, delete, update, tags="Tags", replacing=("Name", "Scope", "IPAddressVersion")
    )


def _named(physical_id: str) -> dict[str, str]:
    name, set_id, scope = physical_id.split("|")
    return {"Name": name, "Id": set_id, "Scope": scope}


def web_acl_association(context: RegionContext) -> ResourceType:
    """A record only in its effect: the region's balancer applies no web ACL."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        acl, resource = str(properties["WebACLArn"]), str(properties["ResourceArn"])
        with reported(ASSOCIATION):
            stack_client(context, "wafv2").associate_web_acl(WebACLArn=acl, ResourceArn=resource)
        return f"{acl}|{resource}", {}

    def delete(physical_id: str, properties: Properties) -> None:
        with reported(ASSOCIATION), gone_is_fine():
            stack_client(context, "wafv2").disassociate_web_acl(
                ResourceArn=str(properties["ResourceArn"])
            )

    return ResourceType(create, delete, replacing=("WebACLArn", "ResourceArn"))


def vpc_origin(context: RegionContext) -> ResourceType:
    """Ref is its id."""

    def create(logical_id: str, properties: Properties, stack_name: str) -> Created:
        cloudfront = stack_client(context, "cloudfront")
        with reported(VPC_ORIGIN):
            request = api_request(
                cloudfront,
                "CreateVpcOrigin",
                {"VpcOriginEndpointConfig": _endpoint(properties)},
            )
            made = cloudfront.create_vpc_origin(**request)["VpcOrigin"]
        return made["Id"], _attributes(made)

    def update(
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created:
        cloudfront = stack_client(context, "cloudfront")
        with reported(VPC_ORIGIN):
            tag = cloudfront.get_vpc_origin(Id=physical_id)["ETag"]
            named = {"VpcOriginEndpointConfig": _endpoint(new), "Id": physical_id, "IfMatch": tag}
            request = api_request(cloudfront, "UpdateVpcOrigin", named)
            made = cloudfront.update_vpc_origin(**request)["VpcOrigin"]
        return physical_id, _attributes(made)

    def delete(physical_id: str, properties: Properties) -> None:
        cloudfront = stack_client(context, "cloudfront")
        with reported(VPC_ORIGIN), gone_is_fine():
            tag = cloudfront.get_vpc_origin(Id=physical_id)["ETag"]
            cloudfront.delete_vpc_origin(Id=physical_id, IfMatch=tag)

    return ResourceType(create, delete, update, replacing=())


def _attributes(made: dict[str, Any]) -> dict[str, Any]:
    return {name: made[name] for name in ("Id", "Arn", "Status") if name in made}


def _endpoint(properties: Properties) -> dict[str, Any]:
    """The API wants what a template may leave out, and lists with their lengths."""
    config: dict[str, Any] = {**_DEFAULT_PORTS, "OriginProtocolPolicy": "match-viewer"}
    config |= properties["VpcOriginEndpointConfig"]
    protocols = config.pop("OriginSSLProtocols", None)
    if protocols:
        config["OriginSslProtocols"] = {"Quantity": len(protocols), "Items": list(protocols)}
    return config
