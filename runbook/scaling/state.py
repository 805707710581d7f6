"""What is remembered between two scaling decisions: counts and running cooldowns.

Source: Application Auto Scaling user guide, "How target tracking scaling works", "Define cooldown
periods", and "Scaling activities".
"""

from dataclasses import dataclass, replace

from runbook.scaling.semantics import DEFAULT, Semantics


@dataclass(frozen=True, slots=True)
class Activity:
    """A scaling activity and the cooldown it starts. Times and durations in seconds.

    ``base`` is the capacity the adjustment was added to; while the cooldown runs, step policies
    go on counting from it. ``completed_at_s`` is None while the tasks are on their way.
    """

    requested_at_s: float
    new_desired: int
    base: int
    cooldown_s: float
    completed_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class ScalingState:
    """The scalable target now, in tasks.

    ``running`` is the service's runningCount (both revisions during a deployment).
    ``deployment_in_progress`` must stay False for the EXTERNAL deployment controller, which AWS
    exempts. ``last_out`` and ``last_in`` are the latest activities by scaling policies; a
    scale-out clears ``last_in``, because it ends a running scale-in cooldown.
    """

    desired: int
    running: int
    deployment_in_progress: bool = False
    last_out: Activity | None = None
    last_in: Activity | None = None


def cooldown_ends_at_s(activity: Activity, semantics: Semantics = DEFAULT) -> float:
    """When the cooldown of an activity ends, in the caller's seconds.

    While the activity has not completed it is taken to end at its timeout, so that tasks that
    never come do not block scaling for ever.
    """
    if semantics.cooldown_starts_at == "request":
        return activity.requested_at_s + activity.cooldown_s
    started_s = activity.completed_at_s
    if started_s is None:
        started_s = activity.requested_at_s + semantics.activity_timeout_s
    return started_s + activity.cooldown_s


def is_cooling(activity: Activity | None, now_s: float, semantics: Semantics = DEFAULT) -> bool:
    """Whether the cooldown of ``activity`` is running at ``now_s``."""
    return activity is not None and now_s < cooldown_ends_at_s(activity, semantics)


def observe(
    state: ScalingState,
    *,
    running: int,
    now_s: float,
    desired: int | None = None,
    deployment_in_progress: bool = False,
    semantics: Semantics = DEFAULT,
) -> ScalingState:
    """Refresh the counts before a decision and note activities that have completed.

    A scale-out completes when ``running`` has reached what it asked for, a scale-in when it has
    come down to it. ``desired`` is given when someone else may have changed it; then an activity
    that asked for another count is over.
    """
    wanted = state.desired if desired is None else desired

    def completed(activity: Activity | None, direction: int) -> Activity | None:
        if activity is None or activity.completed_at_s is not None:
            return activity
        timeout_s = activity.requested_at_s + semantics.activity_timeout_s
        reached = (running - activity.new_desired) * direction >= 0
        if reached or wanted != activity.new_desired or now_s >= timeout_s:
            return replace(activity, completed_at_s=min(now_s, timeout_s))
        return activity

    return ScalingState(
        desired=wanted,
        running=running,
        deployment_in_progress=deployment_in_progress,
        last_out=completed(state.last_out, 1),
        last_in=completed(state.last_in, -1),
    )
