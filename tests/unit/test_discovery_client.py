"""The client against a small HTTP server on loopback that says what the test wants said."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio

from discovery.consul_sd.client import ConsulClient, Reply
from discovery.consul_sd.errors import ConsulError, Forbidden, Rejected, Unreachable
from discovery.consul_sd.tls import base_url, tls_context
from discovery.settings import ConsulSettings


class Server:
    """Answers each request with the next of `answers`; an empty one closes the connection instead."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.requests: list[str] = []
        self.connections = 0
        self.address = ""

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        async with stream:
            while data := await stream.receive_some():
                self.requests.append(data.decode())
                answer = self.answers.pop(0)
                if not answer:
                    return
                await stream.send_all(answer)


@asynccontextmanager
async def served(*answers: bytes) -> AsyncIterator[Server]:
    server = Server(*answers)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
        server.address = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield server
        nursery.cancel_scope.cancel()


def response(status: str, body: str, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"X-Consul-{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


GOOD = response("200 OK", "[]", Index="7")


async def test_reads_are_stale_and_the_token_is_a_header_only() -> None:
    async with served(GOOD, GOOD) as server:
        settings = ConsulSettings(address=server.address, token="s3cret", datacenter="dc9")
        async with ConsulClient(settings, wait=1.5) as client:
            assert await client.health("we b") == Reply(7, [])
            await client.health("web", 7)
    first, second = (request.split("\r\n") for request in server.requests)
    assert first[0] == "GET /v1/health/service/we%20b?dc=dc9&stale= HTTP/1.1"
    assert second[0] == "GET /v1/health/service/web?index=7&wait=1500ms&dc=dc9&stale= HTTP/1.1"
    assert "X-Consul-Token: s3cret" in first
    assert server.connections == 1


async def test_a_reply_carries_what_the_headers_say() -> None:
    headers = {"Index": "0", "KnownLeader": "false", "LastContact": "12500", "Results_Filtered_By_ACLs": "true"}
    answers = response("200 OK", "{}", **headers), response("200 OK", "{}")
    async with served(*answers) as server, ConsulClient(ConsulSettings(address=server.address)) as client:
        assert await client.services() == Reply(1, {}, leader_known=False, last_contact=12.5, is_filtered=True)
        assert await client.services() == Reply(1, {})


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (response("403 Forbidden", "ACL not found"), Forbidden),
        (response("401 Unauthorized", "no"), Forbidden),
        (response("400 Bad Request", "Invalid wait time"), Rejected),
        (response("404 Not Found", "nothing here"), Rejected),
        (response("429 Too Many Requests", "slow"), Unreachable),
        (response("500 Internal Server Error", "No cluster leader", Index="1"), Unreachable),
        (response("200 OK", "<html>hello</html>", Index="4"), Unreachable),
        (response("200 OK", "[]", Index="many"), Unreachable),
        (response("302 Found", ""), Unreachable),
        (b"SSH-2.0-OpenSSH\r\n\r\n", Unreachable),
    ],
)
async def test_every_failure_is_one_of_three(answer: bytes, kind: type[ConsulError]) -> None:
    async with served(answer) as server, ConsulClient(ConsulSettings(address=server.address)) as client:
        with pytest.raises(kind):
            await client.health("web")


async def test_only_a_new_connection_that_is_closed_means_crowded() -> None:
    async with served(b"", GOOD, b"") as server, ConsulClient(ConsulSettings(address=server.address)) as client:
        with pytest.raises(Unreachable) as at_once:
            await client.health("web")
        await client.health("web")
        with pytest.raises(Unreachable) as later:
            await client.health("web", 7)
    assert at_once.value.crowded
    assert not later.value.crowded


async def test_a_refused_connection_is_unreachable_and_not_crowded() -> None:
    async with served() as server:
        pass
    async with ConsulClient(ConsulSettings(address=server.address)) as client:
        with pytest.raises(Unreachable, match="cannot connect") as refused:
            await client.health("web")
    assert not refused.value.crowded


async def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "http://192.0.2.1:1")
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "other")
    monkeypatch.setenv("HTTP_PROXY", "http://192.0.2.1:1")
    async with served(GOOD) as server, ConsulClient(ConsulSettings(address=server.address)) as client:
        await client.health("web")
    assert "other" not in server.requests[0]


def test_an_address_may_lack_its_scheme() -> None:
    assert base_url("127.0.0.1:8500") == "http://127.0.0.1:8500"
    assert base_url("https://consul.example/") == "https://consul.example"


def test_a_tls_file_that_cannot_be_used_is_named() -> None:
    with pytest.raises(ConsulError, match=r"consul\.ca_file /nowhere/ca\.pem"):
        tls_context(ConsulSettings(address="https://127.0.0.1:1", ca_file="/nowhere/ca.pem"))
    with pytest.raises(ConsulError, match=r"consul\.cert_file /nowhere/c\.pem"):
        tls_context(ConsulSettings(address="https://127.0.0.1:1", cert_file="/nowhere/c.pem"))
