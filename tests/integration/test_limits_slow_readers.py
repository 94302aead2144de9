"""Clients that read slowly or not at all: bounded, cut after a while without a byte, and nobody else's fault."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.backends import start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.raw_client import RawClient

MIB = 1 << 20
STALL = 1.0  # seconds
SMALL = 16384  # bytes of a receive buffer


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with start_backend("one") as backend:
        config = one_service(
            backend.url,
            outlier="consecutive_failures = 2",
            route=f"stream_idle_timeout = {STALL}",
            more="[limits]\nidle_timeout = 1.0",
        )
        with start_gateway(tmp_path_factory.mktemp("slow"), config, workers=1) as started:
            started.wait_until(lambda: started.get("/").status == 200)
            yield started


def rss(gateway: RunningGateway) -> int:
    found: int = gateway.status()["workers"][0]["rss_bytes"]
    return found


def read_to_the_end(client: RawClient) -> int:
    """Bytes received before the connection ended; it raises if that was a reset, like anything on a socket."""
    received = 0
    while data := client.sock.recv(MIB):
        received += len(data)
    return received


def flood(client: RawClient, data: bytes) -> None:
    """Send until nobody takes any more; raises TimeoutError then."""
    client.sock.settimeout(0.5)
    while True:
        client.sock.send(data)


def get(target: str) -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def test_a_client_that_stops_reading_is_cut_and_the_instance_keeps_its_name(gateway: RunningGateway) -> None:
    clients = [RawClient(gateway.port, receive_buffer=SMALL) for _ in range(5)]
    for client in clients:
        client.send(get(f"/bytes/{64 * MIB}"))
    gateway.wait_until(lambda: gateway.status()["workers"][0]["in_flight"] == 5)
    gateway.wait_until(lambda: gateway.status()["workers"][0]["in_flight"] == 0)
    for client in clients:
        with client, pytest.raises(ConnectionResetError):
            read_to_the_end(client)
    instance = gateway.status()["services"][0]["instances"][0]
    assert (instance["eligible"], instance["failures_total"]) == (True, 0)


def test_a_client_that_reads_slowly_gets_everything(gateway: RunningGateway) -> None:
    size = 16 * MIB
    with RawClient(gateway.port, receive_buffer=SMALL) as client:
        client.send(get(f"/bytes/{size}"))
        began = time.monotonic()
        received = client.sock.recv(4096)
        left = size - len(received.partition(b"\r\n\r\n")[2])
        while left:
            is_slow = time.monotonic() - began < 4 * STALL  # longer than any timeout
            if is_slow:
                time.sleep(0.1)
            data = client.sock.recv(SMALL // 4 if is_slow else MIB)
            assert data, f"it ended {left} bytes too soon"
            left -= len(data)


def test_requests_ahead_of_a_client_that_does_not_read_are_not_answered_without_end(gateway: RunningGateway) -> None:
    before = rss(gateway)
    with RawClient(gateway.port, receive_buffer=SMALL) as client:
        with pytest.raises(TimeoutError):
            flood(client, get("/bytes/200000") * 100)
        assert rss(gateway) - before < 8 * MIB
    gateway.wait_until(lambda: gateway.status()["workers"][0]["connections"] == 0)


def test_own_answers_are_not_kept_without_end_either(gateway: RunningGateway) -> None:
    before = rss(gateway)
    with RawClient(gateway.port, receive_buffer=SMALL) as client:
        with pytest.raises(TimeoutError):
            flood(client, get("/health") * 1000)
        assert rss(gateway) - before < 8 * MIB
    gateway.wait_until(lambda: gateway.status()["workers"][0]["connections"] == 0)


def test_the_rest_of_a_closing_connection_is_for_whoever_reads_it(gateway: RunningGateway) -> None:
    size = 4 * MIB
    with RawClient(gateway.port, receive_buffer=SMALL) as client:
        client.send(get(f"/bytes/{size}").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        data = b""
        while piece := client.sock.recv(MIB):
            data += piece
            if len(data) < MIB // 4:
                time.sleep(0.01)
        assert len(data.partition(b"\r\n\r\n")[2]) == size
