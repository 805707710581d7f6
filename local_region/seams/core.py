"""Starting the emulator in-process: its environment, its application, its router, its scopes.

Also the two repairs that everything above needs: scoped stores that may be iterated while
another thread writes, and connections that are given back when a client has closed them.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from local_region.errors import SeamMoved

Answer = tuple[int, dict[str, str], bytes]
"""HTTP status, headers, body."""
AsgiApp = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

VERSION = "1.5.33"
_STORE_READS = (
    "keys", "values", "items", "__len__", "__bool__",
)  # fmt: skip
_REGIONAL_STORE_READS = (*_STORE_READS, "values_scoped", "items_scoped", "all_values", "all_items")
_ITERATION_ATTEMPTS = 50


def module(name: str) -> Any:
    """The emulator's module `ministack.<name>`. Raises SeamMoved."""
    try:
        return importlib.import_module(f"ministack.{name}")
    except ImportError as error:
        raise SeamMoved(
            f"The emulator has no module ministack.{name}: {error}; install ministack=={VERSION}"
        ) from error


def attribute(owner: Any, name: str) -> Any:
    """`owner.name`, or `owner[name]` of a dictionary. Raises SeamMoved."""
    missing = object()
    in_dictionary = isinstance(owner, dict)
    found = owner.get(name, missing) if in_dictionary else getattr(owner, name, missing)
    if found is missing:
        where = getattr(owner, "__name__", type(owner).__name__)
        raise SeamMoved(
            f"The emulator has no {name} in {where}: it is another version; "
            f"install ministack=={VERSION}"
        )
    return found


def replace(owner: Any, name: str, new: Any) -> Any:
    """Put `new` in place of an existing name; returns what was there. Raises SeamMoved."""
    old = attribute(owner, name)
    if isinstance(owner, dict):
        owner[name] = new
    else:
        setattr(owner, name, new)
    return old


def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> Any:
    """Replace a name by `make(old)`; returns the old one. Raises SeamMoved."""
    return replace(owner, name, make(attribute(owner, name)))


def launch_environment(
    *, port: int, region: str, account_id: str, directory: Path
) -> dict[str, str | None]:
    """The environment the emulator reads when it is imported; None removes a variable."""
    emulator = directory / "emulator"
    return {
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "EDGE_PORT": None,
        "MINISTACK_REGION": region,
        "MINISTACK_ACCOUNT_ID": account_id,
        # Listeners of its own beside the endpoint: MQTT, SFTP.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "USE_SSL": None,
        "AUTH": "false",
        # Whose signature of a presigned link is good; never the credentials of who started it.
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": None,
        "SERVICES": None,
        "PERSIST_STATE": "0",
        "LOCALSTACK_PERSISTENCE": None,
        "S3_PERSIST": "0",
        "STATE_DIR": str(emulator / "state"),
        "S3_DATA_DIR": str(emulator / "s3"),
        "LOG_LEVEL": "WARNING",
        # At boot it removes every container that carries its label, also another project's.
        "DOCKER_HOST": f"unix://{emulator}/no-docker.sock",
    }


def asgi_app() -> AsgiApp:
    """The emulator's ASGI application."""
    app: AsgiApp = attribute(module("app"), "app")
    return app


def request_scope(account_id: str, region: str) -> AbstractContextManager[None]:
    """Pin the account and region by which the emulator's stores are scoped, in this context."""
    scope: AbstractContextManager[None] = attribute(module("core.responses"), "request_scope")(
        account_id, region
    )
    return scope


def current_scope() -> tuple[str, str]:
    """Account and region of the request that is being answered in this context."""
    responses = module("core.responses")
    return attribute(responses, "get_account_id")(), attribute(responses, "get_region")()


def scopes_of(*stores: Any) -> set[tuple[str, str]]:
    """The accounts and regions that have anything in these (region-scoped) stores."""
    return {(key[0], key[1]) for store in stores for key in list(attribute(store, "_data"))}


def register_service(name: str, target_prefix: str, answer: Callable[[str, bytes], Answer]) -> None:
    """Route JSON requests whose X-Amz-Target starts with `target_prefix` to `answer`.

    `answer(operation, body)` runs on a worker thread with the caller's account and region pinned.
    """
    patterns = attribute(module("core.router"), "SERVICE_PATTERNS")
    handlers = attribute(module("app"), "SERVICE_HANDLERS")

    async def handle(
        method: str, path: str, headers: Mapping[str, str], body: bytes, query: Any
    ) -> Answer:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        return await asyncio.to_thread(answer, operation, body)

    patterns[name] = {"target_prefixes": [target_prefix], "credential_scope": name}
    handlers[name] = handle


def tolerate_concurrent_iteration() -> None:
    """Let a scoped store be read while another thread writes to it.

    Building the list of a dictionary's items may run the collector, another thread gets its
    turn, and the emulator's workers die of "dictionary changed size during iteration".
    """
    responses = module("core.responses")
    for class_name, reads in (
        ("AccountScopedDict", _STORE_READS),
        ("AccountRegionScopedDict", _REGIONAL_STORE_READS),
    ):
        store = attribute(responses, class_name)
        for name in reads:
            wrap(store, name, _retrying)
        replace(store, "__iter__", _iterate_keys)


def _retrying(read: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(read)
    def read_again(self: Any, *arguments: Any) -> Any:
        for _ in range(_ITERATION_ATTEMPTS):
            try:
                return read(self, *arguments)
            except RuntimeError:
                continue
        return read(self, *arguments)

    return read_again


def _iterate_keys(self: Any) -> Iterator[Any]:
    return iter(self.keys())


def give_back_closed_connections() -> None:
    """Close a connection when its client has: else it waits 75 s for its idle timer."""
    try:
        server = importlib.import_module("hypercorn.asyncio.tcp_server").TCPServer
    except (ImportError, AttributeError) as error:
        raise SeamMoved(f"hypercorn has no TCPServer: {error}; install its pinned version") from (
            error
        )
    attribute(server, "_idle_timeout")

    def make(read_data: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
        async def read_then_stop_idling(self: Any) -> None:
            await read_data(self)
            await self.idle_task.stop()

        return read_then_stop_idling

    wrap(server, "_read_data", make)
