"""Targets and their health, as Application Load Balancer judges it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from local_region.balancer.targets import (
    REASON_FAILED,
    REASON_TIMEOUT,
    HealthRules,
    Target,
    TargetRegistry,
    after_check,
    read_rules,
    reason_mismatch,
    routable,
)

A, B, C = (("127.0.0.1", port) for port in (1, 2, 3))
RULES = HealthRules(
    interval_s=1.0, initial_interval_s=5.0, healthy_threshold=3, unhealthy_threshold=2
)


def target(state="initial", **changes):
    return replace(Target(A, "initial", 100.0, 100.0), state=state, **changes)


def checks(start, *results, begin=100.0, every=1.0):
    """The states after each check; a result is None (passed) or a reason."""
    states = []
    for number, result in enumerate(results):
        start = after_check(start, RULES, result, begin + every * (number + 1))
        states.append(start.state)
    return states


def test_new_target_needs_one_passed_check():
    assert checks(target(), None) == ["healthy"]


def test_healthy_target_is_given_up_after_its_threshold():
    assert checks(target("healthy"), REASON_FAILED, REASON_FAILED) == ["healthy", "unhealthy"]


def test_a_passed_check_in_between_counts_anew():
    results = checks(target("healthy"), REASON_FAILED, None, REASON_FAILED, REASON_FAILED)
    assert results == ["healthy", "healthy", "healthy", "unhealthy"]


def test_unhealthy_target_needs_its_threshold_to_come_back():
    assert checks(target("unhealthy"), None, None, None) == ["unhealthy", "unhealthy", "healthy"]
    assert checks(target("unhealthy"), None, REASON_FAILED, None, None)[-1] == "unhealthy"


def test_early_failures_of_a_starting_target_do_not_count():
    # Looked at every 0.1 s: only the ones five seconds apart are failures.
    assert checks(target(), *[REASON_FAILED] * 40, every=0.1) == ["initial"] * 40
    states = checks(target(), *[REASON_FAILED] * 120, every=0.1)
    assert states.index("unhealthy") in (99, 100, 101)


def test_starting_target_may_still_pass_after_failures():
    assert checks(target(), *[REASON_FAILED] * 30, None, every=0.1)[-1] == "healthy"


def test_draining_target_stays_so():
    assert checks(target("draining"), None, REASON_FAILED) == ["draining", "draining"]


def test_reason_is_the_last_one():
    sick = after_check(target("unhealthy", reason=REASON_FAILED), RULES, REASON_TIMEOUT, 101)
    assert sick.reason == REASON_TIMEOUT
    assert reason_mismatch(503)[1] == "Health checks failed with these codes: [503]"


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("healthy", "unhealthy", "initial"), {A}),
        (("unhealthy", "unhealthy", "initial"), {A, B}),
        (("initial", "initial", "draining"), set()),
        (("healthy", "draining", "healthy"), {A, C}),
    ],
)
def test_requests_go_to_the_healthy_and_without_any_to_the_unhealthy(states, expected):
    found = {a: replace(target(s), address=a) for a, s in zip((A, B, C), states, strict=True)}
    assert routable(found) == expected


@pytest.mark.parametrize(
    ("matcher", "status", "accepted"),
    [("200", 200, True), ("200", 204, False), ("200,301", 301, True), ("200-299", 250, True),
     ("200-299,404", 404, True), ("200-299", 300, False)],
)  # fmt: skip
def test_matcher(matcher, status, accepted):
    assert HealthRules(matcher=matcher).accepts(status) is accepted


def test_rules_of_a_record_are_compressed_but_not_the_start():
    group = {
        "HealthCheckPath": "/ready", "HealthCheckIntervalSeconds": 30, "HealthyThresholdCount": 2,
        "HealthCheckTimeoutSeconds": 4, "UnhealthyThresholdCount": 3,
        "Matcher": {"HttpCode": "200-204"}, "HealthCheckPort": "traffic-port",
    }  # fmt: skip
    rules = read_rules(group, 1 / 6, 0.2)
    assert (rules.interval_s, rules.initial_interval_s, rules.timeout_s) == (5.0, 30.0, 4.0)
    assert (rules.path, rules.port, rules.matcher) == ("/ready", None, "200-204")
    assert read_rules(group, 1 / 6000, 0.2).interval_s == 0.2
    assert read_rules({**group, "HealthCheckPort": "9000"}, 1, 0.2).port == 9000


class TestRegistry:
    @pytest.fixture
    def registry(self):
        self.now = 100.0
        self.changes = 0

        def changed():
            self.changes += 1

        registry = TargetRegistry(lambda: self.now)
        registry.on_change(changed)
        return registry

    def test_life_of_a_target(self, registry):
        registry.register("g", A)
        assert registry.target("g", A).state == "initial"
        registry.check("g", A, RULES, None)
        assert registry.counts("g") == (1, 0)
        registry.deregister("g", A)
        assert registry.target("g", A).state == "draining"
        assert registry.counts("g") == (0, 0)
        registry.forget("g", A)
        assert registry.target("g", A) is None
        assert self.changes == 4

    def test_same_address_twice_is_one_target(self, registry):
        registry.register("g", A)
        registry.check("g", A, RULES, None)
        registry.register("g", A)
        assert registry.target("g", A).state == "healthy"

    def test_address_that_comes_back_while_draining_begins_anew(self, registry):
        registry.register("g", A)
        registry.check("g", A, RULES, None)
        registry.deregister("g", A)
        registry.register("g", A)
        assert registry.target("g", A).state == "initial"

    def test_one_port_of_the_same_host_does_not_stand_for_another(self, registry):
        """The emulator keys targets by host alone; all our tasks share one."""
        registry.register("g", A)
        registry.register("g", B)
        registry.deregister("g", A)
        assert registry.target("g", B).state == "initial"
        assert len(registry.targets("g")) == 2

    def test_unchanged_state_wakes_nobody(self, registry):
        registry.register("g", A)
        registry.check("g", A, RULES, None)
        before = self.changes
        registry.check("g", A, RULES, None)
        registry.deregister("g", B)
        registry.forget("g", B)
        assert self.changes == before

    def test_check_of_a_forgotten_target_is_lost(self, registry):
        registry.check("g", A, RULES, None)
        assert registry.targets("g") == {}
