"""`!guard_environment`, `!guard_image`, `!guard_metrics`: refusals before any write.

They are hooks in the stacks' configuration, so `sceptre launch dev` runs them as well as
`runbook`, which runs them before it makes a change set.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sceptre.exceptions import SceptreException
from sceptre.hooks import Hook

from runbook.ecs.image import published
from runbook.environment import Environment, load_environment
from runbook.errors import GuardRefused, InputInvalid, RunbookError, StackNotFound
from runbook.guard import on_loopback, require_account, require_endpoint, require_region
from runbook.stacks import lock
from runbook.stacks.metric_resolution import require_fast_metrics_kept
from runbook.stacks.service_image import push_it


class EnvironmentGuard(Hook):  # type: ignore[misc]  # untyped base
    """`!guard_environment`: right endpoint, account and region, and nobody else writing."""

    def run(self) -> None:
        """Raises SceptreException, so that plain Sceptre shows the sentence alone."""
        with _for_sceptre():
            self._check()

    def _check(self) -> None:
        name, _, layer = self.stack.name.rpartition("/")
        environment = load_environment(name)
        require_endpoint(environment)
        require_region(environment, layer, str(self.stack.region))
        data = self.stack.sceptre_user_data or {}
        if not on_loopback():
            require_account(environment, str(data.get("account_id") or ""), _caller(self.stack))
        lock.hold_until_exit(environment)


class ImageGuard(Hook):  # type: ignore[misc]  # untyped base
    """`!guard_image`: the image that the service names is in the registry."""

    def run(self) -> None:
        """Raises SceptreException, so that plain Sceptre shows the sentence alone."""
        with _for_sceptre():
            environment = load_environment(self.stack.name.rpartition("/")[0])
            require_image(environment, str(self.stack.parameters.get("ImageReference", "")))


class MetricsGuard(Hook):  # type: ignore[misc]  # untyped base
    """`!guard_metrics`: no metrics are taken from a scaling stack that acts on them."""

    def run(self) -> None:
        """Raises SceptreException, so that plain Sceptre shows the sentence alone."""
        with _for_sceptre():
            environment = load_environment(self.stack.name.rpartition("/")[0])
            require_fast_metrics_kept(environment, self.stack.parameters)


@contextmanager
def _for_sceptre() -> Iterator[None]:
    try:
        yield
    except RunbookError as error:
        raise SceptreException(str(error)) from error


def require_image(environment: Environment, reference: str) -> None:
    """The image is named by digest and there. Raises GuardRefused."""
    if not reference.startswith("@sha256:"):
        raise GuardRefused(
            f"The service of {environment.name} is not deployed from {reference or 'no image'}",
            "only a digest means the same image for ever",
            f"name one (@sha256:...), or push one: {push_it(environment)}",
        )
    try:
        there = published(environment, reference)
    except (StackNotFound, InputInvalid) as error:
        raise GuardRefused(
            f"Image {reference} cannot be looked up",
            str(error),
            f"make create ENV={environment.name} LAYERS=registry",
        ) from error
    if not there:
        raise GuardRefused(
            f"Image {reference} is not in the registry of {environment.name}",
            "the service could not start from it",
            f"push it: {push_it(environment)}",
        )


def _caller(stack: Any) -> str:
    """The account that Sceptre itself would write to, with its profile and role."""
    try:
        answer = stack.connection_manager.call("sts", "get_caller_identity")
    except (ClientError, BotoCoreError, SceptreException) as error:
        raise GuardRefused(
            "AWS does not know who is calling", str(error), "log in: aws sso login, or AWS_PROFILE"
        ) from error
    return str(answer["Account"])
