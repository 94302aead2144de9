"""A peer that stops reading costs bounded memory, and gets every byte once it goes on."""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backend_server import PIECE
from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.loads import tell

MIB = 1 << 20
SIZE = 256 * MIB
MOST = 8 * MIB  # by which the worker may grow
STILL = 20  # looks at an unmoved counter until what is under way counts as stopped


@pytest.fixture
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


@pytest.fixture
def gateway(tmp_path: Path, backend: Backend) -> Iterator[RunningGateway]:
    health = "interval = 60.0"  # a stopped backend is not to be found out here
    with start_gateway(tmp_path, one_service(backend.url, health=health), workers=1) as started:
        started.wait_until(lambda: started.get("/").status == 200)
        yield started


def rss(gateway: RunningGateway) -> int:
    """Bytes of the only worker."""
    found: int = gateway.status()["workers"][0]["rss_bytes"]
    return found


def read_head(client: socket.socket) -> bytes:
    """The head, and what came of the body with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(4096)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")
    return body


def test_a_client_that_does_not_read(gateway: RunningGateway, backend: Backend) -> None:
    before = rss(gateway)
    highest = before
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as client:
        client.sendall(b"GET /bytes/%d HTTP/1.1\r\nHost: x\r\n\r\n" % SIZE)
        digest = hashlib.sha256(body := read_head(client))
        left = SIZE - len(body)

        looks: list[int] = []

        def is_still() -> bool:
            nonlocal highest
            highest = max(highest, rss(gateway))
            looks.append(backend.stats()["bytes_sent"])
            return looks[-1] > 0 and looks[-STILL:] == [looks[-1]] * STILL

        gateway.wait_until(is_still, 60.0)
        tell("MiB the backend could hand over while nobody read", round(looks[-1] / MIB, 1))
        assert looks[-1] < SIZE // 2
        while left:
            piece = client.recv(MIB)
            assert piece, f"it ended {left} bytes too soon"
            digest.update(piece)
            left -= len(piece)
        highest = max(highest, rss(gateway))
    tell("MiB by which the worker grew", round((highest - before) / MIB, 1))
    assert highest - before < MOST
    expected = hashlib.sha256()
    for _ in range(SIZE // len(PIECE)):
        expected.update(PIECE)
    assert digest.digest() == expected.digest()


def test_a_backend_that_does_not_read(gateway: RunningGateway, backend: Backend) -> None:
    before = rss(gateway)
    piece = b"u" * MIB
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as client:
        backend.stop_signal()
        try:
            client.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % SIZE)
            client.settimeout(1.0)  # nobody takes more, once a second passes without a byte taken
            sent = 0
            with contextlib.suppress(TimeoutError):
                while sent < SIZE:
                    sent += client.send(piece)
            assert sent < SIZE // 2
            highest = rss(gateway)
        finally:
            backend.cont()
        tell("MiB taken from the client while the backend stood still", round(sent / MIB, 1))
        client.settimeout(30.0)
        while sent < SIZE:
            sent += client.send(piece[: SIZE - sent])
        digest = hashlib.sha256(piece * (SIZE // MIB)).hexdigest().encode()
        highest = max(highest, rss(gateway))
        body = read_head(client)
        while b'"trailers"' not in body and (more := client.recv(65536)):
            body += more
        assert digest in body
    tell("MiB by which the worker grew", round((highest - before) / MIB, 1))
    assert highest - before < MOST
