"""Envoy's configuration as JSON documents: pure functions from what is wanted.

Everything but the admin port is dynamic and read from files that are replaced by rename:
`watched_directory` makes Envoy see that within milliseconds. The settings that cost us time to
find each carry their reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local_region.balancer.targets import Address

Json = dict[str, Any]
_TYPE = "type.googleapis.com/envoy"
LOG_FIELDS = (
    "%START_TIME(%s.%6f)%",
    "{load_balancer}",
    "%UPSTREAM_CLUSTER%",
    "%UPSTREAM_HOST%",
    "%RESPONSE_CODE%",
    "%RESPONSE_FLAGS%",
    "%RESPONSE_CODE_DETAILS%",
    # ALB's TargetResponseTime: from the last byte sent to the target to the first received.
    # Envoy's own upstream_rq_time would round it to whole milliseconds.
    "%COMMON_DURATION(US_TX_END:US_RX_BEG:us)%",
    "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%",
)


@dataclass(frozen=True)
class Endpoint:
    """A target as Envoy shall see it. A draining one gets no new request but stays visible, so
    that its active requests can be counted down."""

    address: Address
    draining: bool = False


@dataclass(frozen=True)
class Pool:
    """A target group as an Envoy cluster. `name` is the metric dimension targetgroup/name/id."""

    name: str
    endpoints: tuple[Endpoint, ...] = ()
    least_outstanding: bool = False


@dataclass(frozen=True)
class Front:
    """A listener. `load_balancer` is the metric dimension app/name/id; `routes` are Envoy's."""

    name: str
    load_balancer: str
    port: int
    idle_timeout_s: int
    routes: tuple[Json, ...] = field(default=(), hash=False)


@dataclass(frozen=True)
class Places:
    """Where Envoy's files are."""

    directory: Path

    @property
    def bootstrap(self) -> Path:
        return self.directory / "bootstrap.json"

    @property
    def admin_address(self) -> Path:
        return self.directory / "admin.txt"

    @property
    def access_log(self) -> Path:
        return self.directory / "access.log"

    @property
    def log(self) -> Path:
        return self.directory / "envoy.log"

    def listeners(self) -> Path:
        return self.directory / "xds" / "listeners.json"

    def clusters(self) -> Path:
        return self.directory / "xds" / "clusters.json"

    def routes(self, name: str) -> Path:
        return self.directory / "routes" / f"{_digest(name)}.json"

    def endpoints(self, name: str) -> Path:
        return self.directory / "endpoints" / f"{_digest(name)}.json"


def bootstrap(places: Places) -> Json:
    """The only static document."""
    return {
        "node": {"id": "local-region", "cluster": "local-region"},
        # Port 0: Envoy writes the one it got to the file named on its command line.
        "admin": {"address": _socket_address(("127.0.0.1", 0))},
        "dynamic_resources": {
            "lds_config": _file_source(places.listeners()),
            "cds_config": _file_source(places.clusters()),
        },
    }


def documents(places: Places, fronts: Sequence[Front], pools: Sequence[Pool]) -> dict[Path, Json]:
    """Every file Envoy reads, in the order in which they must be written: a document may only
    name what exists already."""
    files: dict[Path, Json] = {}
    for pool in pools:
        files[places.endpoints(pool.name)] = _document([_load_assignment(pool)])
    files[places.clusters()] = _document([_cluster(places, pool) for pool in pools])
    for front in fronts:
        files[places.routes(front.name)] = _document([_route_configuration(front)])
    files[places.listeners()] = _document([_listener(places, front) for front in fronts])
    return files


def command(binary: str, places: Places) -> list[str]:
    """How Envoy is started."""
    return [
        binary,
        "-c",
        str(places.bootstrap),
        "--admin-address-path",
        str(places.admin_address),
        # One thread is enough for what two cores can offer, and keeps round robin exact.
        "--concurrency",
        "1",
        # No shared memory that a killed process would leave behind, no clash between regions.
        "--disable-hot-restart",
        "--log-level",
        "warning",
        "--drain-time-s",
        "1",
        # The last request of a period must be in the log when the period is published.
        "--file-flush-interval-msec",
        "250",
    ]


def _document(resources: list[Json]) -> Json:
    version = _digest(json.dumps(resources, sort_keys=True))
    return {"version_info": version, "resources": resources}


def _load_assignment(pool: Pool) -> Json:
    endpoints = [
        {
            "endpoint": {"address": _socket_address(endpoint.address)},
            "health_status": "DRAINING" if endpoint.draining else "HEALTHY",
        }
        for endpoint in pool.endpoints
    ]
    return {
        "@type": f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": pool.name,
        "endpoints": [{"lb_endpoints": endpoints}],
    }


def _cluster(places: Places, pool: Pool) -> Json:
    unlimited = 100_000
    return {
        "@type": f"{_TYPE}.config.cluster.v3.Cluster",
        "name": pool.name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": _file_source(places.endpoints(pool.name))},
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST" if pool.least_outstanding else "ROUND_ROBIN",
        "common_lb_config": {
            # Never send to a target we took out, not even when it is the last.
            "healthy_panic_threshold": {"value": 0},
            # The default collects changes for 1 s; a new target would wait that long.
            "update_merge_window": "0s",
        },
        # Without it a removed target gets requests for another 1.4 s.
        "ignore_health_on_host_removal": True,
        # The defaults (1024) answer 503 when a starved target lets requests pile up; ALB queues.
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": unlimited,
                    "max_pending_requests": unlimited,
                    "max_requests": unlimited,
                    "max_retries": 0,
                }
            ]
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                # Below the servers' keep-alive, so that we are the side that closes.
                "common_http_protocol_options": {"idle_timeout": "60s"},
            }
        },
    }


def _route_configuration(front: Front) -> Json:
    return {
        "@type": f"{_TYPE}.config.route.v3.RouteConfiguration",
        "name": front.name,
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(front.routes)}],
    }


def _listener(places: Places, front: Front) -> Json:
    manager = {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3"
        ".HttpConnectionManager",
        "stat_prefix": front.name,
        "rds": {
            "route_config_name": front.name,
            "config_source": _file_source(places.routes(front.name)),
        },
        "access_log": [_access_log(places, front)],
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_TYPE}.extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            }
        ],
        "use_remote_address": True,
        "generate_request_id": False,
        "server_header_transformation": "PASS_THROUGH",
        "http_protocol_options": {"accept_http_10": True},
        "stream_idle_timeout": f"{front.idle_timeout_s}s",
        "common_http_protocol_options": {"idle_timeout": f"{front.idle_timeout_s}s"},
        "local_reply_config": {"mappers": [_bad_gateway()]},
    }
    return {
        "@type": f"{_TYPE}.config.listener.v3.Listener",
        "name": front.name,
        "address": _socket_address(("127.0.0.1", front.port)),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": manager,
                    }
                ]
            }
        ],
    }


def _access_log(places: Places, front: Front) -> Json:
    line = "\t".join(LOG_FIELDS).format(load_balancer=front.load_balancer) + "\n"
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{_TYPE}.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(places.access_log),
            "log_format": {"text_format_source": {"inline_string": line}},
        },
    }


def _bad_gateway() -> Json:
    """A target that refuses or breaks the connection is a 502 at ALB, a 503 at Envoy."""
    return {
        "filter": {"response_flag_filter": {"flags": ["UF", "UC", "UR", "LR", "UPE"]}},
        "status_code": 502,
    }


def _file_source(path: Path) -> Json:
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": str(path),
            "watched_directory": {"path": str(path.parent)},
        },
    }


def _socket_address(address: Address) -> Json:
    return {"socket_address": {"address": address[0], "port_value": address[1]}}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
