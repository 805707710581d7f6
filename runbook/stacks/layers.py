"""What Sceptre makes of the configuration: one `Layer` a stack, in launch order.

The only module that touches Sceptre's objects. References to other stacks' outputs stay
symbolic unless a lookup gives their values, so that a review can be made, and hashed,
before the stacks it builds on exist.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jinja2 import TemplateError
from sceptre.connection_manager import ConnectionManager
from sceptre.context import SceptreContext
from sceptre.exceptions import SceptreException
from sceptre.hooks import execute_hooks
from sceptre.plan.plan import SceptrePlan
from sceptre.resolvers import Resolver
from sceptre.resolvers.stack_output import StackOutput

from runbook import region
from runbook.environment import LAYERS, Environment
from runbook.errors import InputInvalid, RunbookError, StackFailed

#: Gives the value of an output by stack name and key, or None while the stack lacks it.
OutputLookup = Callable[[str, str], str | None]

#: What our templates may do, as Sceptre allows it too.
CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")

#: Where Sceptre keeps a stack's values before it resolves them.
_CONTAINERS = (
    "_parameters",
    "_tags",
    "_sceptre_user_data",
    "_notifications",
    "_template_handler_config",
)


@dataclass(frozen=True)
class Layer:
    """One stack as the configuration wants it.

    `parameters` and `tags` hold values, or `{stack.Key}` where an upstream output is not
    known. `depends_on` names layers. `unresolved` tells whether such a reference is left.
    """

    name: str
    stack_name: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]
    notifications: tuple[str, ...]
    service_role: str | None
    protected: bool
    depends_on: tuple[str, ...]
    unresolved: tuple[str, ...]
    stack: Any = field(repr=False, compare=False)

    def request(self) -> dict[str, Any]:
        """The arguments that CloudFormation's create calls share."""
        role = {"RoleARN": self.service_role} if self.service_role else {}
        return {
            "StackName": self.stack_name,
            **self.stack.template.get_boto_call_parameter(),
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": value}
                for key, value in self.parameters.items()
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in self.tags.items()],
            "NotificationARNs": list(self.notifications),
            "Capabilities": list(CAPABILITIES),
            **role,
        }

    def run_hooks(self, *points: str) -> None:
        """Run the layer's hooks of these points (`before_launch`, `after_update`, ...).

        Change sets go past Sceptre's own actions, so the guards in its hooks are run here.
        Raises what a guard refuses with, StackFailed for any other hook's error.
        """
        for point in points:
            try:
                execute_hooks(self.stack.hooks.get(point))
            except Exception as error:
                if isinstance(error.__cause__, RunbookError):
                    raise error.__cause__ from None
                raise StackFailed(
                    f"A {point} hook of layer {self.name} refused",
                    str(error),
                    "mend what it names, then run this again",
                ) from error


def load_layers(
    environment: Environment,
    names: Sequence[str] | None = None,
    *,
    lookup: OutputLookup | None = None,
    templates: bool = True,
) -> tuple[Layer, ...]:
    """The environment's layers in launch order, or those named.

    What only deletes needs no `templates`, and is not kept from it by what is wrong in one.
    Raises InputInvalid for a configuration that Sceptre cannot read and for unknown names.
    """
    with aws_variables(environment):
        try:
            context = SceptreContext(
                project_path=str(environment.sceptre_dir),
                command_path=environment.name,
            )
            plan = SceptrePlan(context)
            plan.resolve("launch")
            found = {stack.name.rpartition("/")[2]: stack for stack in plan}
            _require_known(names, list(found))
            layers = [
                _layer(stack, lookup, templates)
                for name, stack in found.items()
                if names is None or name in names
            ]
        except (SceptreException, TemplateError, OSError, KeyError, ValueError) as error:
            if isinstance(error.__cause__, RunbookError):
                raise error.__cause__ from None
            raise InputInvalid(
                f"The stacks of {environment.name} cannot be read",
                environment.as_edited(f"{type(error).__name__}: {error}"),
                environment.as_edited(
                    f"mend {environment.sceptre_dir / 'config' / environment.name}"
                ),
            ) from error
    order = {name: index for index, name in enumerate(LAYERS)}
    return tuple(_launch_order(layers, order))


def _require_known(names: Sequence[str] | None, known: Sequence[str]) -> None:
    for name in names or ():
        if name not in known:
            raise InputInvalid(
                f"Layer {name!r} not found", f"there are {', '.join(known)}", "choose among these"
            )


def _launch_order(layers: Sequence[Layer], preferred: Mapping[str, int]) -> Iterator[Layer]:
    """Dependencies first; among layers that could go now, the usual order of the layers.

    What a layer depends on outside of these does not count.
    """
    waiting = sorted(layers, key=lambda layer: (preferred.get(layer.name, 99), layer.name))
    done = {name for layer in layers for name in layer.depends_on}
    done -= {layer.name for layer in layers}
    while waiting:
        layer = next(item for item in waiting if done.issuperset(item.depends_on))
        waiting.remove(layer)
        done.add(layer.name)
        yield layer


def _layer(stack: Any, lookup: OutputLookup | None, with_template: bool) -> Layer:
    unresolved: list[str] = []

    def value_of(reference: StackOutput) -> str:
        upstream = reference.dependency_stack_name.removesuffix(".yaml")
        stack_name = f"{stack.project_code}-{upstream.replace('/', '-')}"
        known = lookup(stack_name, reference.output_key) if lookup else None
        if known is None:
            unresolved.append(f"{stack_name}.{reference.output_key}")
            return f"{{{stack_name}.{reference.output_key}}}"
        return known

    for attribute in _CONTAINERS:
        setattr(stack, attribute, _replace_outputs(getattr(stack, attribute), value_of))
    return Layer(
        name=_short(stack.name),
        stack_name=stack.external_name,
        template=stack.template.body if with_template else "",
        parameters={key: _as_parameter(value) for key, value in stack.parameters.items()},
        tags={str(key): str(value) for key, value in stack.tags.items()},
        notifications=tuple(stack.notifications),
        service_role=stack.cloudformation_service_role,
        protected=bool(stack.protected),
        depends_on=tuple(sorted({_short(item.name) for item in stack.dependencies})),
        unresolved=tuple(dict.fromkeys(unresolved)),
        stack=stack,
    )


def _short(path: str) -> str:
    return path.rpartition("/")[2]


def _as_parameter(value: Any) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


def _replace_outputs(value: Any, value_of: Callable[[StackOutput], str]) -> Any:
    """Put values or symbols for every `!stack_output`, also inside other resolvers."""
    if isinstance(value, StackOutput):
        return value_of(value)
    if isinstance(value, Resolver):
        # `.argument` would resolve what is inside; the plain attribute does not.
        value._argument = _replace_outputs(value._argument, value_of)
        return value
    if isinstance(value, dict):
        return {key: _replace_outputs(item, value_of) for key, item in value.items()}
    if isinstance(value, list):
        return [_replace_outputs(item, value_of) for item in value]
    return value


@contextmanager
def aws_variables(environment: Environment) -> Iterator[None]:
    """Point Sceptre, and what its hooks start, at the local region for `local`.

    Sceptre keeps sessions and clients on a class for good; they are dropped, so that a region
    that came back on another port is found.
    """
    if not environment.is_local or os.environ.get("AWS_ENDPOINT_URL") or not region.running():
        yield
        return
    before = dict(os.environ)
    os.environ.update(region.environment_variables())
    _forget_clients()
    try:
        yield
    finally:
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
        _forget_clients()


def _forget_clients() -> None:
    ConnectionManager._clients.clear()
    ConnectionManager._boto_sessions.clear()
