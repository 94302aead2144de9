"""What a peer has not taken yet keeps no more in memory than it counts."""

from __future__ import annotations

import socket
from typing import cast

import pytest

from gateway.worker.backlog import Backlog, behind
from gateway.worker.pipes import Pipes


@pytest.mark.parametrize(
    ("taken", "held"),
    [(0, 1000), (400, 1000), (499, 1000), (500, 500), (900, 100), (1000, 0)],
)
def test_the_rest_holds_at_most_twice_its_own_size(taken: int, held: int) -> None:
    data = bytes(range(250)) * 4
    rest = behind(memoryview(data), taken)
    assert rest == data[taken:]
    assert len(cast("bytes", rest.obj)) == held


def test_bytes_arrive_in_order_however_little_the_socket_takes() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        pipes = Pipes()
        backlog = Backlog(pipes)
        sent = b"".join(number.to_bytes(4, "big") for number in range(50_000))
        for start in range(0, len(sent), 65_537):
            backlog.add(memoryview(sent[start : start + 65_537]))
        received = bytearray()
        while not backlog.is_empty:
            backlog.send(ours)
            assert sum(len(cast("bytes", piece.obj)) for piece in backlog.pieces) <= pipes.kept + 65_537
            received += theirs.recv(65_536)
        assert bytes(received) == sent
        assert pipes.kept == 0
