"""A listener's rules as Envoy routes.

What a rule asks for and Envoy (or this package) does not do is refused with a note and a 501, not
passed over: a balancer that quietly forwards what should have been authenticated is worse than
none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Action = Mapping[str, Any]
_REDIRECT_CODES = {"HTTP_301": "MOVED_PERMANENTLY", "HTTP_302": "FOUND"}
_PLACEHOLDER = re.compile(r"#\{\w+\}")


@dataclass(frozen=True)
class Rule:
    """A listener rule as recorded. The default rule has no conditions and comes last."""

    priority: int
    conditions: Sequence[Mapping[str, Any]]
    actions: Sequence[Action]


@dataclass(frozen=True)
class Routes:
    """Envoy routes in the order of the rules, and what could not be done."""

    routes: list[Json]
    notes: list[str]


def read_rules(records: Sequence[Mapping[str, Any]], default: Sequence[Action]) -> list[Rule]:
    """The rules of a listener in the order they are tried. `default`: its default actions."""
    rules = [
        Rule(int(record["Priority"]), record.get("Conditions") or [], record.get("Actions") or [])
        for record in records
        if not record.get("IsDefault")
    ]
    return [*sorted(rules, key=lambda rule: rule.priority), Rule(1 << 16, [], default)]


def make_routes(
    rules: Sequence[Rule], cluster_names: Mapping[str, str], idle_timeout_s: int
) -> Routes:
    """`cluster_names`: target group ARN -> Envoy cluster."""
    routes: list[Json] = []
    notes: list[str] = []
    for rule in rules:
        match, problem = _match(rule.conditions)
        if match is None:
            notes.append(f"rule {rule.priority} is left out: {problem}")
            continue
        action, problem = _action(rule.actions, cluster_names, idle_timeout_s)
        if problem:
            notes.append(f"rule {rule.priority} answers 501: {problem}")
        routes.append({"match": match, **action})
    return Routes(routes, notes)


def _match(conditions: Sequence[Mapping[str, Any]]) -> tuple[Json | None, str]:
    match: Json = {"prefix": "/"}
    headers: list[Json] = []
    for condition in conditions:
        field, values = condition.get("Field"), list(condition.get("Values") or [])
        if field == "path-pattern":
            match = {"safe_regex": {"regex": _any_of(values)}, **match}
            match.pop("prefix", None)
        elif field == "host-header":
            # Case does not matter in names, nor does the port a client adds.
            regex = f"(?i)(?:{_any_of(values)})(?::\\d+)?"
            headers.append(_header(":authority", regex))
        elif field == "http-request-method":
            headers.append(_header(":method", "|".join(re.escape(v) for v in values)))
        elif field == "http-header":
            config = condition.get("HttpHeaderConfig") or {}
            name, wanted = config.get("HttpHeaderName", ""), config.get("Values") or []
            headers.append(_header(str(name).lower(), f"(?i){_any_of(wanted)}"))
        else:
            return None, f"conditions on {field} are not emulated"
    if headers:
        match["headers"] = headers
    return match, ""


def _header(name: str, regex: str) -> Json:
    return {"name": name, "string_match": {"safe_regex": {"regex": regex}}}


def _any_of(patterns: Sequence[str]) -> str:
    """ALB's patterns (* any characters, ? exactly one) as one regular expression."""
    return "|".join(
        "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
        for pattern in patterns
    )


def _action(
    actions: Sequence[Action], cluster_names: Mapping[str, str], idle_timeout_s: int
) -> tuple[Json, str]:
    if len(actions) != 1:
        kinds = [action.get("Type") for action in actions]
        return _not_emulated(f"actions {kinds} in a row are not emulated")
    action = actions[0]
    match action.get("Type"):
        case "forward":
            cluster = cluster_names.get(str(action.get("TargetGroupArn")))
            if cluster is None:
                return _not_emulated(f"target group {action.get('TargetGroupArn')} is gone")
            # No retries: a mistake of ours while draining shall be seen.
            return {"route": {"cluster": cluster, "timeout": f"{idle_timeout_s}s"}}, ""
        case "redirect":
            return _redirect(action.get("RedirectConfig") or {})
        case "fixed-response":
            return _fixed_response(action.get("FixedResponseConfig") or {}), ""
        case kind:
            return _not_emulated(f"action {kind} is not emulated")


def _redirect(config: Mapping[str, Any]) -> tuple[Json, str]:
    redirect: Json = {"response_code": _REDIRECT_CODES.get(str(config.get("StatusCode")), "FOUND")}
    protocol = config.get("Protocol", "#{protocol}")
    if protocol in ("HTTP", "HTTPS"):
        redirect["scheme_redirect"] = protocol.lower()
    if str(config.get("Port", "#{port}")).isdigit():
        redirect["port_redirect"] = int(config["Port"])
    for key, name, unchanged in (
        ("Host", "host_redirect", "#{host}"), ("Path", "path_redirect", "/#{path}"),
    ):  # fmt: skip
        value = config.get(key, unchanged)
        if value == unchanged:
            continue
        if _PLACEHOLDER.search(value):
            return _not_emulated(f"redirect to {key} {value} is not emulated")
        redirect[name] = value
    if config.get("Query", "#{query}") == "":
        redirect["strip_query"] = True
    return {"redirect": redirect}, ""


def _fixed_response(config: Mapping[str, Any]) -> Json:
    response: Json = {"status": int(config.get("StatusCode") or 200)}
    if config.get("MessageBody"):
        response["body"] = {"inline_string": config["MessageBody"]}
    content_type = {"key": "content-type", "value": config.get("ContentType") or "text/plain"}
    return {
        "direct_response": response,
        "response_headers_to_add": [
            {"header": content_type, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
    }


def _not_emulated(why: str) -> tuple[Json, str]:
    return {
        "direct_response": {
            "status": 501,
            "body": {"inline_string": f"The local region's balancer: {why}\n"},
        }
    }, why
