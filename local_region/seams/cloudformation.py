"""The emulator's CloudFormation: its table of resource types, its stacks, its two gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from local_region.errors import SeamMoved
from local_region.seams import core

Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]
"""Physical id (what Ref gives) and attributes (what GetAtt gives)."""


class Create(Protocol):
    def __call__(self, logical_id: str, properties: Properties, stack_name: str) -> Created: ...


class Update(Protocol):
    def __call__(
        self,
        physical_id: str,
        old: Properties,
        new: Properties,
        stack_name: str,
        logical_id: str | None = None,
    ) -> Created: ...


class Delete(Protocol):
    def __call__(self, physical_id: str, properties: Properties) -> None: ...


@dataclass(frozen=True)
class ResourceType:
    """How one type is made. Without `update`, a change replaces the resource.

    `replacing` names the properties whose change replaces it (None: leave the emulator's own
    list); `tags` the property that takes the stack's tags. Handlers run on a worker thread with
    the stack's account and region pinned; what they raise fails the resource with that message.
    """

    create: Create
    delete: Delete
    update: Update | None = None
    replacing: tuple[str, ...] | None = None
    tags: str | None = None


def _provisioners() -> Any:
    return core.module("services.cloudformation.provisioners")


def _stacks() -> Any:
    return core.module("services.cloudformation.stacks")


def register_type(name: str, resource: ResourceType) -> None:
    """Add a type, or put our own in place of the emulator's."""
    provisioners = _provisioners()
    handler: dict[str, Any] = {"create": resource.create, "delete": resource.delete}
    if resource.update is not None:
        handler |= {"update": resource.update, "update_with_logical_id": True}
    core.attribute(provisioners, "_RESOURCE_HANDLERS")[name] = handler
    if resource.replacing is not None:
        set_replacing_properties(name, resource.replacing)
    if resource.tags is not None:
        core.attribute(provisioners, "_STACK_TAG_PROPERTY")[name] = (resource.tags, "list")


def set_replacing_properties(name: str, properties: Iterable[str]) -> None:
    """The properties whose change replaces a resource; a change set then says so."""
    core.attribute(_provisioners(), "_REPLACING_PROPERTIES")[name] = tuple(properties)


def has_replacing_properties(name: str) -> bool:
    """Whether the emulator knows which changes replace a resource of this type."""
    return name in core.attribute(_provisioners(), "_REPLACING_PROPERTIES")


def emulated_types() -> set[str]:
    """Every type a template may use."""
    return set(core.attribute(_provisioners(), "_RESOURCE_HANDLERS"))


def wrap_create(name: str, make: Callable[[Create], Create]) -> None:
    """Put something around the emulator's own creation of a type. Raises SeamMoved."""
    handlers = core.attribute(_provisioners(), "_RESOURCE_HANDLERS")
    core.wrap(core.attribute(handlers, name), "create", make)


def physical_name(stack_name: str, logical_id: str, max_length: int, *, seeded: bool = True) -> str:
    """`{stack}-{logical id}-{suffix}`: the same at every update; another after a replacement."""
    name: str = core.attribute(_provisioners(), "_physical_name")(
        stack_name, logical_id, max_len=max_length, seeded=seeded
    )
    return name


def run_handlers_on_worker_threads() -> None:
    """A handler that calls this endpoint would wait for itself on the emulator's event loop."""
    core.replace(_stacks(), "_runs_on_worker_thread", lambda resource_type: True)


def revert_failed_updates_of(name: str) -> None:
    """A failed update of this type left something changed: the rollback sends it back."""

    def make(sends_back: Callable[[str], bool]) -> Callable[[str], bool]:
        return lambda resource_type: resource_type == name or sends_back(resource_type)

    core.wrap(_stacks(), "_sends_back_failed_update", make)


def refuse_unknown_types() -> None:
    """Fail `AWS::CloudFormation::*` types without a handler: the emulator skips them silently."""

    def make(provision: Callable[..., Created]) -> Callable[..., Created]:
        def provision_known(
            resource_type: str, logical_id: str, properties: Properties, stack_name: str
        ) -> Created:
            known = resource_type.startswith("Custom::") or resource_type in emulated_types()
            if not known:
                raise ValueError(
                    f"Template format error: Unrecognized resource types: [{resource_type}]"
                )
            return provision(resource_type, logical_id, properties, stack_name)

        return provision_known

    old = core.wrap(_provisioners(), "_provision_resource", make)
    if core.attribute(_stacks(), "_provision_resource") is not old:
        raise SeamMoved(
            "The emulator provisions resources by another function than before; "
            f"install ministack=={core.VERSION}"
        )
    core.replace(_stacks(), "_provision_resource", _provisioners()._provision_resource)


def list_notification_arns() -> None:
    """Add the empty NotificationARNs that DescribeStacks must carry: `sceptre diff` reads it."""
    handlers = core.module("services.cloudformation.handlers")

    def make(answer: Callable[..., core.Answer]) -> Callable[..., core.Answer]:
        def answer_with_arns(status: int, root: str, inner: str, *rest: Any) -> core.Answer:
            if root == "DescribeStacksResponse":
                inner = inner.replace(
                    "<StackStatusReason>", "<NotificationARNs/><StackStatusReason>"
                )
            return answer(status, root, inner, *rest)

        return answer_with_arns

    core.wrap(handlers, "_xml", make)


def stack_resources() -> list[dict[str, str]]:
    """Every resource of every living stack: stack, logical_id, physical_id, type, status."""
    stacks = core.attribute(core.module("services.cloudformation"), "_stacks")
    return [
        {
            "stack": stack["StackName"],
            "logical_id": logical_id,
            "physical_id": resource.get("PhysicalResourceId", ""),
            "type": resource.get("ResourceType", ""),
            "status": resource.get("ResourceStatus", ""),
        }
        for _, stack in list(stacks._data.items())
        if stack.get("StackStatus") != "DELETE_COMPLETE"
        for logical_id, resource in list(stack.get("_resources", {}).items())
    ]
