"""One probe at a time, against real sockets on loopback: what each kind of answer is called."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pytest
import trio

from discovery.settings import HealthSettings, ProbeType
from healthcheck import dial
from healthcheck.agent import build_probe, default_in_flight
from healthcheck.model import Verdict
from healthcheck.transport import BODY_BYTES

SETTINGS = HealthSettings(path="/health", timeout=5.0)
Handler = Callable[[trio.SocketStream], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, host: str = "127.0.0.1") -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        listeners: list[trio.SocketListener] = await nursery.start(partial(trio.serve_tcp, handler, 0, host=host))
        port = listeners[0].socket.getsockname()[1]
        yield f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        nursery.cancel_scope.cancel()


def saying(answer: bytes, heard: list[bytes] | None = None) -> Handler:
    """A handler that reads a request's head, says `answer` and closes."""

    async def handler(stream: trio.SocketStream) -> None:
        request = b""
        while not request.endswith(b"\r\n\r\n"):
            request += await stream.receive_some()
        if heard is not None:
            heard.append(request)
        await stream.send_all(answer)

    return handler


async def probe(address: str, settings: HealthSettings = SETTINGS) -> Verdict:
    made = build_probe(address, settings)
    assert made is not None
    return await made()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_the_request_is_a_plain_get() -> None:
    heard: list[bytes] = []
    async with serving(saying(OK, heard)) as address:
        verdict = await probe(address, replace(SETTINGS, path="/ready?deep=1"))
        assert verdict.ok
        assert re.fullmatch(r"200 in \d+ ms", verdict.detail)
        assert 0 < verdict.duration < 5
    lines = heard[0].decode().split("\r\n")
    assert lines[0] == "GET /ready?deep=1 HTTP/1.1"
    assert lines[1] == f"Host: {address}"
    assert re.fullmatch(r"User-Agent: gw-health/\S+", lines[2])
    assert lines[3:] == ["Accept: */*", "Connection: close", "", ""]


@pytest.mark.parametrize(
    ("answer", "ok", "detail"),
    [
        (OK, True, r"200 in \d+ ms"),
        (b"HTTP/1.1 200 OK\r\n\r\nclosed at the end", True, r"200 in \d+ ms"),
        (b"HTTP/1.0 200 OK\r\n\r\n", True, r"200 in \d+ ms"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True, r"204 in \d+ ms"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, True, r"200 in \d+ ms"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", True, r"302 in \d+ ms"),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", False, r"503 in \d+ ms"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", False, r"404 in \d+ ms"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", False, "not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x16", False, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, False, "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", False, "200, but its body broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", False, "200, but its body broke off"),
        (b"HTTP/1.1 20", False, "broke off in the head"),
        (b"", False, "closed without an answer"),
    ],
)
async def test_answers(answer: bytes, ok: bool, detail: str) -> None:
    async with serving(saying(answer)) as address:
        verdict = await probe(address)
    assert verdict.ok is ok
    assert re.fullmatch(detail, verdict.detail), verdict.detail


@pytest.mark.parametrize(("status", "ok"), [(199 + 1, False), (204, True), (210, True), (211, False)])
async def test_the_expected_range_is_inclusive(status: int, ok: bool) -> None:
    async with serving(saying(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)) as address:
        verdict = await probe(address, replace(SETTINGS, expected_status=(204, 210)))
    assert verdict.ok is ok


async def test_an_endless_body_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(stream: trio.SocketStream) -> None:
        nonlocal sent
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                await stream.send_all(b"x" * 4096)
                sent += 4096
        except trio.BrokenResourceError:
            return

    async with serving(endless) as address:
        verdict = await probe(address)
    assert verdict.ok
    assert sent >= BODY_BYTES - 8192


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_silence_anywhere_is_one_timeout(first: bytes) -> None:
    async def silent(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(first)
        await trio.sleep_forever()

    async with serving(silent) as address:
        verdict = await probe(address, replace(SETTINGS, timeout=0.2))
    assert (verdict.ok, verdict.detail) == (False, "timed out after 0.2 s")
    assert 0.2 <= verdict.duration < 2.0


async def test_drip_feeding_does_not_stretch_the_timeout() -> None:
    async def drip(stream: trio.SocketStream) -> None:
        try:
            while True:
                await stream.send_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                await trio.sleep(0.02)
        except trio.BrokenResourceError:
            return

    async with serving(drip) as address:
        verdict = await probe(address, replace(SETTINGS, timeout=0.2))
    assert verdict.detail == "timed out after 0.2 s"


async def test_a_reset_is_called_so() -> None:
    async def reset(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with serving(reset) as address:
        verdict = await probe(address)
    assert (verdict.ok, verdict.detail) == (False, "connection reset")


@pytest.mark.parametrize("kind", [ProbeType.HTTP, ProbeType.TCP])
async def test_nobody_listening_is_refused(kind: ProbeType) -> None:
    with socket.socket() as bound:  # bound but not listening: nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        verdict = await probe(f"127.0.0.1:{bound.getsockname()[1]}", replace(SETTINGS, type=kind))
    assert (verdict.ok, verdict.detail) == (False, "connection refused")


async def test_tcp_asks_for_a_connection_only() -> None:
    received: list[bytes] = []

    async def note(stream: trio.SocketStream) -> None:
        received.append(await stream.receive_some())

    async with serving(note) as address:
        verdict = await probe(address, replace(SETTINGS, type=ProbeType.TCP))
        with trio.fail_after(5):
            while not received:
                await trio.sleep(0.001)
    assert verdict.ok
    assert re.fullmatch(r"connected in \d+ ms", verdict.detail)
    assert received == [b""]


@pytest.mark.parametrize("kind", [ProbeType.HTTP, ProbeType.TCP])
async def test_a_full_accept_queue_times_out(kind: ProbeType) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(address)
        verdict = await probe(f"127.0.0.1:{address[1]}", replace(SETTINGS, type=kind, timeout=0.2))
        for filler in fillers:
            filler.close()
    assert (verdict.ok, verdict.detail) == (False, "timed out after 0.2 s")


@pytest.mark.parametrize("kind", [ProbeType.HTTP, ProbeType.TCP])
async def test_ipv6(kind: ProbeType) -> None:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on this machine's loopback")
    async with serving(saying(OK), host="::1") as address:
        verdict = await probe(address, replace(SETTINGS, type=kind))
    assert verdict.ok


@pytest.mark.parametrize("path", ["/a b", "/ä", "health", "", "/%zz", "//x"])
async def test_odd_paths_are_asked_for_in_a_form_that_is_legal(path: str) -> None:
    heard: list[bytes] = []
    async with serving(saying(OK, heard)) as address:
        verdict = await probe(address, replace(SETTINGS, path=path))
    assert verdict.ok
    assert re.match(rb"GET /[!-~]* HTTP/1.1\r\n", heard[0])


async def test_an_impossible_path_is_a_verdict_that_says_so() -> None:
    verdict = await probe("127.0.0.1:1", replace(SETTINGS, path="/a\r\nX-Evil: 1"))
    assert not verdict.ok
    assert "cannot be asked for" in verdict.detail


@pytest.mark.parametrize("kind", [ProbeType.HTTP, ProbeType.TCP])
async def test_no_descriptor_left_is_not_the_instances_fault(kind: ProbeType, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(trio.socket, "socket", exhausted)
    with pytest.raises(dial.ProbeNotSent, match="not sent: too many open files on the gateway's machine"):
        await probe("127.0.0.1:1", replace(SETTINGS, type=kind))


async def test_a_connection_to_itself_is_nobody_listening() -> None:
    """A connect whose own port is the one asked for succeeds, by simultaneous open: provoke it by binding first."""
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    port = made.getsockname()[1]
    made.setblocking(False)
    sock = trio.socket.from_stdlib_socket(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio.socket, "socket", lambda *_: sock)
        with pytest.raises(ConnectionRefusedError):
            await dial.connect("127.0.0.1", port)
    assert sock.fileno() == -1


@pytest.mark.parametrize(
    ("address", "expected"), [("10.0.0.1:80", ("10.0.0.1", 80)), ("[2001:db8::1]:8080", ("2001:db8::1", 8080))]
)
def test_split_address(address: str, expected: tuple[str, int]) -> None:
    assert dial.split_address(address) == expected


def test_the_bound_on_probes_leaves_descriptors_for_others() -> None:
    assert 1 <= default_in_flight() <= 1000
