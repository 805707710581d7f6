"""Errors of the scaling semantics.

ScalingError(ValueError)
├── MetricMathError   an expression that CloudWatch would refuse, or series that do not fit it
└── PolicyError       an alarm rule, a policy or a setting outside what AWS accepts

Messages read ``{what happened}: {why}; {what to do next}``.
"""


class ScalingError(ValueError):
    """Base of everything raised by ``runbook.scaling``."""


class MetricMathError(ScalingError):
    """An expression that cannot be parsed or evaluated."""


class PolicyError(ScalingError):
    """An alarm rule, scaling policy, scalable target or setting that AWS would not accept."""
