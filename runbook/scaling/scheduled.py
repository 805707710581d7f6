"""Scheduled actions: new bounds at a time, and the capacity moved inside them at once.

When the action is due is the caller's business (a clock); this is its effect. Cooldowns do not
hold it back. Source: Application Auto Scaling user guide, "Scheduled scaling for Application Auto
Scaling"; the same holds when bounds are changed by RegisterScalableTarget ("Scaling activities":
"when you modify the maximum or minimum size of the scalable target").
"""

from dataclasses import dataclass, replace

from runbook.scaling.decision import ScalableTarget
from runbook.scaling.errors import PolicyError


@dataclass(frozen=True, slots=True)
class ScheduledAction:
    """New bounds in tasks; None leaves a bound as it is, but one of them must be given.

    Raises:
        PolicyError: if neither bound is given.
    """

    name: str
    min_capacity: int | None = None
    max_capacity: int | None = None

    def __post_init__(self) -> None:
        """Check that the action does something."""
        if self.min_capacity is None and self.max_capacity is None:
            raise PolicyError(
                f"scheduled action {self.name!r} refused: it changes nothing; "
                "give a minimum, a maximum or both"
            )


def apply_scheduled(
    target: ScalableTarget, action: ScheduledAction, desired: int
) -> tuple[ScalableTarget, int | None]:
    """The bounds after the action and the new desired count, None if it is already inside.

    A target whose scheduled scaling is suspended is returned as it is.

    Raises:
        PolicyError: if the resulting bounds are crossed.
    """
    if target.scheduled_suspended:
        return target, None
    changed = replace(
        target,
        min_capacity=target.min_capacity if action.min_capacity is None else action.min_capacity,
        max_capacity=target.max_capacity if action.max_capacity is None else action.max_capacity,
    )
    return changed, capacity_within(changed, desired)


def capacity_within(target: ScalableTarget, desired: int) -> int | None:
    """The nearest bound if ``desired`` lies outside the target's bounds, else None."""
    inside = max(target.min_capacity, min(desired, target.max_capacity))
    return None if inside == desired else inside
