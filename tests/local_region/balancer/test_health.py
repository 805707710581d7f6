"""One health check against a real socket."""

from __future__ import annotations

import asyncio

import pytest

from local_region.balancer.health import check_once
from local_region.balancer.targets import (
    REASON_FAILED,
    REASON_TIMEOUT,
    HealthRules,
    reason_mismatch,
)


def check(answer, **rules):
    """Check a server that answers with these bytes (None: never)."""
    seen = []
    done = asyncio.Event()

    async def serve(reader, writer):
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if answer is None:
            await reader.read()  # until the other side gives up
        else:
            writer.write(answer)
            await writer.drain()
        writer.close()
        await writer.wait_closed()
        done.set()

    async def run():
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            result = await check_once(("127.0.0.1", port), HealthRules(path="/ready", **rules))
            await done.wait()
        return result

    return asyncio.run(run()), seen


def test_passed_check_looks_like_the_balancers():
    failure, seen = check(b"HTTP/1.1 200 OK\r\n\r\n")
    assert failure is None
    assert seen[0].startswith(b"GET /ready HTTP/1.1\r\n")
    assert b"ELB-HealthChecker/2.0" in seen[0]


def test_wrong_status():
    assert check(b"HTTP/1.1 503 No\r\n\r\n")[0] == reason_mismatch(503)


def test_silence():
    assert check(None, timeout_s=0.5)[0] == REASON_TIMEOUT


@pytest.mark.parametrize("answer", [b"", b"garbage\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_no_http(answer):
    assert check(answer)[0] == REASON_FAILED


def test_nobody_there():
    found = asyncio.run(check_once(("127.0.0.1", 1), HealthRules()))
    assert found == REASON_FAILED
