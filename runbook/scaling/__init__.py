"""What AWS would do: CloudWatch alarms and Application Auto Scaling as pure functions.

One implementation serves the local region's real scaler and the policy simulator, so a
simulation can be checked against a real loop. Nothing here reads a clock, a file or a network.

Modules, bottom up:

- ``errors``           what goes wrong with a policy, an alarm rule or an expression
- ``arithmetic``       the scalar core: ints and floats only, each function compilable by numba
- ``semantics``        every choice AWS does not document, named, with default, range and source
- ``metric_math_parser``, ``metric_math_values``, ``metric_math``   metric-math expressions over
  aligned series
- ``alarms``           M out of N, missing data, evaluation range, premature alarm
- ``target_tracking``  the two alarms of a policy and the capacity it asks for
- ``step_scaling``     step adjustments, rounding, minimum magnitude
- ``state``            what is remembered between decisions: counts and running cooldowns
- ``signals``          what each policy asks for on its own
- ``decision``         several policies on one scalable target: what happens now, and why
- ``scheduled``        scheduled actions and changed bounds
- ``predictive``       the floor that a forecast of the capacity makes

Conventions: series are oldest first, a missing datapoint is ``None`` (or NaN), times are float
seconds of any epoch, capacities are whole tasks, utilisations are percent.
"""
