"""Two wires of the worker over real TCP, one relaying to the other: every byte in order, and no pipe left over."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from gateway.worker.loop import Loop
from gateway.worker.wire import RELAY_LEAST, Wire
from tests.proxy_harness import World

TURN = 0.005  # seconds that the loop may wait: the other ends are here, nothing comes by itself
SIZE: Final = 3_000_017
DATA: Final = random.Random(1).randbytes(SIZE)
DEADLINE: Final = 20.0  # seconds
MORE_THAN_THE_KERNEL_TAKES: Final = b"x" * (16 << 20)


class Machine:
    """A body of SIZE bytes on its way: what it is told, and what passes through it."""

    def __init__(self) -> None:
        self.relayed = 0
        self.passed = 0
        self.told: list[str] = []
        self.wire: Wire
        self.sink: Wire
        self.source: Wire

    def on_data(self, data: bytes) -> None:
        self.passed += len(data)
        if not self.sink.write(data):
            self.wire.pause()

    def on_relayed(self, size: int, is_congested: bool) -> None:
        self.relayed += size
        if is_congested:
            self.wire.pause()

    def on_drained(self) -> None:
        self.source.resume()

    def on_eof(self) -> None:
        self.told.append("eof")
        self.wire.pause()

    def on_lost(self, errno: int) -> None:
        self.told.append("lost")

    def crash(self) -> None:
        self.told.append("crash")


class Pair:
    """A source and a sink in a loop that is turned by hand, and the other ends of both."""

    def __init__(self) -> None:
        self.ctx = World().ctx
        self.loop = Loop(self.ctx, lambda: None, lambda: None)
        self.from_peer, self.source, self.machine = self._connect()
        self.to_peer, self.sink, self.sink_machine = self._connect()
        self.machine.sink = self.sink
        self.sink_machine.source = self.source
        self.source.relay(self.sink, SIZE)

    def _connect(self) -> tuple[socket.socket, Wire, Machine]:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = socket.create_connection(listener.getsockname())
            sock, _ = listener.accept()
        peer.setblocking(False)
        sock.setblocking(False)
        wire, machine = Wire(self.loop, sock, connecting=False), Machine()
        machine.wire = wire
        wire.attach(machine)
        return peer, wire, machine

    def is_paused(self) -> bool:
        return self.source._paused

    @property
    def open_pipes(self) -> int:
        return self.loop.pipes.open

    def until(self, claim: Callable[[], object]) -> None:
        """Turn the loop until it holds."""
        end = time.monotonic() + DEADLINE
        while not claim():
            assert time.monotonic() < end, f"not within {DEADLINE} s"
            self.loop.turn(TURN)

    def send(self, data: bytes) -> int:
        """Let the source have what the kernel takes; how much that was."""
        try:
            sent = self.from_peer.send(data)
        except BlockingIOError:
            sent = 0
        self.loop.turn(TURN)
        return sent

    def receive(self) -> bytes:
        """What has come out, b"" if nothing."""
        try:
            return self.to_peer.recv(1 << 20)
        except BlockingIOError:
            return b""

    def transfer(self, data: bytes, piece: int = 1 << 20) -> bytes:
        """Everything that comes out until it is as much as went in."""
        received, sent = b"", 0

        def is_through() -> bool:
            nonlocal received, sent
            sent += self.send(data[sent : sent + piece])
            received += self.receive()
            return len(received) >= len(data)

        self.until(is_through)
        return received

    def fill(self) -> int:
        """Send until nothing is taken any more, nobody reading; how much that was."""
        sent, looks = 0, 0
        while looks < 20:
            more = self.send(MORE_THAN_THE_KERNEL_TAKES)
            sent, looks = sent + more, 0 if more else looks + 1
        return sent


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.from_peer.close()
    made.to_peer.close()
    made.loop.close()
    assert made.open_pipes == 0


@pytest.mark.parametrize("piece", [1 << 20, 65_537, 4099])
def test_every_byte_comes_out_in_order(pair: Pair, piece: int) -> None:
    assert pair.transfer(DATA, piece) == DATA
    assert (pair.machine.relayed, pair.machine.passed) == (SIZE, 0)
    assert pair.open_pipes == 1


def test_what_is_written_behind_a_relayed_body_comes_behind_it(pair: Pair) -> None:
    pair.source.relay(pair.sink, 1 << 40)
    sent = pair.fill()
    assert pair.open_pipes == 1  # it holds the last of what was relayed
    relayed = pair.machine.relayed
    pair.sink.write(b"the next")
    received = bytearray()

    def is_all_there() -> bool:
        nonlocal received
        received += pair.receive()
        return len(received) == sent + len(b"the next")

    pair.until(is_all_there)
    assert received.find(b"the next") == relayed


def test_only_what_was_named_goes_past_the_machine(pair: Pair) -> None:
    pair.source.relay(pair.sink, RELAY_LEAST)
    assert pair.transfer(DATA) == DATA
    assert (pair.machine.relayed, pair.machine.passed) == (RELAY_LEAST, SIZE - RELAY_LEAST)


def test_few_bytes_are_read_as_ever(pair: Pair) -> None:
    assert pair.transfer(DATA) == DATA
    pair.source.relay(pair.sink, RELAY_LEAST - 1)
    assert pair.transfer(DATA[:1000]) == DATA[:1000]
    assert (pair.machine.relayed, pair.machine.passed) == (SIZE, 1000)


def test_a_peer_that_does_not_read_pauses_the_source_and_loses_nothing(pair: Pair) -> None:
    pair.source.relay(pair.sink, 1 << 40)
    sent = pair.fill()
    assert pair.is_paused()
    assert sent < 4 * len(MORE_THAN_THE_KERNEL_TAKES)
    received = 0
    while received < sent:
        received += len(pair.receive())
        pair.loop.turn(TURN)
    assert received == sent == pair.machine.relayed
    assert not pair.is_paused()
    assert pair.transfer(DATA) == DATA


def test_what_a_lost_peer_has_not_taken_is_nobody_else_s(pair: Pair) -> None:
    pair.source.relay(pair.sink, 1 << 40)
    pair.fill()
    assert pair.open_pipes == 1
    pair.sink.abort()
    assert pair.open_pipes == 0


def test_a_sink_that_is_gone_gets_nothing(pair: Pair) -> None:
    pair.to_peer.close()
    pair.send(DATA)
    pair.until(lambda: pair.send(DATA) >= 0 and "lost" in pair.sink_machine.told)
    assert pair.machine.told == []
    pair.machine.sink = pair.source  # whoever it is told of the rest
    passed = pair.machine.passed
    pair.send(DATA[:1000])
    pair.until(lambda: pair.machine.passed > passed)


def test_a_closing_connection_sends_what_its_pipe_holds(pair: Pair) -> None:
    pair.source.relay(pair.sink, 1 << 40)
    sent = pair.fill()
    relayed = pair.machine.relayed
    pair.sink.close()
    received = 0

    def is_at_the_end() -> bool:
        nonlocal received
        try:
            while data := pair.to_peer.recv(1 << 20):
                received += len(data)
        except BlockingIOError:
            return False
        return True

    pair.until(is_at_the_end)
    assert received == relayed <= sent


def test_the_end_is_told(pair: Pair) -> None:
    assert pair.transfer(DATA[:100_001]) == DATA[:100_001]
    pair.from_peer.close()
    pair.until(lambda: pair.machine.told)
    assert pair.machine.told == ["eof"]


def test_a_reset_is_told(pair: Pair) -> None:
    pair.from_peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    pair.from_peer.close()
    pair.until(lambda: pair.machine.told)
    assert pair.machine.told == ["lost"]


def test_urgent_data_does_not_stop_it(pair: Pair) -> None:
    pair.from_peer.send(b"!", socket.MSG_OOB)  # a receiver that reads in line would see it; splice stops before it
    assert len(pair.transfer(DATA)) >= SIZE - 1


# --- without pipes --------------------------------------------------------------------------------


def refusing(number: int) -> Any:
    def refuse(*args: object, **options: object) -> int:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize(
    ("module", "name", "number"),
    [
        (os, "pipe2", errno.EMFILE),
        (fcntl, "fcntl", errno.EPERM),
        (os, "splice", errno.EINVAL),
        (os, "splice", errno.ENOSYS),
    ],
)
def test_without_pipes_it_is_copied(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, module: object, name: str, number: int
) -> None:
    monkeypatch.setattr(module, name, refusing(number))
    assert pair.transfer(DATA) == DATA
    assert (pair.machine.relayed, pair.machine.passed) == (0, SIZE)


def test_pipes_are_had_again_when_there_are_some(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "pipe2", refusing(errno.EMFILE))
        assert pair.transfer(DATA[:100_000]) == DATA[:100_000]
    assert pair.transfer(DATA[100_000:]) == DATA[100_000:]
    assert pair.machine.relayed == SIZE - 100_000


def test_there_are_not_more_pipes_than_allowed(pair: Pair) -> None:
    pipes = pair.loop.pipes
    taken = []
    while (pipe := pipes.take()) is not None:
        taken.append(pipe)
    assert len(taken) == pipes.open == 64
    assert pair.transfer(DATA) == DATA
    assert pair.machine.passed == SIZE
    for pipe in taken:
        pipes.give_back(pipe)
