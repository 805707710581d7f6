"""The emulator's CloudFormation: its table of resource types, its stacks, its two gaps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

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


def mend_attributes(name: str, mend: Callable[[str, Properties], dict[str, Any]]) -> None:
    """Add to the attributes of a type of the emulator's own what it forgets or gets wrong.

    `mend(physical id, properties)` runs after every creation and update. Raises SeamMoved.
    """
    handler = core.attribute(core.attribute(_provisioners(), "_RESOURCE_HANDLERS"), name)

    def make(position: int) -> Callable[[Callable[..., Created]], Callable[..., Created]]:
        def around(handle: Callable[..., Created]) -> Callable[..., Created]:
            def handle_and_mend(*arguments: Any) -> Created:
                physical_id, attributes = handle(*arguments)
                return physical_id, attributes | mend(physical_id, arguments[position])

            return handle_and_mend

        return around

    # create(logical id, properties, stack), update(physical id, old, new, stack[, logical id])
    core.wrap(handler, "create", make(1))
    core.wrap(handler, "update", make(2))


def after_deletion(name: str, gone: Callable[[str], None]) -> None:
    """Call `gone(physical id)` after a resource of this type was deleted. Raises SeamMoved."""
    handler = core.attribute(core.attribute(_provisioners(), "_RESOURCE_HANDLERS"), name)

    def make(delete: Callable[..., Any]) -> Callable[..., Any]:
        def delete_and_tell(physical_id: str, *arguments: Any) -> Any:
            answer = delete(physical_id, *arguments)
            gone(physical_id)
            return answer

        return delete_and_tell

    core.wrap(handler, "delete", make)


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


def review_what_conditions_leave_out() -> None:
    """Let a change set compare only the resources that each side's conditions want.

    Without this a resource that a parameter turns on or off is neither added nor removed in
    the review, and is so in the execution.
    """
    changesets = core.module("services.cloudformation.changesets")
    evaluate = core.attribute(changesets, "_evaluate_conditions")

    def make(resolve: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        def resolve_wanted(template: dict[str, Any], *rest: Any) -> dict[str, Any]:
            resolved = resolve(template, *rest)
            wanted = evaluate(template, rest[0])
            resources = resolved.get("Resources", {})
            return resolved and {
                "Resources": {
                    name: resource
                    for name, resource in resources.items()
                    if wanted.get(resource.get("Condition"), True)
                }
            }

        return resolve_wanted

    core.wrap(changesets, "_resolve_props_for_diff", make)


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


def register_drift_reader(
    name: str, read: Callable[[str, Properties], dict[str, Any] | None], compared: frozenset[str]
) -> None:
    """Let drift detection compare a type. `read` gives what is there now, None for nothing."""
    readers = core.attribute(core.module("services.cloudformation.drift"), "_DRIFT_READERS")
    readers[name] = (read, compared)


def detect_drift_on_a_worker_thread() -> None:
    """A reader that calls this endpoint would wait for itself on the emulator's event loop."""
    actions = core.attribute(core.module("services.cloudformation.handlers"), "_ACTION_HANDLERS")
    services = core.attribute(core.module("app"), "SERVICE_HANDLERS")

    def hand_out(detect: Callable[[Any], core.Answer]) -> Callable[[Any], Awaitable[core.Answer]]:
        return lambda parameters: asyncio.to_thread(detect, parameters)

    def make(answer: Callable[..., Any]) -> Callable[..., Any]:
        async def answer_when_detected(*arguments: Any) -> Any:
            found = await answer(*arguments)
            # The emulator calls an action's handler and does not await what it gives.
            return await found if asyncio.iscoroutine(found) else found

        return answer_when_detected

    for action in ("DetectStackDrift", "DetectStackResourceDrift"):
        core.wrap(actions, action, hand_out)
    core.wrap(services, "cloudformation", make)


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
