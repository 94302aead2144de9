"""Long bodies through a whole gateway: exact, on kept connections, and nothing is left of those that are given up."""

from __future__ import annotations

import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import pytest

from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.raw_client import RawClient

MIB: Final = 1 << 20
BLOCK: Final = random.Random(7).randbytes(MIB + 7)  # its pieces in another order are another body
SIZES: Final = (65_535, 65_537, 262_145, MIB, 3 * MIB + 1, 5 * MIB - 3)
STALL: Final = 2.0  # seconds


def body(size: int) -> bytes:
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


class Instance:
    """Answers GET /N with N bytes, /cut/N with half of them and a close, /stall/N with half of them and nothing more.

    What is posted is answered with its checksum.
    """

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.cut_uploads = 0
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def _accept(self) -> None:
        with suppress(OSError):  # closed: the test is over
            while True:
                sock, _ = self.listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, suppress(OSError), sock.makefile("rb") as stream:  # the gateway may leave at any time
            while line := stream.readline():
                method, target, _ = line.split()
                fields = dict(each.rstrip().lower().split(b": ", 1) for each in iter(stream.readline, b"\r\n"))
                if method == b"POST":
                    digest, left = hashlib.sha256(), int(fields[b"content-length"])
                    while left and (data := stream.read(min(left, MIB))):
                        digest.update(data)
                        left -= len(data)
                    self.cut_uploads += left > 0
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + digest.hexdigest().encode())
                    continue
                *kind, size = target.decode().strip("/").split("/")
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % int(size))
                left = int(size) // 2 if kind else int(size)
                while left:
                    sock.sendall(BLOCK[:left])
                    left -= len(BLOCK[:left])
                if kind == ["cut"]:
                    return
                if kind:
                    stream.read(1)  # until the gateway gives up


@pytest.fixture(scope="module")
def instance() -> Iterator[Instance]:
    made = Instance()
    yield made
    made.listener.close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, instance: Instance) -> Iterator[RunningGateway]:
    config = one_service(
        instance.url,
        health='type = "none"',
        outlier="consecutive_failures = 100",
        route=f"stream_idle_timeout = {STALL}\nretry_count = 0",
    )
    with start_gateway(tmp_path_factory.mktemp("relay"), config, workers=1) as started:
        started.wait_until(lambda: started.get("/1").status == 200)
        yield started


def worker(gateway: RunningGateway) -> dict[str, int]:
    found: dict[str, int] = gateway.status()["workers"][0]
    return found


def descriptors(gateway: RunningGateway) -> list[str]:
    """What the worker has open, by kind."""
    kinds = []
    for each in Path(f"/proc/{gateway.worker_pids()[0]}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since the folder was listed
            kinds.append(str(each.readlink()).partition(":")[0])
    return kinds


def get(path: str) -> bytes:
    return f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def post(data: bytes) -> bytes:
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data) + data


def test_downloads_and_uploads_of_odd_sizes_on_one_connection(gateway: RunningGateway, instance: Instance) -> None:
    before = instance.connections
    with RawClient(gateway.port) as client:
        for size in SIZES:
            client.send(get(str(size)))
            assert hashlib.sha256(client.answer().body).digest() == hashlib.sha256(body(size)).digest()
            client.send(post(body(size)))
            assert client.answer().body == hashlib.sha256(body(size)).hexdigest().encode()
    assert instance.connections - before <= 1
    assert "pipe" in descriptors(gateway)  # it went through one


def test_requests_sent_ahead_of_long_bodies(gateway: RunningGateway) -> None:
    with RawClient(gateway.port) as client:
        client.send(*(get(str(size)) for size in SIZES), get("1"))
        for size in (*SIZES, 1):
            assert client.answer().body == body(size)
        client.send(post(body(2 * MIB)) + get("3"))
        assert client.answer().status == 200
        assert client.answer().body == body(3)


def test_a_response_cut_short_ends_in_a_reset(gateway: RunningGateway) -> None:
    with RawClient(gateway.port) as client:
        client.send(get(f"cut/{8 * MIB}"))
        with pytest.raises(ConnectionResetError):
            client.answer()
    gateway.wait_until(lambda: worker(gateway)["in_flight"] == 0)


def test_a_response_that_stalls_is_cut(gateway: RunningGateway) -> None:
    with RawClient(gateway.port) as client:
        client.send(get(f"stall/{8 * MIB}"))
        with pytest.raises(ConnectionResetError):
            client.answer()


def test_clients_that_leave_or_stall_leave_nothing_behind(gateway: RunningGateway) -> None:
    before = worker(gateway)["rss_bytes"]
    with ExitStack() as stack:
        stalled = [stack.enter_context(RawClient(gateway.port, receive_buffer=16384)) for _ in range(10)]
        leaving = [stack.enter_context(RawClient(gateway.port)) for _ in range(10)]
        for client in stalled + leaving:
            client.send(get(str(16 * MIB)))
            assert client.sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        for client in leaving:
            client.sock.close()
        assert worker(gateway)["rss_bytes"] - before < 8 * MIB
        assert descriptors(gateway).count("pipe") < 2 * 64 + 10
        gateway.wait_until(lambda: worker(gateway)["in_flight"] == 0)  # the others after STALL seconds
    with RawClient(gateway.port) as client:  # what they did not take is in nobody's answer
        for size in SIZES:
            client.send(get(str(size)))
            assert client.answer().body == body(size)


def test_a_client_that_leaves_within_its_upload(gateway: RunningGateway, instance: Instance) -> None:
    with RawClient(gateway.port) as client:
        client.send(post(body(16 * MIB))[: -4 * MIB])
    gateway.wait_until(lambda: instance.cut_uploads == 1)
    with RawClient(gateway.port) as client:
        client.send(post(body(MIB)))
        assert client.answer().body == hashlib.sha256(body(MIB)).hexdigest().encode()


def test_an_upload_that_stalls_is_408(gateway: RunningGateway) -> None:
    with RawClient(gateway.port) as client:
        client.send(post(body(4 * MIB))[:-1])
        assert client.answer().reason == (408, "body_timeout")
