"""One non-blocking socket under the loop's epoll: a `Transport` to its machine, events from the loop.

    CONNECTING -> OPEN -> FLUSHING -> (LINGERING ->) CLOSED

Rules: level-triggered; EPOLLOUT only while bytes wait or a connect is under way; a closed socket's
number is not given back to the kernel before the batch ends (see `loop`); a failed write is told to
the machine after the event at hand, never from inside `write`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import sys
from enum import Enum
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING, Final

from gateway.proxy.deadlines import Timed
from gateway.proxy.transport import Connecting, Machine

if TYPE_CHECKING:
    from gateway.worker.loop import Loop

HIGH_WATER: Final = 262144  # bytes kept for a peer that does not read before its source is told to pause
_SMALL: Final = 4096  # pieces kept are joined up to this size
FIRST_RECV: Final = 16384
LARGEST_RECV: Final = 262144
FLUSH_SECONDS: Final = 10.0  # a closing connection may go this long without taking any of what is left
LINGER_SECONDS: Final = 2.0  # how long what the peer still sends is read, while it takes none of what it was sent
LINGER_MOST: Final = 30.0
_BYTES_ACKED: Final = 120  # offset of tcpi_bytes_acked in struct tcp_info, a 64-bit word
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close sends RST


class _State(Enum):
    CONNECTING = "connecting"
    OPEN = "open"
    FLUSHING = "flushing"  # the machine is done; what is kept is still being sent
    LINGERING = "lingering"  # our side is shut; what the peer still sends is thrown away
    CLOSED = "closed"


# Looked up once: members of enums and modules cost a search each time.
_CONNECTING: Final = _State.CONNECTING
_OPEN: Final = _State.OPEN
_FLUSHING: Final = _State.FLUSHING
_LINGERING: Final = _State.LINGERING
_CLOSED: Final = _State.CLOSED
_IN: Final = EPOLLIN
_OUT: Final = EPOLLOUT
_GONE: Final = EPOLLHUP | EPOLLERR
_receive: Final = os.read  # less work around the system call than a socket has in recv and send
_send: Final = os.write


def _taken(sock: socket.socket) -> int:
    """Bytes that the peer has acknowledged. Asked for rarely: when it falls behind, and when it may be cut off."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
    return int.from_bytes(info[_BYTES_ACKED:], sys.byteorder)


class _Nobody:
    """The machine of a wire that is closed for good."""

    def on_data(self, data: bytes) -> None: ...

    def on_eof(self) -> None: ...

    def on_drained(self) -> None: ...

    def on_lost(self, errno: int) -> None: ...

    def crash(self) -> None: ...


_NOBODY: Final = _Nobody()


class Wire(Timed):
    """See the module."""

    __slots__ = (
        "_congested",
        "_connecting",
        "_is_registered",
        "_linger",
        "_loop",
        "_machine",
        "_mark",
        "_mask",
        "_over_at",
        "_paused",
        "_pending",
        "_pending_bytes",
        "_recv_bytes",
        "_sock",
        "_state",
        "failed",
        "fd",
    )

    def __init__(self, loop: Loop, sock: socket.socket, *, connecting: bool) -> None:
        super().__init__()
        self._loop = loop
        self._sock = sock
        self.fd = sock.fileno()
        self._recv_bytes = FIRST_RECV
        self._pending: list[memoryview] = []
        self._pending_bytes = 0
        self._mark = 0  # what the peer had taken when it fell behind, or when `has_moved` was asked last
        self._over_at = 0.0  # when lingering ends at the latest
        self._congested = False
        self._paused = False
        self._linger = False
        self._machine: Machine
        self._connecting: Connecting | None = None
        self.failed = 0  # errno of a failed write, until the machine is told
        self._state = _CONNECTING if connecting else _OPEN
        self._mask = _OUT if connecting else _IN
        self._is_registered = True
        loop.register(self, self._mask)

    @property
    def machine(self) -> Machine:
        return self._machine

    @property
    def is_open(self) -> bool:
        """Has nobody closed it yet?"""
        return self._state is _OPEN or self._state is _CONNECTING

    def attach(self, machine: Machine) -> None:
        """Deliver to this machine from now on."""
        self._machine = machine

    def attach_connecting(self, machine: Connecting) -> None:
        """The same for a connection that is being opened."""
        self._machine = self._connecting = machine

    # --- Transport --------------------------------------------------------------------------------

    def write(self, data: bytes) -> bool:
        if self._pending:
            self._keep(memoryview(data))
            return not self._congested
        try:
            sent = _send(self.fd, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail_later(error.errno or 0)
            return True
        self._loop.ctx.stats.bytes_out += sent
        if sent == len(data):
            return True
        self._keep(memoryview(data)[sent:])
        self._want(self._mask | _OUT)
        return not self._congested

    def has_moved(self) -> bool:
        before, self._mark = self._mark, _taken(self._sock)
        return self._mark > before

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._want(self._mask & ~_IN)

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._want(self._mask | _IN)

    def close(self, *, linger: bool = False) -> None:
        if self._state in (_CLOSED, _FLUSHING, _LINGERING):
            return
        self._linger = linger
        if self._pending and not self.failed:
            self._state = _FLUSHING
            self._mark = _taken(self._sock)
            self._loop.ctx.stats.closing += 1
            self._loop.ctx.deadlines.arm(self, self._loop.ctx.now + FLUSH_SECONDS)
            self._want(_OUT)
        else:
            self._after_flush()

    def abort(self) -> None:
        if self._state is _CLOSED:
            return
        with contextlib.suppress(OSError):  # the peer may be gone already
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._shut()

    # --- from the loop ------------------------------------------------------------------------------

    def on_event(self, mask: int) -> None:
        """What epoll says of this socket."""
        state = self._state
        if state is _OPEN:
            if mask & _IN and not self._paused:
                self._read()
            elif mask & _GONE:
                self._on_hang_up()
            if mask & _OUT and self._pending:
                self._flush()
        elif state is _CONNECTING:
            self._on_connect_event()
        elif state is _FLUSHING:
            self._flush()
        elif state is _LINGERING:
            self._discard()

    def on_deadline(self, now: float) -> None:
        """A closing connection ran out of time, unless its peer is still taking what it was sent."""
        if self._state is _FLUSHING:
            if self.has_moved():
                self._loop.ctx.deadlines.arm(self, now + FLUSH_SECONDS)
            else:
                self.abort()
        elif now < self._over_at and self.has_moved():
            self._loop.ctx.deadlines.arm(self, now + LINGER_SECONDS)
        else:
            self._shut()

    def tell_failure(self) -> None:
        """Tell the machine of a failed write, unless it has ended by itself."""
        if self._state is _OPEN:
            errno = self.failed
            self._shut()
            self._machine.on_lost(errno)

    def detach(self) -> None:
        """Closed, and the batch is over: the number is no longer ours.

        Also lets go of the machine, so that neither needs the garbage collector.
        """
        self.fd = -1
        self._machine = _NOBODY

    # --- inside ---------------------------------------------------------------------------------------

    def _read(self) -> None:
        size = self._recv_bytes
        try:
            data = _receive(self.fd, size)
        except BlockingIOError:
            return
        except OSError as error:
            self._shut()
            self._machine.on_lost(error.errno or 0)
            return
        if not data:
            self._machine.on_eof()
            return
        if len(data) == size and size < LARGEST_RECV:
            self._recv_bytes = size * 4
        self._machine.on_data(data)

    def _on_hang_up(self) -> None:
        """Reset, or closed both ways. Reported whatever the mask, so a paused connection is taken out of epoll."""
        errno = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if errno:
            self._shut()
            self._machine.on_lost(errno)
        elif self._is_registered:
            self._loop.unregister(self)
            self._is_registered = False

    def _on_connect_event(self) -> None:
        machine, self._connecting = self._connecting, None
        assert machine is not None
        errno = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if errno:
            self._shut()
            machine.on_connect_failed(errno)
            return
        self._state = _OPEN
        self._want(_IN)
        machine.on_connected()

    def _flush(self) -> None:
        try:
            sent = self._sock.sendmsg(self._pending[:64])
        except BlockingIOError:
            return
        except OSError as error:
            if self._state is _FLUSHING:
                self._shut()
            else:
                self._fail_later(error.errno or 0)
            return
        self._loop.ctx.stats.bytes_out += sent
        self._pending_bytes -= sent
        while sent:
            first = self._pending[0]
            if sent < len(first):
                self._pending[0] = first[sent:]
                break
            sent -= len(first)
            del self._pending[0]
        if self._pending:
            return
        if self._state is _FLUSHING:
            self._after_flush()
            return
        self._want(self._mask & ~_OUT)
        if self._congested:
            self._congested = False
            self._machine.on_drained()

    def _after_flush(self) -> None:
        if not self._linger or self.failed:
            self._shut()
            return
        if self._state is _OPEN:
            self._loop.ctx.stats.closing += 1
        self._state = _LINGERING
        now = self._loop.ctx.now
        self._mark = _taken(self._sock)
        self._over_at = now + LINGER_MOST
        self._loop.ctx.deadlines.arm(self, now + LINGER_SECONDS)
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._shut()
            return
        self._want(_IN)

    def _discard(self) -> None:
        try:
            data = _receive(self.fd, LARGEST_RECV)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._shut()

    def _keep(self, data: memoryview) -> None:
        pending = self._pending
        if pending and len(pending[-1]) + len(data) <= _SMALL:  # an object each would cost more than the bytes
            pending[-1] = memoryview(b"".join((pending[-1], data)))
        else:
            pending.append(data)
        self._pending_bytes += len(data)
        if self._pending_bytes > HIGH_WATER and not self._congested:
            self._congested = True
            self._mark = _taken(self._sock)

    def _fail_later(self, errno: int) -> None:
        if not self.failed:
            self.failed = errno or -1
            self._pending.clear()
            self._loop.failed.append(self)

    def _want(self, mask: int) -> None:
        if mask == self._mask and self._is_registered:
            return
        self._mask = mask
        if self._state is _CLOSED:
            return
        if self._is_registered:
            self._loop.modify(self, mask)
        else:
            self._is_registered = True
            self._loop.register(self, mask)

    def _shut(self) -> None:
        if self._state is _CLOSED:
            return
        if self._state in (_FLUSHING, _LINGERING):
            self._loop.ctx.stats.closing -= 1
        self._state = _CLOSED
        self._pending.clear()
        self._loop.ctx.deadlines.forget(self)
        self._loop.discard(self, self._sock)
