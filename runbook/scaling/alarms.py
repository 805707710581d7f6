"""CloudWatch alarms: from the recent datapoints of one metric to the alarm's state.

Sources, CloudWatch user guide: "Evaluating an alarm" (M out of N), "Configuring how CloudWatch
alarms treat missing data", "Percentile-based CloudWatch alarms and low data samples".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from runbook.scaling import arithmetic
from runbook.scaling.errors import PolicyError
from runbook.scaling.semantics import DEFAULT, Semantics

AlarmState = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Comparison = Literal[
    "GreaterThanThreshold",
    "GreaterThanOrEqualToThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
]
TreatMissingData = Literal["missing", "ignore", "breaching", "notBreaching"]
LowSample = Literal["evaluate", "ignore"]

# The position in each Literal is the integer code of runbook.scaling.arithmetic.
STATES: tuple[AlarmState, ...] = get_args(AlarmState)
COMPARISONS: tuple[Comparison, ...] = get_args(Comparison)
TREATMENTS: tuple[TreatMissingData, ...] = get_args(TreatMissingData)

_WORDS = {
    "GreaterThanThreshold": "greater than",
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}
_FILL_WORDS = {"breaching": "Breaching", "notBreaching": "NonBreaching"}


@dataclass(frozen=True, slots=True)
class AlarmRule:
    """What an alarm compares and how many datapoints decide.

    ``threshold`` is in the metric's unit. ``datapoints_to_alarm`` (M) defaults to
    ``evaluation_periods`` (N). ``percentile`` (95.0 for p95) only matters together with
    ``evaluate_low_sample="ignore"``.

    Raises:
        PolicyError: on values CloudWatch's PutMetricAlarm refuses.
    """

    comparison: Comparison
    threshold: float
    evaluation_periods: int
    datapoints_to_alarm: int | None = None
    treat_missing_data: TreatMissingData = "missing"
    evaluate_low_sample: LowSample = "evaluate"
    percentile: float | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        _require(self.comparison in COMPARISONS, f"comparison {self.comparison!r}", COMPARISONS)
        _require(
            self.treat_missing_data in TREATMENTS,
            f"treat_missing_data {self.treat_missing_data!r}",
            TREATMENTS,
        )
        _require(
            self.evaluate_low_sample in get_args(LowSample),
            f"evaluate_low_sample {self.evaluate_low_sample!r}",
            get_args(LowSample),
        )
        _require(math.isfinite(self.threshold), f"threshold {self.threshold}", "a finite number")
        _require(
            self.evaluation_periods >= 1,
            f"evaluation_periods {self.evaluation_periods}",
            "1 or more",
        )
        _require(
            1 <= self.needed <= self.evaluation_periods,
            f"datapoints_to_alarm {self.datapoints_to_alarm}",
            f"1 to evaluation_periods ({self.evaluation_periods})",
        )
        _require(
            self.percentile is None or 0.0 < self.percentile < 100.0,
            f"percentile {self.percentile}",
            "above 0 and below 100",
        )

    @property
    def needed(self) -> int:
        """M: breaching datapoints that make an alarm."""
        if self.datapoints_to_alarm is None:
            return self.evaluation_periods
        return self.datapoints_to_alarm

    @classmethod
    def from_api(cls, alarm: Mapping[str, Any]) -> "AlarmRule":
        """The rule of an alarm as PutMetricAlarm takes it and DescribeAlarms gives it."""
        statistic = str(alarm.get("ExtendedStatistic") or "")
        datapoints = alarm.get("DatapointsToAlarm")
        return cls(
            comparison=cast(Comparison, alarm["ComparisonOperator"]),
            threshold=float(alarm["Threshold"]),
            evaluation_periods=int(alarm["EvaluationPeriods"]),
            datapoints_to_alarm=None if datapoints is None else int(datapoints),
            treat_missing_data=cast(TreatMissingData, alarm.get("TreatMissingData") or "missing"),
            evaluate_low_sample=cast(
                LowSample, alarm.get("EvaluateLowSampleCountPercentile") or "evaluate"
            ),
            percentile=_percentile(statistic),
        )


@dataclass(frozen=True, slots=True)
class AlarmDecision:
    """The state of an alarm and what it rests on.

    ``breaching`` counts the real breaching datapoints used; ``evaluated`` holds the real
    datapoints used, oldest first; ``newest`` is the newest real datapoint of the evaluation range;
    ``filled`` counts periods decided by ``treat_missing_data``; ``retained`` says that the
    previous state was kept because the rules demand it.
    """

    state: AlarmState
    reason: str
    breaching: int
    newest: float | None
    evaluated: tuple[float, ...]
    filled: int
    premature: bool
    retained: bool


def evaluation_range(rule: AlarmRule, semantics: Semantics = DEFAULT) -> int:
    """How many of the newest periods an evaluation looks at (5 for N = 3)."""
    return rule.evaluation_periods + semantics.evaluation_range_extra


def minimum_samples(percentile: float) -> float:
    """Samples below which CloudWatch calls a percentile statistically weak: 200 for p95.

    ``10 / (1 - p)`` from the median up, ``10 / p`` below it.
    """
    fraction = percentile / 100.0
    return 10.0 / (1.0 - fraction) if fraction >= 0.5 else 10.0 / fraction


def evaluate_alarm(
    rule: AlarmRule,
    datapoints: Sequence[float | None],
    previous_state: AlarmState = "INSUFFICIENT_DATA",
    *,
    sample_counts: Sequence[float | None] | None = None,
    semantics: Semantics = DEFAULT,
) -> AlarmDecision:
    """Evaluate an alarm once.

    Args:
        rule: the alarm.
        datapoints: one value per period, oldest first, None or NaN where there is none. Only the
            last ``evaluation_range(rule)`` are read; if there are fewer, the rest is missing.
        previous_state: kept where CloudWatch retains the current state.
        sample_counts: samples behind each datapoint, same length; only read for a percentile
            alarm with ``evaluate_low_sample="ignore"``.
        semantics: the undocumented choices.

    Raises:
        PolicyError: if ``sample_counts`` has another length than ``datapoints``.
    """
    if sample_counts is not None and len(sample_counts) != len(datapoints):
        raise PolicyError(
            f"alarm not evaluated: {len(sample_counts)} sample counts for {len(datapoints)} "
            "datapoints; give one count per datapoint"
        )
    size = evaluation_range(rule, semantics)
    window = [math.nan if value is None else float(value) for value in datapoints[-size:]]
    present = [index for index, value in enumerate(window) if not math.isnan(value)]
    used = present[-rule.evaluation_periods :]
    evaluated = tuple(window[index] for index in used)
    newest = evaluated[-1] if evaluated else None

    counts = None if sample_counts is None else list(sample_counts[-size:])
    if counts is not None and _too_few_samples(rule, [counts[i] or 0.0 for i in used], semantics):
        return AlarmDecision(
            state=previous_state,
            reason=f"Low sample count: fewer than {minimum_samples(rule.percentile or 50.0):g} "
            f"samples for p{rule.percentile:g}; the state is kept.",
            breaching=0,
            newest=newest,
            evaluated=evaluated,
            filled=rule.evaluation_periods - len(evaluated),
            premature=False,
            retained=True,
        )

    few = semantics.few_breaching_state
    state, breaching, real, premature, retained = arithmetic.alarm_verdict(
        window,
        COMPARISONS.index(rule.comparison),
        rule.threshold,
        rule.evaluation_periods,
        rule.needed,
        TREATMENTS.index(rule.treat_missing_data),
        STATES.index(previous_state),
        -1 if few == "retain" else STATES.index(few),
    )
    filled = rule.evaluation_periods - real
    return AlarmDecision(
        state=STATES[state],
        reason=_reason(rule, STATES[state], evaluated, breaching, bool(retained)),
        breaching=breaching,
        newest=newest,
        evaluated=evaluated,
        filled=filled,
        premature=bool(premature),
        retained=bool(retained),
    )


def _too_few_samples(rule: AlarmRule, counts: list[float], semantics: Semantics) -> bool:
    """Whether the low-sample rule keeps the state ("ignore" on a percentile alarm)."""
    if rule.evaluate_low_sample != "ignore" or rule.percentile is None or not counts:
        return False
    needed = minimum_samples(rule.percentile)
    if semantics.low_sample_scope == "whole_window":
        return sum(counts) < needed
    return min(counts) < needed


def _reason(
    rule: AlarmRule,
    state: AlarmState,
    evaluated: tuple[float, ...],
    breaching: int,
    retained: bool,
) -> str:
    """The reason in the words CloudWatch uses for StateReason; newest datapoint first."""
    filled = rule.evaluation_periods - len(evaluated)
    if retained:
        return f"Insufficient Data: {_unknown(filled)} unknown; the state is kept."
    if state == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {_unknown(filled)} unknown."
    words = _WORDS[rule.comparison]
    fill = _FILL_WORDS.get(rule.treat_missing_data)
    treated = ""
    if filled and fill:
        points = "1 missing datapoint was" if filled == 1 else f"{filled} missing datapoints were"
        treated = f" and {points} treated as [{fill}]"
    if not evaluated:
        return (
            f"Threshold Crossed: no datapoints were received for {rule.evaluation_periods} "
            f"{'period' if rule.evaluation_periods == 1 else 'periods'}{treated}."
        )
    if state == "ALARM":
        verb = "was" if breaching == 1 else "were"
        return (
            f"Threshold Crossed: {breaching} out of the last {len(evaluated)} datapoints "
            f"[{_listed(rule, evaluated, True)}] {verb} {words} the threshold "
            f"({rule.threshold!r}){treated} (minimum {rule.needed} "
            f"datapoint{'' if rule.needed == 1 else 's'} for OK -> ALARM transition)."
        )
    calm = len(evaluated) - breaching
    return (
        f"Threshold Crossed: {calm} datapoint{'' if calm == 1 else 's'} "
        f"[{_listed(rule, evaluated, False)}] {'was' if calm == 1 else 'were'} not {words} "
        f"the threshold ({rule.threshold!r}){treated}."
    )


def _listed(rule: AlarmRule, evaluated: tuple[float, ...], breaching: bool) -> str:
    """The breaching (or the other) datapoints, newest first."""
    chosen = [value for value in reversed(evaluated) if _crosses(rule, value) == breaching]
    return ", ".join(repr(value) for value in chosen)


def _crosses(rule: AlarmRule, value: float) -> bool:
    if rule.comparison.startswith("Greater"):
        inside = value > rule.threshold
    else:
        inside = value < rule.threshold
    return inside or ("OrEqual" in rule.comparison and value == rule.threshold)


def _unknown(count: int) -> str:
    return f"{count} datapoint was" if count == 1 else f"{count} datapoints were"


def _percentile(statistic: str) -> float | None:
    """95.0 of "p95"; None for any other extended statistic."""
    try:
        return float(statistic[1:]) if statistic.startswith("p") else None
    except ValueError:
        return None


def _require(condition: bool, what: str, allowed: object) -> None:
    if not condition:
        raise PolicyError(f"alarm rule refused: {what} is not allowed; use {allowed}")
