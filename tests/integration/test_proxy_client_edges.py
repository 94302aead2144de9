"""What clients may do on one connection: pipeline, be slow, close, speak HTTP/1.0."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator

import pytest

from tests.backends import Backend, start_backend
from tests.gateway_config import one_service
from tests.gateways import RunningGateway, start_gateway
from tests.loads import tell

HEADER_TIMEOUT = 1.0
BODY = 1_000_000  # limit


@pytest.fixture(scope="module")
def backend() -> Iterator[Backend]:
    with start_backend("one") as started:
        yield started


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Iterator[RunningGateway]:
    config = one_service(
        backend.url, more=f"[limits]\nheader_timeout = {HEADER_TIMEOUT}\nidle_timeout = 2.0\nbody_bytes = {BODY}"
    )
    with start_gateway(tmp_path_factory.mktemp("edges"), config) as started:
        started.wait_until(lambda: started.get("/").status == 200)
        yield started


def connect(gateway: RunningGateway) -> socket.socket:
    return socket.create_connection(("127.0.0.1", gateway.port), timeout=15)


class Answers:
    """Reads answers with a Content-Length off a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.left = b""

    def next(self) -> tuple[int, dict[str, str], bytes]:
        while b"\r\n\r\n" not in self.left:
            self._more()
        head, _, self.left = self.left.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        length = int(fields.get("content-length", "0"))
        while len(self.left) < length:
            self._more()
        body, self.left = self.left[:length], self.left[length:]
        return int(lines[0].split()[1]), fields, body

    def _more(self) -> None:
        data = self._sock.recv(65536)
        assert data, f"the connection ended after {self.left!r}"
        self.left += data


def assert_ended(sock: socket.socket) -> None:
    assert sock.recv(1) == b""


def test_pipelined_requests_are_answered_in_order(gateway: RunningGateway) -> None:
    targets = [f"/delay/0.0{n % 3}?n={n}" if n % 5 else f"/quick?n={n}" for n in range(60)]
    with connect(gateway) as client:
        client.sendall(b"".join(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for target in targets))
        answers = Answers(client)
        assert [json.loads(answers.next()[2])["target"] for _ in targets] == targets
        assert answers.left == b""


def test_pipelined_requests_with_bodies_and_refusals_stay_in_order(gateway: RunningGateway) -> None:
    with connect(gateway) as client:
        client.sendall(
            b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
            b"PUT /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n"
            b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
            b"GET /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        answers = Answers(client)
        first, second = json.loads(answers.next()[2]), json.loads(answers.next()[2])
        assert (first["target"], first["body_bytes"]) == ("/a", 5)
        assert (second["target"], second["body_bytes"], second["trailers"]) == ("/b", 3, [["X-T", "1"]])
        assert json.loads(answers.next()[2]) == {"status": "ok"}
        status, fields, body = answers.next()
        assert (status, fields["connection"], json.loads(body)["target"]) == (200, "close", "/d")
        assert_ended(client)


def test_slow_heads_get_408_in_time_and_hold_up_nobody(gateway: RunningGateway) -> None:
    began = time.monotonic()
    slow = [connect(gateway) for _ in range(100)]
    for client in slow:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
    assert gateway.get("/").status == 200
    quick = time.monotonic() - began
    waiting = {client.fileno(): client for client in slow}
    poll = select.poll()
    for number in waiting:
        poll.register(number, select.POLLIN)
    ends = []
    while waiting:
        events = poll.poll(100)
        for number, _ in events:
            client = waiting.pop(number)
            poll.unregister(number)
            status, fields, body = Answers(client).next()
            assert (status, json.loads(body)["reason"], fields["connection"]) == (408, "header_timeout", "close")
            assert_ended(client)
            client.close()
            ends.append(time.monotonic() - began)
        for client in waiting.values():  # it drips, as such clients do: that buys no time
            if not events:
                client.sendall(b"x")
        assert time.monotonic() - began < 10
    tell("seconds until 408, first and last", (round(min(ends), 2), round(max(ends), 2)))
    assert quick < HEADER_TIMEOUT
    assert min(ends) >= HEADER_TIMEOUT - 0.05
    assert max(ends) < HEADER_TIMEOUT + 1.0


def test_a_connection_that_says_nothing_is_closed_in_silence(gateway: RunningGateway) -> None:
    with connect(gateway) as client:
        began = time.monotonic()
        assert_ended(client)
        assert HEADER_TIMEOUT - 0.1 < time.monotonic() - began < HEADER_TIMEOUT + 1.0


def test_an_idle_connection_is_closed_after_idle_timeout(gateway: RunningGateway) -> None:
    with connect(gateway) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        Answers(client).next()
        began = time.monotonic()
        assert_ended(client)
        assert 1.9 < time.monotonic() - began < 3.0


def test_connection_close_is_honoured_and_announced(gateway: RunningGateway) -> None:
    with connect(gateway) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert Answers(client).next()[1]["connection"] == "close"
        assert_ended(client)


def test_http_1_0_closes_unless_it_asks_not_to(gateway: RunningGateway) -> None:
    with connect(gateway) as client:
        client.sendall(b"GET /one HTTP/1.0\r\n\r\n")
        status, fields, body = Answers(client).next()
        assert (status, fields["connection"], json.loads(body)["target"]) == (200, "close", "/one")
        assert_ended(client)
    with connect(gateway) as client:
        answers = Answers(client)
        for target in ("/one", "/two"):
            client.sendall(f"GET {target} HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".encode())
            status, fields, body = answers.next()
            assert (status, fields["connection"], json.loads(body)["target"]) == (200, "keep-alive", target)


def test_http_1_0_gets_a_streamed_body_without_chunks(gateway: RunningGateway) -> None:
    with connect(gateway) as client:
        client.sendall(b"GET /stream/5?size=10 HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n")
        data = b""
        while piece := client.recv(65536):
            data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert body == b"0123456789" * 5


def test_a_client_that_half_closes_still_gets_its_answer(gateway: RunningGateway) -> None:
    with connect(gateway) as client:
        client.sendall(b"GET /delay/0.2 HTTP/1.1\r\nHost: x\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        assert Answers(client).next()[0] == 200
        assert_ended(client)


@pytest.mark.parametrize("is_chunked", [False, True], ids=["with a length", "chunked"])
def test_a_body_past_the_limit_gets_413_even_while_it_is_sent(gateway: RunningGateway, is_chunked: bool) -> None:
    """The client must get to read the answer, not a reset: it is still sending when the answer comes."""
    size = 5 * BODY
    framing = b"Transfer-Encoding: chunked" if is_chunked else b"Content-Length: %d" % size
    piece = b"p" * 50_000
    with connect(gateway) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        for _ in range(size // len(piece)):
            client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        status, fields, body = Answers(client).next()
        assert (status, fields["connection"], json.loads(body)["reason"]) == (413, "close", "body_too_large")
