"""GetMetricData."""

from __future__ import annotations

import base64
from typing import Any

from local_region.cloudwatch.queries import (
    Evaluation,
    Query,
    Request,
    read_queries,
    required,
    validation_error,
)
from local_region.cloudwatch.store import MetricStore, Scope
from local_region.cloudwatch.wire import epoch_s
from local_region.errors import AwsError

MAX_DATAPOINTS = 100_800
_MAX_QUERIES = 500


def get_metric_data(store: MetricStore, scope: Scope, request: Request) -> dict[str, Any]:
    """Statistics and metric math over [StartTime, EndTime), newest first unless asked otherwise.

    Periods are aligned to the epoch. A page holds MaxDatapoints values over all results together.
    Raises AwsError (ValidationError, InvalidNextToken).
    """
    queries = read_queries(request.get("MetricDataQueries"))
    if len(queries) > _MAX_QUERIES:
        raise validation_error(f"At most {_MAX_QUERIES} MetricDataQueries are accepted.")
    start_s, end_s = time_span(request)
    ascending = _scan_by(request) == "TimestampAscending"
    evaluation = Evaluation(store, scope, queries, start_s, end_s)
    returned = [query for query in queries if query.return_data]
    results = [_result(evaluation, query, ascending) for query in returned]
    return _page(results, request)


def time_span(request: Request) -> tuple[float, float]:
    """StartTime and EndTime in epoch seconds. Raises AwsError."""
    start_s = epoch_s(required(request, "StartTime"))
    end_s = epoch_s(required(request, "EndTime"))
    if not start_s < end_s:
        raise validation_error("The parameter StartTime must be less than the parameter EndTime.")
    return start_s, end_s


def _scan_by(request: Request) -> str:
    order = str(request.get("ScanBy") or "TimestampDescending")
    if order not in ("TimestampDescending", "TimestampAscending"):
        raise validation_error(
            f"Value '{order}' at 'scanBy' failed to satisfy constraint: Member must satisfy enum "
            "value set: [TimestampDescending, TimestampAscending]"
        )
    return order


def _result(evaluation: Evaluation, query: Query, ascending: bool) -> dict[str, Any]:
    period_s = evaluation.period_s(query)
    points = [
        (at, value)
        for at, value in zip(evaluation.grid(period_s), evaluation.series(query), strict=True)
        if value is not None
    ]
    if not ascending:
        points.reverse()
    return {
        "Id": query.id,
        "Label": query.label,
        "Timestamps": [at for at, _ in points],
        "Values": [value for _, value in points],
        "StatusCode": "Complete",
    }


def _page(results: list[dict[str, Any]], request: Request) -> dict[str, Any]:
    limit = int(request.get("MaxDatapoints") or MAX_DATAPOINTS)
    if not 1 <= limit <= MAX_DATAPOINTS:
        raise validation_error(f"MaxDatapoints must be between 1 and {MAX_DATAPOINTS}.")
    share = max(1, limit // max(1, len(results)))
    start = _position(request.get("NextToken"))
    more = any(len(result["Values"]) > start + share for result in results)
    for result in results:
        result["StatusCode"] = (
            "PartialData" if len(result["Values"]) > start + share else "Complete"
        )
        for name in ("Timestamps", "Values"):
            result[name] = result[name][start : start + share]
    answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
    if more:
        answer["NextToken"] = base64.urlsafe_b64encode(str(start + share).encode()).decode()
    return answer


def _position(token: str | None) -> int:
    if not token:
        return 0
    try:
        return int(base64.urlsafe_b64decode(token))
    except ValueError as error:
        raise AwsError("InvalidNextToken", f"Invalid NextToken : {token}") from error
