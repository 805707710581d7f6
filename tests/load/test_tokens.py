"""Tokens: fetched anew in time, on a clock of the test's, without holding the load up."""

from __future__ import annotations

import base64
import json
import math

import pytest

from runbook.load import schedule
from runbook.load.kinds import Accounts, RequestKind
from runbook.load.plan import LoadPlan
from runbook.load.run import run_driver
from runbook.load.tokens import Tokens, expires_at_s


def token_until(at_s: float, name: str = "a") -> str:
    parts = [{"alg": "HS256"}, {"exp": at_s, "userId": name}]
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in parts]
    return b".".join([*encoded, b"signature"]).decode()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def test_the_expiry_of_a_web_token_is_read_and_others_have_none() -> None:
    assert expires_at_s(token_until(1234.5)) == 1234.5
    not_json = base64.urlsafe_b64encode(b"[1]").decode()
    for other in ("", "opaque", "a.b.c", "a.!.c", f"a.{not_json}.c", token_until("soon")):  # type: ignore[arg-type]
        assert expires_at_s(other) == math.inf


def test_a_token_is_renewed_before_its_end_and_only_then() -> None:
    clock = Clock()
    hour, minute = token_until(clock.now_s + 3600), token_until(clock.now_s + 60)
    tokens = Tokens([hour, minute, "opaque"], clock)
    assert tokens.due() is None
    clock.now_s += 47
    assert tokens.due() is None
    clock.now_s += 2  # A fifth of the minute is left.
    assert tokens.due() == 1
    tokens.renewed(1, token_until(clock.now_s + 1e6))
    assert tokens.due() is None
    clock.now_s += 3600 - 300 - 49 - 1  # Five minutes of the hour are left, and a second.
    assert tokens.due() is None
    clock.now_s += 2
    assert tokens.due() == 0
    tokens.renewed(0, "opaque now")
    assert tokens[0] == "opaque now"
    clock.now_s += 1e5
    assert tokens.due() is None


def test_a_refused_token_is_renewed_once_and_not_over_and_over() -> None:
    clock = Clock()
    tokens = Tokens(["opaque", "other"], clock)
    clock.now_s += 100
    tokens.refused(0, clock.now_s - 1)
    assert tokens.due() == 0
    clock.now_s += 1
    tokens.renewed(0, "anew")
    tokens.refused(0, clock.now_s - 0.5)  # The answer to a request that left with the old one.
    assert tokens.due() is None
    clock.now_s += 1
    tokens.refused(0, clock.now_s)  # The new one is refused too: something else is wrong.
    assert tokens.due() is None
    clock.now_s += 30
    assert tokens.due() == 0


def test_a_user_who_cannot_log_in_tries_again_later_and_holds_up_nobody() -> None:
    clock = Clock()
    tokens = Tokens([token_until(clock.now_s + 8), token_until(clock.now_s + 10)], clock)
    clock.now_s += 9
    assert tokens.due() == 0
    tokens.not_renewed(0)
    assert tokens.due() == 1
    tokens.renewed(1, "opaque")
    assert tokens.due() is None
    clock.now_s += 30
    assert tokens.due() == 0


def test_a_token_that_clocks_call_over_is_not_fetched_over_and_over() -> None:
    clock = Clock()
    tokens = Tokens([token_until(clock.now_s - 5)], clock)
    clock.now_s += 29
    assert tokens.due() is None
    clock.now_s += 1
    assert tokens.due() == 0


def test_without_users_nothing_is_ever_due() -> None:
    clock = Clock()
    tokens = Tokens([], clock)
    clock.now_s += 1e9
    assert tokens.due() is None
    assert (len(tokens), tokens[0]) == (1, "")


@pytest.mark.parametrize(("style", "life_s", "load_s"), [("web", 10.0, 10.5), ("opaque", 4.0, 6.5)])
def test_a_load_outlasts_its_tokens(
    serve, fake_target, tmp_path, style: str, life_s: float, load_s: float
) -> None:
    """Logging in takes the service 0.3 s each time."""
    target = serve(fake_target(login=True, token_life_s=life_s, opaque=style == "opaque"))
    kinds = (RequestKind("orders", "/orders", authenticated=True),)
    plan = LoadPlan(
        target.url, schedule.constant(80, load_s), kinds=kinds, process="uniform",
        accounts=Accounts(count=2),
    )  # fmt: skip
    run = run_driver(plan, tmp_path)
    step = run.steps[0]
    assert target.logins >= 4
    if style == "web":
        assert step.failures == 0
    else:
        # Each user is refused until the answer and the next look at the tokens.
        assert step.failure_kinds == {"HTTP 401": step.failures}
        assert 0 < step.failures < 0.35 * step.requests
        # After both renewals and before the next, with a second to spare.
        assert 401 not in run.raw().status[440:480]
    # The schedule went on meanwhile.
    assert step.achieved_rps == pytest.approx(80, rel=0.05)
