"""Where the numbers of a replay lie: columns of the flat arrays the compiled loop works on.

- `tables` (5, counts): per serving task count (row 0 of no use): c_SLO requests/s per task,
  steepness of the share of slow requests, most requests/s a task can serve, CPU seconds a
  request, unused. Beyond the last column the last one holds.
- `service`: the named entries below. `delays`: start, ready, judge and block of the account, and
  the largest time that divides all periods, in ticks.
- `streams` (n, 7): period and publish delay in ticks, unused, countdown to the period's end, tick
  of the next publication, read and write position in `ring`.
- `ring` (n, 4, POINTS): CPU percent, requests per target and minute, share of slow requests (from
  which p95 is reckoned when an alarm asks), running tasks.
- `tracking_i` (n, 5): stream, metric, AlarmHigh and AlarmLow datapoints, scale-in enabled;
  `tracking_f` (n, 4): target, AlarmLow's threshold, cooldowns out and in, seconds.
- `step_i` (n, 11): stream, metric, N, M, adjustment type, minimum magnitude, first step, number
  of steps, aggregation, treatment of missing data, 1 if it breaches above its threshold;
  `step_f` (n, 4): threshold, cooldown, CPU floor, the value in `ring` beyond which the threshold
  is passed.
- `steps` (n, 3): lower and upper offset, adjustment.
- `semantics`: the undocumented choices as numbers, see `runbook.lab.compiled`.
- `activities` (2, 6): the last scale-out and scale-in: 1 if there is one, requested at, new
  desired, base, cooldown, completed at (-1: not yet).
- `alarm_bits` (n, 5): latest datapoints as bits (above, below, present), states of the high and
  the low alarm; a step policy has in column 1 where its newest datapoint stands in `newest`, in
  column 3 its state and in column 4 whether it is due.
- `newest` (n, WINDOW): tracking: value, periods without data since, running tasks then; a step
  policy's latest datapoints, newer before older, in a circle.
- `account` (blocks, ACCOUNT): see `runbook.lab.outcome`.
"""

CPU, REQUESTS, SLOW, RUNNING = range(4)
POINTS = 64
WINDOW = 64
TICK_S, SHARE_CORES, IDLE_PCT, STARTUP_PCT, QUEUE_S, SLO_S, DRAIN_S, ZERO_REPORTED = range(8)
OUT, IN = 0, 1
FLOORED = -1.0
"""In place of a value that counts as 0, as the CPU was not over the floor."""
ACCOUNT = 15
LOGIT_5_PCT = -2.9444389791664403
"""logit(0.05): p95 is at the SLO when one request in twenty is slower."""
P95_PER_LOGIT = 0.5
"""ln(p95 / SLO) per unit of logit(share of slow requests) beyond it: rounded from the curve shipped
in examples/. Only the crossing matters to policies: there both are zero."""
LEAST_SLOW = 1e-6
"""Shares of slow requests are taken between this and one minus this."""
