"""One probe at a time, against real sockets on loopback: what each kind of answer is called."""

from __future__ import annotations

import math
import os
import re
import socket
from dataclasses import replace

import pytest
import trio

from discovery.settings import HealthSettings, ProbeType
from healthcheck.conversation import Kind
from healthcheck.probe_http import BODY_BYTES
from healthcheck.question import build_probe
from healthcheck.wire import Flight, Wire
from tests.health_peers import OK, probe, saying, serving

SETTINGS = HealthSettings(path="/health", timeout=5.0)


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
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, False, "not HTTP: a head of more than 64 KiB"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", False, "200, but its body broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", False, "200, but its body is malformed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True, r"200 in \d+ ms"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok", False, "200, but its body broke off"),
        (b"HTTP/1.1 503 No\r\nContent-Length: 10\r\n\r\nhalf", False, r"503 in \d+ ms"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", False, r"101 in \d+ ms"),
        (b"HTTP/1.1 20", False, "broke off in the head"),
        (b"", False, "closed without an answer"),
    ],
)
async def test_answers(answer: bytes, ok: bool, detail: str) -> None:
    async with serving(saying(answer)) as address:
        verdict = await probe(address, SETTINGS)
    assert verdict.ok is ok
    assert re.fullmatch(detail, verdict.detail), verdict.detail


@pytest.mark.parametrize(("status", "ok"), [(199 + 1, False), (204, True), (210, True), (211, False)])
async def test_the_expected_range_is_inclusive(status: int, ok: bool) -> None:
    async with serving(saying(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)) as address:
        verdict = await probe(address, replace(SETTINGS, expected_status=((204, 210),)))
    assert verdict.ok is ok


async def test_an_endless_body_is_not_read_to_its_end() -> None:
    sent = 0

    async def endless(stream: trio.abc.Stream) -> None:
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
        verdict = await probe(address, SETTINGS)
    assert verdict.ok
    assert sent >= BODY_BYTES - 8192


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab"])
async def test_silence_anywhere_is_one_timeout(first: bytes) -> None:
    async def silent(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        await stream.send_all(first)
        await trio.sleep_forever()

    async with serving(silent) as address:
        verdict = await probe(address, replace(SETTINGS, timeout=0.2))
    assert (verdict.ok, verdict.detail) == (False, "timed out after 0.2 s")
    assert 0.2 <= verdict.duration < 2.0


async def test_drip_feeding_does_not_stretch_the_timeout() -> None:
    async def drip(stream: trio.abc.Stream) -> None:
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
    async def reset(stream: trio.abc.Stream) -> None:
        await stream.receive_some()
        assert isinstance(stream, trio.SocketStream)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    async with serving(reset) as address:
        verdict = await probe(address, SETTINGS)
    assert (verdict.ok, verdict.detail) == (False, "connection reset")


@pytest.mark.parametrize("kind", [ProbeType.HTTP, ProbeType.TCP])
async def test_nobody_listening_is_refused(kind: ProbeType) -> None:
    with socket.socket() as bound:  # bound but not listening: nobody else can take the port
        bound.bind(("127.0.0.1", 0))
        verdict = await probe(f"127.0.0.1:{bound.getsockname()[1]}", replace(SETTINGS, type=kind))
    assert (verdict.ok, verdict.detail) == (False, "connection refused")


async def test_tcp_asks_for_a_connection_only() -> None:
    received: list[bytes] = []

    async def note(stream: trio.abc.Stream) -> None:
        received.append(bytes(await stream.receive_some()))

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


@pytest.mark.parametrize("kind", [ProbeType.HTTP, ProbeType.TCP])
async def test_no_descriptor_left_is_not_the_instances_fault(kind: ProbeType, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: object) -> None:
        raise OSError(24, "Too many open files")

    async with serving(saying(OK)) as address:
        made = build_probe(address, replace(SETTINGS, type=kind))
        assert made is not None
        wire: Wire[str] = Wire()
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", exhausted)
            wire.start("one", made)
        ((flight,), _) = wire.collect()
        wire.close()
    assert flight.outcome is not None
    assert flight.outcome.kind is Kind.NOT_SENT
    assert flight.outcome.detail(0.0) == "not sent: too many open files on the gateway's machine"


class Distant(socket.socket):
    """A socket whose connection is not made, or whose buffer is full, the first two times it is asked to send."""

    asked = 0

    def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        self.asked += 1
        if self.asked <= 2:
            raise BlockingIOError
        return super().send(data[: max(1, len(data) // 2)], flags)


@pytest.mark.parametrize(
    ("answer", "ok"),
    [
        (OK, True),
        (b"HTTP/1.1 200 OK\r\n\r\nto the end", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n-", False),
    ],
)
async def test_what_is_sent_bit_by_bit_arrives_and_an_end_that_comes_with_the_answer_is_seen(
    answer: bytes, ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []
    async with serving(saying(answer, heard)) as address:
        made = build_probe(address, SETTINGS)
        assert made is not None
        wire: Wire[str] = Wire()
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socket", Distant)
            wire.start("one", made)
        ended: list[Flight[str]] = []
        with trio.fail_after(5):
            while not ended:
                await wire.wait(math.inf)
                ended, _ = wire.collect()
        wire.close()
    assert heard[0].endswith(b"Connection: close\r\n\r\n")
    assert ended[0].outcome is not None
    assert ended[0].outcome.ok is ok


async def test_a_probe_that_was_stopped_wakes_nobody_though_a_child_still_holds_its_socket() -> None:
    """As while a worker is being started: between fork and exec the child has every descriptor."""
    async with serving(saying(OK)) as address:
        made = build_probe(address, SETTINGS)
        assert made is not None
        wire: Wire[str] = Wire()
        flight = wire.start("one", made)
        assert flight.sock is not None
        with os.fdopen(os.dup(flight.sock.fileno()), "rb") as held:
            wire.stop(flight)
            with trio.fail_after(5):
                await trio.lowlevel.wait_readable(held)  # the answer has come
            until = trio.current_time() + 0.05
            await wire.wait(until)
            assert trio.current_time() >= until
            assert wire.collect() == ([], True)
        wire.close()


async def test_a_connection_to_itself_is_nobody_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connect whose own port is the one asked for succeeds, by simultaneous open: provoke it by binding first."""
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.setblocking(False)
    asked = build_probe(f"127.0.0.1:{made.getsockname()[1]}", replace(SETTINGS, type=ProbeType.TCP))
    assert asked is not None
    wire: Wire[str] = Wire()
    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", lambda *_: made)
        wire.start("one", asked)
    ((flight,), _) = wire.collect()
    wire.close()
    assert flight.outcome is not None
    assert (flight.outcome.ok, flight.outcome.text) == (False, "connection refused")
    assert made.fileno() == -1


@pytest.mark.parametrize("address", ["users:80", "fe80::1%eth0:80", "10.0.0.1:0", "10.0.0.1:65536", "10.0.0.1"])
async def test_what_is_no_address_is_a_verdict_that_says_so(address: str) -> None:
    verdict = await probe(address, SETTINGS)
    assert (verdict.ok, verdict.detail) == (False, f"{address!r} is not an address")
