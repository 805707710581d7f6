"""A whole deployment: roll out, wait until the service is stable, ask it, go back if it fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runbook.ecs import revisions, service, smoke
from runbook.ecs.revisions import Revision
from runbook.ecs.smoke import Answer
from runbook.endpoint import endpoint
from runbook.environment import Environment
from runbook.errors import EndpointClosed, ServiceFailed, StackFailed
from runbook.stacks import explain, restore, rollback, unproven
from runbook.stacks.following import OnEvent
from runbook.stacks.launch import LayerOutcome
from runbook.stacks.lock import held
from runbook.stacks.plan import plan_changes
from runbook.stacks.release import LAYER, Release, roll_out
from runbook.stacks.restore import Snapshot
from runbook.stacks.review import Review

#: What is asked of the service when a deployment is done.
SMOKE_PATH = "/products"
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Delivery:
    """What was done, and what the service answered then.

    None while there is no service, and when it cannot be asked from here.
    """

    outcomes: tuple[LayerOutcome, ...]
    answer: Answer | None


def deliver(
    environment: Environment,
    review: Review,
    release: Release | None,
    *,
    allowed: frozenset[tuple[str, str]],
    smoke_path: str = SMOKE_PATH,
    smoke_timeout_s: float = 30.0,
    on_event: OnEvent | None = None,
    tell: Tell = print,
) -> Delivery:
    """Apply what was reviewed and see the service answer, under the environment's lock.

    `release` is None for a review without the service's layer.

    When a changed service does not run or does not answer as it should, its stack gets its former
    template and parameters back, so the former task definition's content, and its configuration
    file its former text. Nothing is undone because it could not be found out: throttling, expired
    credentials, no network. What a run that was killed has not found out, the next one does.

    `tell` hears of what is waited for and, when anything was changed, of how to undo it.

    Raises StackFailed, saying what was put back, and what `roll_out` raises.
    """
    with held(environment, tell=tell):
        before = restore.take(environment, LAYER)
        proven = True

        def start(layer: str) -> None:
            nonlocal proven
            if before is not None and layer == LAYER:
                proven = unproven.note(environment, before.task_definition)

        done: list[LayerOutcome] = []
        try:
            roll_out(
                environment,
                review,
                release,
                allowed=allowed,
                on_event=on_event,
                on_layer=done.append,
                on_start=start,
            )
        except Exception:
            tell(explain.what_stays(done))
            if any(item.changed for item in done):
                tell(explain.undo_hint(environment.name, done, service_existed=before is not None))
            raise
        updated = any(item.layer == LAYER and item.result == "updated" for item in done)
        answer = None
        if before is not None or release is not None:
            answer = prove(
                environment,
                smoke_path,
                smoke_timeout_s,
                before=before if updated and proven else None,
                approved=True,
                on_event=on_event,
                tell=tell,
            )
        if any(item.changed for item in done):
            tell(explain.undo_hint(environment.name, done, service_existed=before is not None))
    return Delivery(tuple(done), answer)


def prove(
    environment: Environment,
    path: str = SMOKE_PATH,
    timeout_s: float = 30.0,
    *,
    before: Snapshot | None = None,
    approved: bool = False,
    on_event: OnEvent | None = None,
    tell: Tell = print,
) -> Answer | None:
    """`check` what runs; when it fails, go back and raise StackFailed.

    Back to the stack as it was `before`, else to the version that served before a deployment
    which died before it was asked. Without either the version stays, and only the error tells; so
    it does where nothing is `approved` and the environment may not approve itself.
    """
    with held(environment, tell=tell):
        try:
            answer = check(environment, path, timeout_s, tell)
        except ServiceFailed as error:
            former = None if before is not None else _former(environment)
            if former is not None and not (approved or environment.is_local):
                raise StackFailed(
                    f"The service of {environment.name} does not work",
                    f"{error.what}: {error.why}; "
                    "the run that deployed it had ended before it was asked",
                    "nobody has approved to go back; review that: runbook run 90_rollback "
                    f"--env {environment.name} -p revision={former.number}",
                ) from error
            if not _went_back(environment, before, former, error, on_event, tell):
                raise StackFailed(
                    f"The service of {environment.name} does not work",
                    f"{error.what}: {error.why}",
                    "this deployment brought no other version to go back to; read its tasks' logs",
                ) from error
            try:
                check(environment, SMOKE_PATH, timeout_s, tell)
            except ServiceFailed as again:
                raise StackFailed(
                    f"The deployment to {environment.name} was undone, and the service fails still",
                    f"{again.what}: {again.why}; first: {error.why}",
                    "look for what both versions need, such as the store, and read the tasks' logs",
                ) from error
            unproven.forget(environment)
            raise StackFailed(
                f"The deployment to {environment.name} was undone",
                f"{error.what}: {error.why}",
                "the former version serves again; mend the new one",
            ) from error
        unproven.forget(environment)
        return answer


def _former(environment: Environment) -> Revision | None:
    """What served before the last deployment, if nobody has seen that one answer."""
    noted = unproven.noted(environment)
    known = revisions.revisions(environment) if noted else ()
    return next((item for item in known if item.arn == noted and not item.current), None)


def _went_back(
    environment: Environment,
    before: Snapshot | None,
    former: Revision | None,
    error: ServiceFailed,
    on_event: OnEvent | None,
    tell: Tell,
) -> bool:
    """Whether there was something to go back to."""
    if before is not None:
        tell(f"The service does not work ({error.why}): its stack goes back to what it was.")
        restore.restore(environment, before, on_event=on_event, tell=tell)
        return True
    if former is None:
        return False
    tell(
        f"The service does not work ({error.why}), and the run that deployed it had ended before "
        f"it was asked: back to revision {former.number}."
    )
    back = rollback.to_revision(environment, former)
    back.write(environment)
    review = plan_changes(environment, [LAYER])
    outcomes = roll_out(environment, review, back, allowed=review.destructive, on_event=on_event)
    return any(item.changed for item in outcomes)


def check(
    environment: Environment,
    path: str = SMOKE_PATH,
    timeout_s: float = 30.0,
    tell: Tell = print,
) -> Answer | None:
    """Wait until the service is stable, then ask it at its endpoint.

    None where that cannot be asked from here: then ECS's deployment and the targets' health,
    which are waited for, are all that is known.

    Raises ServiceFailed when its deployment or its answer is bad, StackFailed when it does not
    settle, AwsCallFailed when it cannot be found out.
    """
    seen: list[str] = []

    def on_wait(found: service.Service) -> None:
        if seen[-1:] != [found.summary]:
            seen.append(found.summary)
            tell(found.summary)

    service.wait_stable(environment, on_wait=on_wait)
    try:
        return smoke.smoke_check(endpoint(environment), path, timeout_s=timeout_s)
    except EndpointClosed as closed:
        tell(f"{closed.what}: {closed.why}. Judged by ECS's deployment and target health alone.")
        return None


def first_answer(answer: Answer | None) -> str:
    """A sentence on what `check` gave."""
    if answer is None:
        return "The service cannot be asked from here; its tasks run and are healthy."
    return f"{answer.url} answered {answer.status} in {answer.duration_ms:.0f} ms."
