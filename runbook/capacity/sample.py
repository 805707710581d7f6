"""A valid step's latencies on CloudWatch's level, without what was warm-up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runbook.capacity.crossing import StepBlocks, blocks
from runbook.capacity.measured import MeasuredStep
from runbook.capacity.stationarity import judge
from runbook.load.measurement import RawLoad, percentile_ms

Floats = NDArray[np.float64]

#: The SLO is on p95: this share of requests may be slower.
ALLOWED_SLOW_SHARE = 0.05
#: A block is this part of a metric period, so a period has ten.
BLOCKS_PER_PERIOD = 10


@dataclass(frozen=True)
class Sample:
    """A valid step with its latencies on CloudWatch's level, offsets from the step's start.

    The first `dropped_s` seconds are left out; `note` says why, or what else is not steady.
    """

    step: MeasuredStep
    offsets_s: Floats
    latency_ms: Floats
    duration_s: float
    dropped_s: float = 0.0
    note: str = ""

    def blocks(self, slo_ms: float) -> StepBlocks:
        """The step cut into blocks, with the rate per task that was really offered."""
        duration_s = self.duration_s - self.dropped_s
        count = max(round(BLOCKS_PER_PERIOD * duration_s / self.duration_s), 1)
        return blocks(
            self.step.offered_per_task_rps,
            self.offsets_s - self.dropped_s,
            self.latency_ms > slo_ms,
            duration_s=duration_s,
            block_s=duration_s / count,
        )

    def pieces(self) -> list[Floats]:
        """The latencies by block of time; empty blocks are left out."""
        number = np.clip(self.offsets_s / self.duration_s * BLOCKS_PER_PERIOD, 0, None).astype(int)
        parts = [self.latency_ms[number == block] for block in range(BLOCKS_PER_PERIOD)]
        return [part for part in parts if len(part)]


def recentred(step: MeasuredStep, raw: RawLoad) -> Sample:
    """The step's latencies, scaled so that their p95 is CloudWatch's, warm-up left out."""
    timed = raw.timed
    latency_ms = raw.latency_ms[timed]
    client_p95 = percentile_ms(latency_ms, 95)
    if client_p95 and step.trt_p95_ms:
        latency_ms = latency_ms * (step.trt_p95_ms / client_p95)
    offsets_s = raw.intended_s[timed] - step.client.start_s
    duration_s = step.client.end_s - step.client.start_s
    verdict = judge(offsets_s, latency_ms, duration_s)
    kept = offsets_s >= verdict.drop_s
    return Sample(step, offsets_s[kept], latency_ms[kept], duration_s, verdict.drop_s, verdict.note)
