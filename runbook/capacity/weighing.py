"""One c_SLO from two: the logistic fit's and the queueing model's, each by its certainty."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from runbook.capacity.queue_bootstrap import MODEL_ERROR, Capacity


def weighed(
    direct: tuple[float, float, float], modelled: Capacity, confidence: float
) -> tuple[float, float, float]:
    """Rate, lower and upper bound (requests/s per task) from a direct fit's and the model's.

    The inverse-variance mean of the logarithms. They share their steps, so they would not be
    independent if chance in those were all; the model's own error, which the steps do not
    make, is by far the larger part of what it is unsure of.
    """
    rate, lo, hi = direct
    times = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    below, above = np.log(rate / lo) / times, np.log(hi / rate) / times
    own = max((below + above) / 2.0, 1e-6)
    model = float(np.hypot(modelled.chance, MODEL_ERROR))
    share = own**-2 / (own**-2 + model**-2)
    made = float(np.exp(share * np.log(rate) + (1 - share) * np.log(modelled.rate_per_task_rps)))

    def bound(side: float) -> float:
        return float(np.exp(times * np.hypot(share * side, (1 - share) * model)))

    return made, made / bound(below), made * bound(above)
