"""`runbook create|change|approve|delete|unlock`: the verbs that write, each with a dry run."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from runbook import stacks
from runbook.capacity import hold
from runbook.cli.frame import emit, json_option, runs_option, say
from runbook.environment import Environment, load_environment
from runbook.errors import ApprovalMissing, LocalRegionNotRunning, StackNotFound
from runbook.metrics.service import service_identity
from runbook.runs import display, record
from runbook.runs.gate import ActionPlan
from runbook.stacks import change as changes
from runbook.stacks import lock, release
from runbook.stacks.delivery import Delivery, deliver, first_answer
from runbook.stacks.events import StackEvent
from runbook.stacks.launch import LayerOutcome, require_unaltered
from runbook.stacks.owner import this_process
from runbook.stacks.release import Release
from runbook.stacks.review import DIGEST_DIGITS, Review, require_approval
from runbook.tables import text_table

_environment = click.argument("env")
_name = click.argument("name")
_layers = click.argument("layers", nargs=-1)
_dry_run = click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
_image = click.option(
    "--image", default="", metavar="REF", help="@sha256:DIGEST, :TAG or source; else as configured."
)
_approve = click.option("--approve", default="", metavar="DIGEST", help="Digest of what was shown.")


@click.command()
@_environment
@_layers
@_image
@_approve
@_dry_run
@json_option
def create(
    env: str, layers: tuple[str, ...], image: str, approve: str, dry_run: bool, as_json: bool
) -> None:
    """Create the environment's missing stacks, layer after layer, and see the service answer.

    What exists and would change is left to `change` and `approve`. Started again, it goes on
    where it stopped. Outside `local` it needs --approve with the digest that it shows. With
    LAYERS only those: `create dev registry` makes the place for a first image.
    """
    environment = load_environment(env)
    with _proposal(environment, image, layers) as (proposed, chosen):
        review = stacks.plan_changes(proposed, layers or None)
    _require_new(review)
    again = _create_command(environment, review, layers)
    if dry_run:
        _emit_review(review, as_json)
        say(f"Dry run: nothing was changed. Next: {again}")
        return
    _refuse_unapproved(environment, review, approve, again)
    delivery = deliver(
        environment, review, chosen, allowed=review.destructive, on_event=_event, tell=say
    )
    _emit_delivery(delivery, as_json)


@click.command()
@_environment
@_name
@_layers
@_image
@_dry_run
@runs_option
@json_option
def change(
    env: str,
    name: str,
    layers: tuple[str, ...],
    image: str,
    dry_run: bool,
    runs_dir: Path | None,
    as_json: bool,
) -> None:
    """Review what would change and keep it under NAME, to be approved: table, diff, digest.

    Nothing of the environment is changed. A dry run does not keep it either.
    """
    environment = load_environment(env)
    with _proposal(environment, image, layers) as (proposed, _):
        review = stacks.plan_changes(proposed, layers or None)
    _emit_review(review, as_json)
    if review.empty:
        say("no_change: there is nothing to approve.")
        return
    if dry_run:
        say(f"Dry run: not kept. Next: make change ENV={env} NAME={name}")
        return
    me = this_process()
    made = changes.NamedChange(
        name=name,
        made_at=record.stamp(record.utc_now()),
        made_by=f"{me.user}@{me.host}",
        commit=record.commit(environment.project),
        image=image,
        review=review,
    )
    say(f"Kept in {made.save(_root(environment, runs_dir))}")
    say(f"Next: read it, then make approve ENV={env} NAME={name}")


@click.command()
@_environment
@_name
@click.option("--digest", default="", help="Refuse unless the change has this digest.")
@_dry_run
@runs_option
@json_option
def approve(
    env: str, name: str, digest: str, dry_run: bool, runs_dir: Path | None, as_json: bool
) -> None:
    """Execute the change NAME, exactly as it was reviewed, layer after layer.

    Refused are: another configuration or image than was reviewed, a stack that somebody has
    changed since, a replacement or deletion that was not shown, an altered file. Exit code 1.
    """
    environment = load_environment(env)
    kept = changes.load(_root(environment, runs_dir), env, name)
    if digest:
        require_approval(environment, kept.review, digest)
    reviewed = [item.layer for item in kept.review.layers]
    with _proposal(environment, kept.image, reviewed) as (proposed, chosen):
        require_unaltered(proposed, kept.review)
        changes.require_fresh(proposed, kept)
    if dry_run:
        _emit_review(kept.review, as_json)
        say(f"Dry run: nothing was changed. Next: make approve ENV={env} NAME={name}")
        return
    delivery = deliver(
        environment, kept.review, chosen, allowed=kept.review.destructive, on_event=_event, tell=say
    )
    _emit_delivery(delivery, as_json)


@click.command()
@_environment
@_layers
@_approve
@_dry_run
@json_option
def delete(env: str, layers: tuple[str, ...], approve: str, dry_run: bool, as_json: bool) -> None:
    """Delete the environment's stacks with all they hold, or only the LAYERS named.

    A protected stack stops it before anything is deleted.
    """
    environment = load_environment(env)
    doomed = stacks.deletion_order(environment, layers or None)
    plan = ActionPlan(env, tuple(f"delete stack {layer.stack_name}" for layer in doomed))
    if plan.empty:
        say("no_change: there is no stack to delete.")
        emit([], as_json, lambda: "")
        return
    if dry_run:
        emit(list(plan.lines), as_json, lambda: "\n".join(plan.lines))
        say(f"Dry run: nothing was deleted. Digest {plan.digest[:DIGEST_DIGITS]}")
        return
    for line in plan.lines:
        say(line)
    require_approval(environment, plan, approve)
    outcomes = stacks.delete(environment, layers or None, on_event=_event)
    _emit_outcomes(outcomes, as_json)
    say(f"Next: make create ENV={env}")


@click.command()
@_environment
@click.option("--force", is_flag=True, help="Whoever owns or suspended it.")
@_dry_run
def unlock(env: str, force: bool, dry_run: bool) -> None:
    """Show who has the environment's lock, remove it if they are dead, and give scaling back.

    A load test suspends scaling; one that was killed leaves it so. Exit code 1 when something
    stays: the lock because its owner may live, or a suspension that no load test of this
    machine made. --force removes both.
    """
    environment = load_environment(env)
    found = lock.lock_of(environment)
    owner = found.owner()
    if owner is None:
        say(f"{env} is not locked.")
    else:
        click.echo(owner.describe())
        if owner.is_alive is not False and not force and not dry_run:
            raise ApprovalMissing(
                f"The lock of {env} stays",
                "its owner may still be writing",
                f"ask them; if they are dead: runbook unlock {env} --force",
            )
        if dry_run:
            say("Dry run: the lock stays.")
        else:
            found.free(owner)
            say(f"{env} is not locked any more.")
    _give_scaling_back(environment, force, dry_run)


def _give_scaling_back(environment: Environment, force: bool, dry_run: bool) -> None:
    try:
        identity = service_identity(environment)
    except (StackNotFound, LocalRegionNotRunning):
        return
    parts = hold.suspended(environment, identity)
    found = hold.left_by_killed_run(environment, identity)
    if found is None and not parts:
        return
    click.echo(f"scaling is suspended: {', '.join(parts)}" if parts else "scaling is active")
    if found is None and not force:
        raise ApprovalMissing(
            f"The scaling of {environment.name} stays suspended",
            "no load test of this machine did it; somebody may want it so",
            f"ask; if nobody does: runbook unlock {environment.name} --force",
        )
    back = (
        f"desired count {found.desired} and scaling as a killed load test found them"
        if found
        else ""
    )
    if dry_run:
        say(f"Dry run: it would restore {back or 'all scaling'}.")
        return
    hold.give_back(environment, identity)
    say(f"Restored {back or 'all scaling'}.")


@contextlib.contextmanager
def _proposal(
    environment: Environment, image: str, layers: Sequence[str]
) -> Iterator[tuple[Environment, Release | None]]:
    """The environment as it would be with that image, on a copy; without one if none is needed."""
    wanted = not layers or release.LAYER in layers
    chosen = release.choose(environment, image) if wanted else None
    with tempfile.TemporaryDirectory(prefix="runbook-") as folder:
        proposed = stacks.proposed_copy(environment, Path(folder))
        if chosen is not None:
            say(chosen.describe())
            chosen.write(proposed)
        yield proposed, chosen


def _require_new(review: Review) -> None:
    changed = [layer.layer for layer in review.layers if layer.operation == "update"]
    if changed:
        env = review.environment
        raise ApprovalMissing(
            f"{env} exists, and would change",
            f"these layers are there and differ: {', '.join(changed)}",
            f"review it: make change ENV={env} NAME=...",
        )


def _refuse_unapproved(environment: Environment, review: Review, digest: str, command: str) -> None:
    try:
        require_approval(environment, review, digest)
    except ApprovalMissing as closed:
        click.echo(display.review_text(review))
        raise ApprovalMissing(closed.what, closed.why, f"read the plan, then: {command}") from None


def _create_command(environment: Environment, review: Review, layers: Sequence[str]) -> str:
    only = f' LAYERS="{" ".join(layers)}"' if layers else ""
    approval = "" if environment.is_local else f" DIGEST={review.short_digest}"
    return f"make create ENV={environment.name}{only}{approval}"


def _root(environment: Environment, runs_dir: Path | None) -> Path:
    return runs_dir or record.runs_root(environment.project)


def _event(event: StackEvent) -> None:
    say(str(event))


def _emit_review(review: Review, as_json: bool) -> None:
    emit(review.to_dict(), as_json, lambda: display.review_text(review))


def _emit_delivery(delivery: Delivery, as_json: bool) -> None:
    changed = any(item.changed for item in delivery.outcomes)
    data = {
        "verdict": "pass" if changed else "no_change",
        "outcomes": [asdict(item) for item in delivery.outcomes],
        "answer": asdict(delivery.answer) if delivery.answer else None,
    }
    emit(data, as_json, lambda: _outcome_table(delivery.outcomes))
    if delivery.answer:
        say(first_answer(delivery.answer))
    if not changed:
        say("no_change: everything is as configured.")


def _emit_outcomes(outcomes: Sequence[LayerOutcome], as_json: bool) -> None:
    emit([asdict(item) for item in outcomes], as_json, lambda: _outcome_table(outcomes))


def _outcome_table(outcomes: Sequence[LayerOutcome]) -> str:
    rows: list[list[Any]] = [[o.layer, o.result, o.changes] for o in outcomes]
    return text_table(["layer", "result", "changes"], rows)
