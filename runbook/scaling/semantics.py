"""The choices AWS does not document, or documents unclearly, as named parameters.

A simulation is only as good as these guesses, so they are data: reports print ``CHOICES``, the
policy lab sweeps their ranges and shows intervals, and a calibration against a real service can
replace a default without touching a rule.
"""

from dataclasses import dataclass, fields
from typing import Literal

from runbook.scaling.errors import PolicyError

FewBreaching = Literal["INSUFFICIENT_DATA", "OK", "retain"]


@dataclass(frozen=True, slots=True)
class Semantics:
    """One consistent set of guesses. See ``CHOICES`` for ranges, sources and reasons."""

    evaluation_range_extra: int = 2
    few_breaching_state: FewBreaching = "INSUFFICIENT_DATA"
    low_sample_scope: Literal["each_period", "whole_window"] = "each_period"
    scale_out_base: Literal["running", "desired"] = "running"
    scale_in_base: Literal["running", "desired"] = "running"
    running_count_at: Literal["decision", "datapoint"] = "decision"
    scale_in_margin: float = 0.0
    max_scale_in_fraction: float = 1.0
    missing_data_blocks_scale_in: bool = True
    scale_out_cooldown_base: Literal["before_activity", "now"] = "before_activity"
    scale_out_cooldown_blocks_scale_in: bool = False
    cooldown_starts_at: Literal["completion", "request"] = "completion"
    activity_timeout_s: float = 600.0
    step_aggregation_window: Literal["evaluated", "newest"] = "evaluated"

    def __post_init__(self) -> None:
        """Refuse a value outside its documented range.

        Raises:
            PolicyError: naming the parameter, the value and what is allowed.
        """
        for choice in CHOICES:
            value = getattr(self, choice.name)
            if not choice.allows(value):
                raise PolicyError(
                    f"semantics refused: {choice.name} is {value!r}, allowed is "
                    f"{choice.allowed_text()}; pick a value in that range"
                )


@dataclass(frozen=True, slots=True)
class Choice:
    """One undocumented choice: what may be picked, what is picked, and on what ground.

    ``allowed`` is a tuple of values, or for a number the pair (smallest, largest), both included.
    """

    name: str
    allowed: tuple[object, ...]
    source: str
    why: str
    is_range: bool = False

    @property
    def default(self) -> object:
        """The value that ``Semantics()`` uses."""
        return next(f.default for f in fields(Semantics) if f.name == self.name)

    def allows(self, value: object) -> bool:
        """Whether ``value`` lies in the allowed range."""
        if not self.is_range:
            return any(value is option or value == option for option in self.allowed)
        low, high = self.allowed
        if not isinstance(value, int | float) or isinstance(value, bool):
            return False
        assert isinstance(low, int | float)
        assert isinstance(high, int | float)
        return low <= value <= high

    def allowed_text(self) -> str:
        """The range in words."""
        if self.is_range:
            return f"{self.allowed[0]} to {self.allowed[1]}"
        return " or ".join(repr(option) for option in self.allowed)


CHOICES: tuple[Choice, ...] = (
    Choice(
        "evaluation_range_extra",
        (0, 10),
        "CloudWatch user guide, Configuring how CloudWatch alarms treat missing data",
        "The page says more datapoints than N are retrieved, the number depending on period and "
        "resolution; its only example is 5 for N = 3.",
        is_range=True,
    ),
    Choice(
        "few_breaching_state",
        ("INSUFFICIENT_DATA", "OK", "retain"),
        "CloudWatch user guide, same page: a 2018 table has '- - - - X' as INSUFFICIENT_DATA; "
        "today's text says only that the alarm does not go to ALARM",
        "All existing datapoints breach, but they are fewer than M and too young for the "
        "premature rule.",
    ),
    Choice(
        "low_sample_scope",
        ("each_period", "whole_window"),
        "CloudWatch user guide, Percentile-based CloudWatch alarms and low data samples",
        "'Fewer than 10/(1-percentile) data points during the evaluation period' may mean one "
        "period or all that are evaluated.",
    ),
    Choice(
        "scale_out_base",
        ("running", "desired"),
        "ECS developer guide, Automatically scale your Amazon ECS service: 'the actual running "
        "task count ... is the value that Service Auto Scaling uses as its starting point'",
        "Documented for ECS; 'desired' only for comparison with other services.",
    ),
    Choice(
        "scale_in_base",
        ("running", "desired"),
        "as scale_out_base; the page speaks of 'scaling activities' in general",
        "Differs from scale_out_base only while tasks are starting or stopping.",
    ),
    Choice(
        "running_count_at",
        ("decision", "datapoint"),
        "undocumented",
        "The metric is older than the decision; multiplying it by today's count overshoots while "
        "tasks are starting.",
    ),
    Choice(
        "scale_in_margin",
        (0.0, 0.2),
        "undocumented; 'usually more than 10% lower' in the user guide describes the alarm's "
        "threshold, not the prediction",
        "How far below the target the predicted metric must stay after a scale-in, as a fraction.",
        is_range=True,
    ),
    Choice(
        "max_scale_in_fraction",
        (0.01, 1.0),
        "undocumented; ECS developer guide: 'scales in more gradually'",
        "Largest share of the tasks one scale-in removes (at least one task). 1.0 is the plain "
        "proportional estimate; on one trace a cap of 0.1 cut simulated violations to a third.",
        is_range=True,
    ),
    Choice(
        "missing_data_blocks_scale_in",
        (True, False),
        "Application Auto Scaling user guide, How target tracking scaling works: all policies must "
        "be ready, and without data it 'cannot scale your scalable target'",
        "With no traffic RequestCountPerTarget may be silent; then its AlarmLow is in "
        "INSUFFICIENT_DATA and stops every other policy's scale-in.",
    ),
    Choice(
        "scale_out_cooldown_base",
        ("before_activity", "now"),
        "Application Auto Scaling user guide, How target tracking scaling works: 'the capacity "
        "added by the initiating scale-out activity is calculated as part of the desired capacity "
        "for the next scale-out activity'; spelt out for step scaling only (+3 after +2 adds 1)",
        "What target tracking multiplies its metric with while a scale-out cooldown runs: the "
        "tasks before the activity (a stale metric then asks for no more), or those of now "
        "(reacts to rising load within the cooldown, and overshoots on stale metrics).",
    ),
    Choice(
        "scale_out_cooldown_blocks_scale_in",
        (False, True),
        "undocumented; the pages only say that a scale-in cooldown blocks scale-in",
        "Whether a running scale-out cooldown also holds back a scale-in.",
    ),
    Choice(
        "cooldown_starts_at",
        ("completion", "request"),
        "API reference, TargetTrackingScalingPolicyConfiguration: 'after a scale-in activity "
        "completes'; user guide: 'after Application Auto Scaling successfully scales out'",
        "Completion means that the running count has reached the new desired count.",
    ),
    Choice(
        "activity_timeout_s",
        (30.0, 3600.0),
        "Application Auto Scaling user guide, Scaling activities: status Unfulfilled, 'scaling "
        "timed out', no duration given",
        "After this time an activity whose tasks never came counts as ended, in seconds.",
        is_range=True,
    ),
    Choice(
        "step_aggregation_window",
        ("evaluated", "newest"),
        "Application Auto Scaling user guide, How step scaling works: 'the most recent metric "
        "data points'",
        "MetricAggregationType is applied to the datapoints the alarm rests on, or to one.",
    ),
)

DEFAULT = Semantics()
