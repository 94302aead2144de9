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
from enum import Enum
from select import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT
from typing import TYPE_CHECKING, Final

from gateway.proxy.deadlines import Timed
from gateway.proxy.transport import Connecting, Machine, Nobody, Transport
from gateway.worker.backlog import PLENTY, Backlog, acknowledged, behind
from gateway.worker.pipes import Pipe

if TYPE_CHECKING:
    from gateway.worker.loop import Loop

FIRST_RECV: Final = 16384
LARGEST_RECV: Final = 262144
RELAY_LEAST: Final = 65536  # bytes; for fewer, a pipe is no cheaper than a copy
FLUSH_SECONDS: Final = 10.0  # a closing connection may go this long without taking any of what is left
LINGER_SECONDS: Final = 2.0  # how long what the peer still sends is read, while it takes none of what it was sent
LINGER_MOST: Final = 30.0
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
_NOBODY: Final = Nobody()


class Wire(Timed):
    """See the module."""

    __slots__ = (
        "_backlog",
        "_connecting",
        "_is_registered",
        "_linger",
        "_loop",
        "_machine",
        "_mark",
        "_mask",
        "_over_at",
        "_paused",
        "_recv_bytes",
        "_relay_left",
        "_sink",
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
        self._backlog: Backlog | None = None
        self._sink: Wire | None = None  # where received bytes go without passing through the machine...
        self._relay_left = 0  # ...so many of them
        self._mark = 0  # what the peer had taken when it fell behind, or when `has_moved` was asked last
        self._over_at = 0.0  # when lingering ends at the latest
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
        if self._backlog is not None:
            return self._keep(self._backlog, memoryview(data))
        try:
            sent = _send(self.fd, data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail_later(error)
            return True
        self._loop.ctx.stats.bytes_out += sent
        if sent == len(data):
            return True
        self._backlog = backlog = Backlog(self._loop.pipes)
        self._want(self._mask | _OUT)
        return self._keep(backlog, behind(memoryview(data), sent))

    def relay(self, to: Transport, size: int) -> None:
        assert isinstance(to, Wire)
        if size >= RELAY_LEAST:
            self._sink = to
            self._relay_left = size
            self._recv_bytes = FIRST_RECV

    def has_moved(self) -> bool:
        before, self._mark = self._mark, acknowledged(self._sock)
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
        if self._backlog is not None:
            self._state = _FLUSHING
            self._mark = acknowledged(self._sock)
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
            if mask & _OUT and self._backlog is not None:
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
        """Closed, and the batch is over: the number is not ours, and only a collector would find the machine."""
        self.fd = -1
        self._machine = _NOBODY

    # --- inside ---------------------------------------------------------------------------------------

    def _read(self) -> None:
        if self._sink is not None and self._splice(self._sink):
            return
        size = self._recv_bytes if self._loop.pipes.kept < PLENTY else FIRST_RECV
        try:
            data = _receive(self.fd, size)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error)
            return
        if not data:
            self._machine.on_eof()
            return
        if len(data) == size and size < LARGEST_RECV:
            self._recv_bytes = size * 4
        if self._sink is not None:
            self._count_relayed(len(data))
        self._machine.on_data(data)

    def _splice(self, sink: Wire) -> bool:
        """Move what has come straight to the sink. False: it has to be read."""
        if sink._state is not _OPEN or sink.failed or sink._backlog is not None:
            return False
        try:
            pipe = self._loop.pipes.fill(self.fd, self._relay_left)
        except OSError as error:
            self._lose(error)
            return True
        if pipe is None:
            return False
        size = pipe.held
        self._count_relayed(size)
        self._machine.on_relayed(size, not sink._pour(pipe))
        return True

    def _count_relayed(self, size: int) -> None:
        self._relay_left -= size
        if self._relay_left <= 0:
            self._sink = None

    def _pour(self, pipe: Pipe) -> bool:
        """Send what the pipe holds, or keep it: False. Only while nothing is kept."""
        sent = 0
        try:
            sent = pipe.drain(self.fd)
        except BlockingIOError:
            pass
        except OSError as error:
            self._fail_later(error)
        self._loop.ctx.stats.bytes_out += sent
        if not pipe.held or self.failed:
            self._loop.pipes.give_back(pipe)
            return True
        self._backlog = Backlog(self._loop.pipes, pipe)
        self._mark = acknowledged(self._sock)
        self._want(self._mask | _OUT)
        return False

    def _lose(self, error: OSError) -> None:
        self._shut()
        self._machine.on_lost(error.errno or 0)

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
        backlog = self._backlog
        assert backlog is not None
        try:
            sent = backlog.send(self._sock)
        except BlockingIOError:
            return
        except OSError as error:
            if self._state is _FLUSHING:
                self._shut()
            else:
                self._fail_later(error)
            return
        self._loop.ctx.stats.bytes_out += sent
        if not backlog.is_empty:
            return
        self._backlog = None
        if self._state is _FLUSHING:
            self._after_flush()
            return
        self._want(self._mask & ~_OUT)
        if backlog.is_congested:
            self._machine.on_drained()

    def _after_flush(self) -> None:
        if not self._linger or self.failed:
            self._shut()
            return
        if self._state is _OPEN:
            self._loop.ctx.stats.closing += 1
        self._state = _LINGERING
        now = self._loop.ctx.now
        self._mark = acknowledged(self._sock)
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

    def _keep(self, backlog: Backlog, data: memoryview) -> bool:
        if backlog.add(data):
            self._mark = acknowledged(self._sock)
        return not backlog.is_congested

    def _fail_later(self, error: OSError) -> None:
        if not self.failed:
            self.failed = error.errno or -1
            self._drop_backlog()
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
        self._drop_backlog()
        self._sink = None
        self._loop.ctx.deadlines.forget(self)
        self._loop.discard(self, self._sock)

    def _drop_backlog(self) -> None:
        if self._backlog is not None:
            self._backlog.drop()
            self._backlog = None
