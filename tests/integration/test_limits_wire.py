"""A wire of the worker over real TCP: what is kept is bounded in pieces too, and closing ends, but not too soon."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from gateway.worker.loop import Loop
from gateway.worker.wire import FLUSH_SECONDS, LINGER_MOST, LINGER_SECONDS, Wire
from tests.proxy_harness import World

TURN = 0.005  # seconds that the loop may wait: the other ends are here, nothing comes by itself
MORE_THAN_THE_KERNEL_TAKES = b"x" * (16 << 20)


@dataclass
class Machine:
    """Notes what it is told."""

    told: list[str] = field(default_factory=list)

    def on_data(self, data: bytes) -> None:
        self.told.append(f"{len(data)} bytes")

    def on_eof(self) -> None:
        self.told.append("eof")

    def on_relayed(self, size: int, is_congested: bool) -> None:
        self.told.append(f"{size} bytes relayed")

    def on_drained(self) -> None:
        self.told.append("drained")

    def on_lost(self, errno: int) -> None:
        self.told.append("lost")

    def crash(self) -> None:
        self.told.append("crash")


class Bench:
    """One wire in a loop that is turned by hand; deadlines are called ahead of the loop's clock."""

    def __init__(self) -> None:
        self.ctx = World().ctx
        self.loop = Loop(self.ctx, lambda: None, lambda: None)
        self._ahead = 0.0  # seconds
        listener = socket.create_server(("127.0.0.1", 0))
        self.peer = socket.create_connection(listener.getsockname())
        self.peer.settimeout(10)
        sock, _ = listener.accept()
        listener.close()
        sock.setblocking(False)
        self.machine = Machine()
        self.wire = Wire(self.loop, sock, connecting=False)
        self.wire.attach(self.machine)

    def advance(self, seconds: float) -> None:
        self._ahead += seconds
        self.ctx.deadlines.expire(self.ctx.now + self._ahead)
        self.loop.turn(TURN)

    @property
    def is_open(self) -> bool:
        return bool(self.loop.wires())


def read_to_the_end(sock: socket.socket) -> int:
    """Bytes received before the connection was closed; raises if it was reset."""
    received = 0
    while data := sock.recv(1 << 20):
        received += len(data)
    return received


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.peer.close()
    made.loop.close()


def test_small_pieces_are_kept_together(bench: Bench) -> None:
    assert not bench.wire.write(MORE_THAN_THE_KERNEL_TAKES)
    for _ in range(50_000):
        bench.wire.write(b"5\r\n")
    assert bench.wire._backlog is not None
    assert len(bench.wire._backlog.pieces) < 100
    received = 0
    while received < len(MORE_THAN_THE_KERNEL_TAKES) + 150_000:
        data = bench.peer.recv(1 << 20)
        received += len(data)
        bench.loop.turn(TURN)
    assert data.endswith(b"5\r\n")
    bench.loop.turn(TURN)
    assert bench.machine.told == ["drained"]


def test_a_closing_connection_whose_peer_takes_nothing_is_reset(bench: Bench) -> None:
    bench.wire.write(MORE_THAN_THE_KERNEL_TAKES)
    bench.wire.close()
    assert bench.ctx.stats.closing == 1
    bench.advance(FLUSH_SECONDS + 0.1)  # the kernel has put some of it on its way since
    bench.advance(FLUSH_SECONDS + 0.1)
    assert bench.ctx.stats.closing == 0
    assert not bench.is_open
    with pytest.raises(ConnectionResetError):
        read_to_the_end(bench.peer)


def test_one_that_takes_a_little_each_time_gets_all_of_it(bench: Bench) -> None:
    bench.wire.write(MORE_THAN_THE_KERNEL_TAKES)
    bench.wire.close()
    received = 0
    while received < len(MORE_THAN_THE_KERNEL_TAKES):
        for _ in range(4):
            received += len(bench.peer.recv(256 << 10))
        bench.advance(FLUSH_SECONDS + 0.1)
    assert bench.peer.recv(1) == b""
    assert bench.ctx.stats.closing == 0


def test_lingering_ends_when_the_peer_has_nothing_more_to_take(bench: Bench) -> None:
    bench.wire.write(b"refused")
    bench.wire.close(linger=True)
    bench.peer.sendall(b"still sending" * 1000)
    bench.loop.turn(TURN)
    assert bench.peer.recv(100) == b"refused"
    assert bench.peer.recv(100) == b""
    assert (bench.is_open, bench.ctx.stats.closing) == (True, 1)
    bench.advance(LINGER_SECONDS + 0.1)
    bench.advance(LINGER_SECONDS + 0.1)
    assert (bench.is_open, bench.ctx.stats.closing) == (False, 0)
    assert bench.machine.told == []


def test_lingering_leaves_the_kernel_what_it_has_taken(bench: Bench) -> None:
    bench.wire.write(b"x" * 300_000)
    bench.wire.close(linger=True)
    bench.loop.turn(TURN)
    for _ in range(int(LINGER_MOST / LINGER_SECONDS) + 2):
        bench.advance(LINGER_SECONDS + 0.1)
    assert not bench.is_open
    assert read_to_the_end(bench.peer) == 300_000
