"""The balancer on a real region: what rules do, and what a client sees when targets fail."""

from __future__ import annotations

import http.client
import os
import signal
import time

import psutil
import pytest

from local_region.balancer.balancer import DRAIN_MINIMUM_S

pytestmark = pytest.mark.e2e


def wait_for(what, timeout_s=40.0):
    deadline = time.monotonic() + timeout_s
    while not (answer := what()):
        assert time.monotonic() < deadline, f"waited {timeout_s} s; last answer: {answer!r}"
        time.sleep(0.05)
    return answer


def ask(service, path, host="test"):
    """(status, headers, body) through the balancer, without following redirects."""
    connection = http.client.HTTPConnection(service.address, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def listener_of(service):
    arn = service.balancer["LoadBalancerArn"]
    return service.elb.describe_listeners(LoadBalancerArn=arn)["Listeners"][0]["ListenerArn"]


def add_rule(service, priority, conditions, action):
    service.elb.create_rule(
        ListenerArn=listener_of(service), Priority=priority, Conditions=conditions,
        Actions=[action],
    )  # fmt: skip


def path_is(pattern):
    return [{"Field": "path-pattern", "Values": [pattern]}]


def test_rules_take_effect_without_a_restart(region):
    service = region.service(desired=1)
    envoy = region.status()["envoy_pid"]
    teapot = {"StatusCode": "418", "ContentType": "text/plain", "MessageBody": "short and stout"}
    add_rule(
        service, 10, path_is("/teapot/*"),
        {"Type": "fixed-response", "FixedResponseConfig": teapot},
    )  # fmt: skip
    add_rule(
        service, 20, [{"Field": "host-header", "Values": ["old.example.com"]}],
        {
            "Type": "redirect",
            "RedirectConfig": {"Host": "new.example.com", "StatusCode": "HTTP_301"},
        },
    )  # fmt: skip
    wait_for(lambda: ask(service, "/teapot/x")[0] == 418)
    assert ask(service, "/teapot/x")[2] == b"short and stout"
    wait_for(lambda: ask(service, "/a?b=c", host="old.example.com")[0] == 301)
    headers = ask(service, "/a?b=c", host="old.example.com")[1]
    assert headers["location"] == "http://new.example.com/a?b=c"
    assert ask(service, "/health")[0] == 200
    assert region.status()["envoy_pid"] == envoy


def test_balancer_tells_the_target_who_asks_and_hides_itself(region):
    service = region.service(desired=1)
    status, headers, body = ask(service, "/about")
    assert status == 200
    assert not [name for name in headers if name.startswith("x-envoy")]
    assert b'"pid"' in body


def answers(service, status):
    """Whether the balancer answers so; it may not listen yet."""
    try:
        return ask(service, "/health")[0] == status
    except ConnectionError:
        return False


def test_without_targets_the_balancer_answers_503(region):
    service = region.service(desired=0)
    wait_for(lambda: answers(service, 503))


def test_target_that_hangs_is_taken_out_before_it_is_replaced(region):
    service = region.service(desired=2, grace_s=0)
    victim = service.processes()[0]
    process = psutil.Process(victim["pid"])
    process.suspend()
    # Checks take 2 s to time out, two of them make it unhealthy.
    wait_for(lambda: service.health()["healthy"] == 1)
    # Until the balancer has read of it, and well before it is killed: it does not hear SIGTERM
    # either, and its stopTimeout is 2 s.
    time.sleep(DRAIN_MINIMUM_S + 0.7)
    # Who hangs answers nobody.
    assert [ask(service, "/health")[0] for _ in range(10)] == [200] * 10
    wait_for(lambda: not process.is_running())
    wait_for(lambda: service.is_steady(2))


def test_requests_of_a_target_found_unhealthy_are_answered_before_it_is_stopped(region):
    service = region.service(desired=2, grace_s=0)
    load = service.load("/slow/9000", rate_rps=20, duration_s=0.2)  # two a target
    time.sleep(0.5)
    victim = service.processes()[0]
    process = psutil.Process(victim["pid"])
    process.suspend()
    wait_for(
        lambda: any(
            task["taskArn"].endswith(victim["task_id"]) for task in service.tasks("STOPPED")
        )
    )
    process.resume()
    assert load.finish() == {200: 4}


def test_all_targets_unhealthy_means_requests_go_to_them_still(region):
    """ALB fails open: a wrong health check shall not take everything down."""
    service = region.service(desired=1, grace_s=600)
    service.elb.modify_target_group(
        TargetGroupArn=service.target_group, HealthCheckPath="/status/500"
    )
    wait_for(lambda: service.health()["unhealthy"] == 1)
    time.sleep(0.3)
    assert ask(service, "/health")[0] == 200
    answer = service.elb.describe_target_health(TargetGroupArn=service.target_group)
    health = answer["TargetHealthDescriptions"][0]["TargetHealth"]
    assert health["Reason"] == "Target.ResponseCodeMismatch"
    assert health["Description"] == "Health checks failed with these codes: [500]"


def test_answer_broken_by_a_dying_target_is_a_502(region):
    service = region.service(desired=1)
    load = service.load("/slow/9000", rate_rps=20, duration_s=0.1)
    time.sleep(1.5)  # both have reached it long since, and neither is answered yet
    os.kill(service.processes()[0]["pid"], signal.SIGKILL)
    assert load.finish() == {502: 2}


def test_address_registered_by_hand_gets_requests_too(region):
    owner = region.service(desired=1)
    guest = region.service(desired=0)
    port = owner.processes()[0]["port"]
    target = {"Id": "127.0.0.1", "Port": port}
    guest.elb.register_targets(TargetGroupArn=guest.target_group, Targets=[target])
    wait_for(lambda: guest.health() == {"healthy": 1})
    wait_for(lambda: answers(guest, 200))
    guest.elb.deregister_targets(TargetGroupArn=guest.target_group, Targets=[target])
    wait_for(lambda: not guest.health())
    wait_for(lambda: answers(guest, 503))
    assert ask(owner, "/health")[0] == 200


def test_deleted_load_balancer_stops_listening(region):
    service = region.service(desired=0)
    wait_for(lambda: answers(service, 503))
    service.elb.delete_listener(ListenerArn=listener_of(service))
    service.elb.delete_load_balancer(LoadBalancerArn=service.balancer["LoadBalancerArn"])

    def refused():
        try:
            ask(service, "/")
        except ConnectionError:
            return True
        return False

    wait_for(refused)
