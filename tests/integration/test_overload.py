"""More than the gateway is allowed to take: it sheds with 503 and Retry-After, and keeps its memory and its word."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.loads import start_load, tell
from tests.raw_client import RawClient

MIB = 1 << 20
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CAP = 20
SLOW_CLIENTS = 150
# What all of them together may cost: gateway.worker.backlog.PLENTY, then SCANT and a receive for each, and slack.
BOUND = 33554432 + SLOW_CLIENTS * 4 * 16384 + 8 * MIB


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


def gateway_with(tmp_path: Path, backend: Backend, limits: str) -> RunningGateway:
    gateway = start_gateway(tmp_path, one_service(backend.url, more=f"[limits]\n{limits}"), workers=1)
    gateway.wait_until(lambda: gateway.get("/").status == 200)
    return gateway


def rss(gateway: RunningGateway) -> int:
    found: int = gateway.status()["workers"][0]["rss_bytes"]
    return found


def test_a_flood_of_connections_neither_starves_those_there_are_nor_grows(tmp_path: Path, backend: Backend) -> None:
    with gateway_with(tmp_path, backend, f"connections = {CAP}") as gateway, ExitStack() as stack:
        idle = [stack.enter_context(RawClient(gateway.port)) for _ in range(CAP - 4)]
        load = stack.enter_context(start_load(gateway.listen, connections=4))
        load.wait_for(100)
        before = rss(gateway)
        is_over = threading.Event()
        statuses: list[int] = []

        def flood() -> None:
            while not is_over.is_set():
                with RawClient(gateway.port) as client:
                    statuses.append(client.answer().status)

        floods = [threading.Thread(target=flood) for _ in range(4)]
        for each in floods:
            each.start()
        gateway.wait_until(lambda: len(statuses) > 500)
        load.wait_for(100)  # served beside the flood
        is_over.set()
        for each in floods:
            each.join()
        report = load.stop()
        tell("load", report.summary())
        tell("turned away", len(statuses))
        assert set(statuses) == {503}
        assert report.failures == ()
        assert report.percentile(99) < 1.0
        assert rss(gateway) - before < 8 * MIB
        for client in idle:
            client.send(GET)
            assert client.answer().status == 200


def test_past_the_limit_in_flight_requests_are_shed_at_once(tmp_path: Path, backend: Backend) -> None:
    with gateway_with(tmp_path, backend, "in_flight = 4") as gateway, ExitStack() as stack:
        clients = [stack.enter_context(RawClient(gateway.port)) for _ in range(5)]
        for client in clients[:4]:
            client.send(b"GET /delay/2 HTTP/1.1\r\nHost: x\r\n\r\n")
        gateway.wait_until(lambda: gateway.status()["workers"][0]["in_flight"] == 4)
        for _ in range(3):  # on a connection that is kept
            clients[4].send(GET)
            answer = clients[4].answer()
            assert answer.reason == (503, "overloaded")
            assert answer.fields["retry-after"] == "1"
        for client in clients[:4]:
            assert client.answer().status == 200
        clients[4].send(GET)
        assert clients[4].answer().status == 200


@pytest.mark.parametrize("path", [f"/bytes/{4 * MIB}", "/stream/60?size=65536&interval=0"])
def test_many_clients_that_do_not_read_have_a_bound(tmp_path: Path, backend: Backend, path: str) -> None:
    config = one_service(backend.url, health='type = "none"')  # the backend has enough to do
    with start_gateway(tmp_path, config, workers=1) as gateway, ExitStack() as stack:
        assert gateway.get("/").status == 200
        before = rss(gateway)
        clients = [stack.enter_context(RawClient(gateway.port, receive_buffer=4096)) for _ in range(SLOW_CLIENTS)]
        for client in clients:
            client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        most = 0
        gateway.wait_until(lambda: gateway.status()["workers"][0]["in_flight"] == SLOW_CLIENTS)
        for _ in range(8):
            assert gateway.get("/health").status == 200  # nobody else waits for them
            most = max(most, rss(gateway))
        tell("KiB of memory for each", (most - before) // 1024 // SLOW_CLIENTS)
        assert most - before < BOUND


def test_many_uploads_that_an_instance_does_not_read_have_a_bound(tmp_path: Path, backend: Backend) -> None:
    config = one_service(backend.url, health='type = "none"')
    with start_gateway(tmp_path, config, workers=1) as gateway, ExitStack() as stack:
        assert gateway.get("/").status == 200
        before = rss(gateway)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {64 * MIB}\r\n\r\n".encode()
        backend.stop_signal()
        try:
            clients = [stack.enter_context(RawClient(gateway.port)) for _ in range(SLOW_CLIENTS)]
            for client in clients:
                client.send(head)
                client.sock.setblocking(False)
            for _ in range(8):
                for client in clients:
                    with suppress(BlockingIOError):
                        client.sock.send(bytes(MIB))
                assert gateway.get("/health").status == 200
            grown = rss(gateway) - before
        finally:
            backend.cont()
        tell("KiB of memory for each", grown // 1024 // SLOW_CLIENTS)
        assert grown < BOUND
