"""The end of a gateway behind a balancer: /ready tells of it first, and everybody is served through delay and drain."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from wsproto.events import CloseConnection, TextMessage

from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.integration.test_proxy_websocket import Client, EchoServer
from tests.loads import start_load, tell
from tests.raw_client import RawClient

DELAY = 2.0


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


def begin(folder: Path, url: str, gateway: str) -> RunningGateway:
    started = start_gateway(folder, one_service(url, health='type = "tcp"', more=f"[gateway]\n{gateway}"))
    started.wait_until(lambda: started.status()["services"][0]["instances"][0]["eligible"])
    started.wait_until(lambda: started.get("/ready").status == 200)
    return started


def test_while_the_delay_runs_it_is_not_ready_but_serves_everybody(tmp_path: Path, backend: Backend) -> None:
    with begin(tmp_path, backend.url, f"shutdown_delay = {DELAY}") as gateway:
        with start_load(gateway.listen, "/delay/0.2", connections=8) as slow, RawClient(gateway.port) as kept:
            slow.wait_for(8)
            gateway.signal(signal.SIGTERM)
            told = time.monotonic()
            gateway.wait_until(lambda: gateway.get("/ready").status == 503, 1.0)
            assert gateway.admin_get("/ready").status == 503
            tell("seconds until not ready", round(time.monotonic() - told, 3))
            with start_load(gateway.listen, headers=(("Connection", "close"),), connections=8) as knocking:
                knocking.wait_for(200)
                knocked = knocking.stop()
            kept.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert "connection" not in kept.answer().fields  # nobody is asked to leave yet
            served = slow.stop()
            assert gateway.get("/").status == 200
        assert time.monotonic() - told < DELAY, "too slow a machine to say anything"
        assert (knocked.causes(), served.causes()) == ({}, {})
        assert gateway.wait_end() == 0
        tell("seconds from SIGTERM to the end", round(time.monotonic() - told, 2))
        assert time.monotonic() - told >= DELAY


def test_a_websocket_goes_on_talking_through_the_drain(tmp_path: Path) -> None:
    server = EchoServer()
    try:
        with begin(tmp_path, server.url, "drain_timeout = 20.0") as gateway:
            client = Client(gateway)
            client.next()
            gateway.signal(signal.SIGTERM)
            told = time.monotonic()
            gateway.wait_until(lambda: gateway.status()["workers"][0]["state"] == "draining")
            said = 0
            while time.monotonic() - told < 1.2:  # longer than an idle connection is borne with
                client.send(TextMessage(data=f"message {said}"))
                assert client.next() == TextMessage(data=f"message {said}")
                said += 1
            tell("messages during the drain", said)
            client.send(CloseConnection(code=1000, reason="done"))
            assert client.next() == CloseConnection(code=1000, reason="done")
            client.assert_closed()
            assert gateway.wait_end() == 0
            tell("seconds from SIGTERM to the end", round(time.monotonic() - told, 2))
            assert time.monotonic() - told < 10.0
    finally:
        server.close()


def test_a_second_sigterm_ends_the_delay_and_everything_else(tmp_path: Path, backend: Backend) -> None:
    with (
        begin(tmp_path, backend.url, "shutdown_delay = 60.0") as gateway,
        start_load(gateway.listen, "/delay/20", connections=2, requests=2) as load,
    ):
        gateway.wait_until(lambda: backend.stats()["requests"] == 2)
        gateway.signal(signal.SIGTERM)
        gateway.wait_until(lambda: gateway.status()["draining"])
        told = time.monotonic()
        gateway.signal(signal.SIGTERM)
        gateway.wait_end(5.0)
        tell("seconds from the second SIGTERM to the end", round(time.monotonic() - told, 2))
        assert load.wait().failed == 2
