"""What one peer has not taken yet: bytes of a pipe first, then pieces in memory."""

from __future__ import annotations

import socket
import sys
from typing import Final, cast

from gateway.worker.pipes import Pipe, Pipes

HIGH_WATER: Final = 262144  # bytes kept for a peer that does not read before its source is told to pause
PLENTY: Final = 33554432  # bytes kept for all peers of the worker; past them each gets SCANT, and sources are read less
SCANT: Final = 16384
_SMALL: Final = 4096  # pieces are joined up to this size
_PIECES: Final = 64  # per system call
_BYTES_ACKED: Final = 120  # offset of tcpi_bytes_acked in struct tcp_info, a 64-bit word


class Backlog:
    """Only while there is something in it."""

    __slots__ = ("_bytes", "_pipe", "_pipes", "is_congested", "pieces")

    def __init__(self, pipes: Pipes, pipe: Pipe | None = None) -> None:
        self._pipes = pipes
        self._pipe = pipe
        self._bytes = 0  # in memory
        self.pieces: list[memoryview] = []
        self.is_congested = pipe is not None  # its source is to pause until all of it is sent

    @property
    def is_empty(self) -> bool:
        return not self.pieces and self._pipe is None

    def add(self, data: memoryview) -> bool:
        """Keep this too. True if it is congested by that."""
        pieces = self.pieces
        if pieces and len(pieces[-1]) + len(data) <= _SMALL:  # an object each would cost more than the bytes
            pieces[-1] = memoryview(b"".join((pieces[-1], data)))
        else:
            pieces.append(data)
        self._bytes += len(data)
        self._pipes.kept += len(data)
        if self.is_congested or self._bytes <= (HIGH_WATER if self._pipes.kept < PLENTY else SCANT):
            return False
        self.is_congested = True
        return True

    def send(self, sock: socket.socket) -> int:
        """Hand over what the socket takes; how much that was. Raises OSError."""
        pipe = self._pipe
        if pipe is not None:
            sent = pipe.drain(sock.fileno())
            if not pipe.held:
                self._pipe = None
                self._pipes.give_back(pipe)
            return sent
        pieces = self.pieces
        left = sent = sock.sendmsg(pieces[:_PIECES])
        self._bytes -= sent
        self._pipes.kept -= sent
        while left:
            first = pieces[0]
            if left < len(first):
                pieces[0] = behind(first, left)
                break
            left -= len(first)
            del pieces[0]
        return sent

    def drop(self) -> None:
        """Nobody takes the rest."""
        self.pieces.clear()
        self._pipes.kept -= self._bytes
        self._bytes = 0
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            self._pipes.give_back(pipe)


def behind(data: memoryview, taken: int) -> memoryview:
    """What is left of bytes. A view of a few keeps all that it is a view of in memory: such a few are copied."""
    left = data[taken:]
    return left if 2 * len(left) > len(cast("bytes", data.obj)) else memoryview(bytes(left))


def acknowledged(sock: socket.socket) -> int:
    """Bytes that the peer has taken. Asked for rarely: when it falls behind, and when it may be cut off."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
    return int.from_bytes(info[_BYTES_ACKED:], sys.byteorder)
