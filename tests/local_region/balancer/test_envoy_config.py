"""Envoy's documents: the settings that were found the hard way, and the order of writing."""

from __future__ import annotations

import json

import pytest

from local_region.balancer.envoy import ConfigFiles, parse_undrained
from local_region.balancer.envoy_config import (
    Endpoint,
    Front,
    Places,
    Pool,
    bootstrap,
    command,
    documents,
)


@pytest.fixture
def places(tmp_path):
    return Places(tmp_path)


POOL = Pool(
    "targetgroup/g/1",
    (Endpoint(("127.0.0.1", 20001)), Endpoint(("127.0.0.1", 20002), draining=True)),
)
FRONT = Front("app/lb/1/2", "app/lb/1", 20100, 60, ({"match": {"prefix": "/"}},))


def resource(places, path):
    document = documents(places, [FRONT], [POOL])[path]
    assert len(document["resources"]) == 1
    return document["resources"][0]


def test_cluster_settings(places):
    cluster = resource(places, places.clusters())
    assert cluster["lb_policy"] == "ROUND_ROBIN"
    assert cluster["ignore_health_on_host_removal"] is True
    assert cluster["common_lb_config"] == {
        "healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s",
    }  # fmt: skip
    thresholds = cluster["circuit_breakers"]["thresholds"][0]
    assert min(thresholds[k] for k in ("max_pending_requests", "max_requests")) > 10_000
    assert thresholds["max_retries"] == 0


def test_draining_target_stays_visible_without_new_requests(places):
    assignment = resource(places, places.endpoints(POOL.name))
    states = [e["health_status"] for e in assignment["endpoints"][0]["lb_endpoints"]]
    assert states == ["HEALTHY", "DRAINING"]


def test_listener_is_on_loopback_only(places):
    listener = resource(places, places.listeners())
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 20100}
    assert bootstrap(places)["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_log_line_has_microseconds_and_the_balancer(places):
    text = json.dumps(resource(places, places.listeners()))
    assert "%COMMON_DURATION(US_TX_END:US_RX_BEG:us)%" in text
    assert "\\tapp/lb/1\\t" in text


def test_every_file_source_watches_its_directory(places):
    text = json.dumps([bootstrap(places), *documents(places, [FRONT], [POOL]).values()])
    assert text.count('"path_config_source"') == text.count('"watched_directory"') == 4


def test_what_is_named_is_written_before_what_names_it(places):
    order = list(documents(places, [FRONT], [POOL]))
    assert order.index(places.endpoints(POOL.name)) < order.index(places.clusters())
    assert order.index(places.clusters()) < order.index(places.routes(FRONT.name))
    assert order[-1] == places.listeners()


def test_version_changes_with_the_content_only(places):
    def version(*pools):
        return documents(places, [], pools)[places.clusters()]["version_info"]

    assert version(POOL) == version(POOL)
    assert version(POOL) != version()


def test_log_is_flushed_often_enough_to_publish_in_time(places):
    arguments = command("envoy", places)
    assert int(arguments[arguments.index("--file-flush-interval-msec") + 1]) <= 250


def test_files_are_written_when_they_change_and_removed_when_unused(tmp_path):
    files = ConfigFiles()
    one, two = tmp_path / "a" / "one.json", tmp_path / "two.json"
    assert files.write({one: {"x": 1}, two: {}})
    written = one.stat().st_mtime_ns
    assert not files.write({one: {"x": 1}, two: {}})
    assert one.stat().st_mtime_ns == written
    assert files.write({one: {"x": 2}})
    assert json.loads(one.read_text()) == {"x": 2}
    assert not two.exists()


def test_who_has_not_drained_yet_in_one_cluster():
    text = (
        "targetgroup/g/1::default_priority::max_requests::100000\n"
        "targetgroup/g/1::127.0.0.1:20001::rq_active::3\n"
        "targetgroup/g/1::127.0.0.1:20001::rq_total::9\n"
        "targetgroup/g/1::127.0.0.1:20001::health_flags::/eds_status_draining\n"
        "targetgroup/g/12::127.0.0.1:20003::rq_active::5\n"
        "targetgroup/g/1::127.0.0.1:20002::rq_active::0\n"
        "targetgroup/g/1::127.0.0.1:20002::health_flags::/eds_status_draining\n"
        "targetgroup/g/1::127.0.0.1:20004::rq_active::0\n"
        "targetgroup/g/1::127.0.0.1:20004::health_flags::healthy\n"
    )
    assert parse_undrained(text, "targetgroup/g/1") == {
        ("127.0.0.1", 20001), ("127.0.0.1", 20004),
    }  # fmt: skip
