"""What requests of Application Auto Scaling have in common: keys, pages, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from local_region.autoscaling.records import DIMENSION, NAMESPACE, Scope, TargetKey
from local_region.errors import AwsError

Request = Mapping[str, Any]
_PAGE = 50


def invalid(message: str) -> AwsError:
    """A request that cannot be accepted."""
    return AwsError("ValidationException", message)


def not_found(what: str, key: TargetKey, extra: str = "") -> AwsError:
    """`what` (a registered target, a policy) that does not exist."""
    return AwsError(
        "ObjectNotFoundException",
        f"No {what} for service namespace: {key.namespace}, resource ID: {key.resource_id}, "
        f"scalable dimension: {key.dimension}{extra}",
    )


def required(request: Request, name: str) -> Any:
    """A member that must be there. Raises AwsError."""
    value = request.get(name)
    if value in (None, ""):
        raise invalid(
            f"1 validation error detected: Value null at '{name[0].lower()}{name[1:]}' failed to "
            "satisfy constraint: Member must not be null"
        )
    return value


def target_key(scope: Scope, request: Request) -> TargetKey:
    """The target a request names. Raises AwsError for what cannot be scaled here."""
    namespace = str(required(request, "ServiceNamespace"))
    resource_id = str(required(request, "ResourceId"))
    dimension = str(required(request, "ScalableDimension"))
    if (namespace, dimension) != (NAMESPACE, DIMENSION):
        raise invalid(
            f"Unsupported service namespace, resource type or scalable dimension: {namespace}, "
            f"{dimension}; the local region scales {NAMESPACE}, {DIMENSION} only"
        )
    parts = resource_id.split("/")
    if len(parts) != 3 or parts[0] != "service" or not all(parts):
        raise invalid(f"Unsupported service namespace, resource type or scalable dimension: "
                       f"{resource_id} is not service/<cluster>/<service>")  # fmt: skip
    return TargetKey(scope, resource_id)


def is_listed(key: TargetKey, request: Request) -> bool:
    """Whether a listing asks for this target; a member left out asks for all."""
    wanted = {"ServiceNamespace": key.namespace, "ScalableDimension": key.dimension,
              "ResourceId": key.resource_id}  # fmt: skip
    return all(request.get(name) in (None, "", value) for name, value in wanted.items())


def page(member: str, found: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    """One page of a listing. Raises AwsError for a wrong token."""
    size = int(request.get("MaxResults") or _PAGE)
    token = str(request.get("NextToken") or "0")
    if not token.isdigit():
        raise AwsError("InvalidNextTokenException", f"Invalid next token: {token}")
    start = int(token)
    answer: dict[str, Any] = {member: found[start : start + size]}
    if len(found) > start + size:
        answer["NextToken"] = str(start + size)
    return answer
